"""The door: options in, one call of a verb, results and errors out."""

from __future__ import annotations

import importlib.metadata
import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from rsadapt.errors import (
    InterruptedTrainingError,
    MissingFileError,
    OutputExistsError,
    RsadaptError,
)
from rsadapt.processes import started

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

GOES_ON = {
    "train": "; the same command with --resume goes on",
    "benchmark": "; the same command goes on",
    "compare": "; the same command goes on",
    "translate": "; the same command with --resume goes on",
}
"""How to go on with a training that was stopped, by verb."""

SHARED = ("train", "demo", "benchmark", "compare")
"""Verbs that several processes do together, as torchrun starts them."""

SEVERAL = ("--source", "--labels", "--target", "--scene", "--area")
"""Options that take several values at once, as a shell makes them of a glob without quotes."""


class Door(TyperGroup):
    """The verbs; what goes wrong in any of them becomes one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of a pipe has seen enough: typer leaves quietly
            raise
        except InterruptedTrainingError as stop:
            _leave(f"{stop}{GOES_ON.get(str(ctx.invoked_subcommand), '')}", stop.exit_code)
        except RsadaptError as error:
            _fail(str(error), error.exit_code)
        except NotADirectoryError as error:
            _fail(f"{error.filename}: a folder of this path is a file; choose another path", 1)
        except OSError as error:  # a full disk, a folder that may not be written to
            _fail(str(error), 1)
        except KeyboardInterrupt:
            _fail("interrupted", INTERRUPTED)


class FileCommand(TyperCommand):
    """A verb whose file options may be followed by several files."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse `--scene a b` as `--scene a --scene b`."""
        return super().parse_args(ctx, repeat_options(args, SEVERAL))


def repeat_options(args: Sequence[str], options: Collection[str]) -> list[str]:
    """Repeat an option before every further value that follows it."""
    repeated: list[str] = []
    option, values = "", 0
    for arg in args:
        if arg.startswith("-"):
            option, values = arg, 0
        else:
            if option in options and values:
                repeated.append(option)
            values += 1
        repeated.append(arg)
    return repeated


app = typer.Typer(
    cls=Door,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs no rich, and takes [brackets] literally
)


class Domain(StrEnum):
    """The region that scenes belong to."""

    target = "target"
    source = "source"


class Names(StrEnum):
    """Whose tensor names a weight file has."""

    published = "published"
    own = "own"


class VectorFormat(StrEnum):
    """The format of polygons."""

    gpkg = "gpkg"
    parquet = "parquet"
    fgb = "fgb"


class Variant(StrEnum):
    """How a benchmark trains."""

    published = "published"
    paper = "paper"


class Blending(StrEnum):
    """How tiles share their overlap."""

    hann = "hann"
    crop = "crop"


class Translating(StrEnum):
    """How the source takes on the target's look."""

    cyclegan = "cyclegan"
    fcan = "fcan"


class Precision(StrEnum):
    """What a network computes in."""

    float32 = "32-true"
    bfloat16 = "bf16-mixed"
    float16 = "16-mixed"


class Turns(StrEnum):
    """What a network sees of each tile."""

    none = "none"
    flips = "flips"
    dihedral = "dihedral"


class MosaicKind(StrEnum):
    """How maps of several scenes become one."""

    vrt = "vrt"
    cog = "cog"


SmallestArea = Annotated[
    float, typer.Option(metavar="M2", min=0, help="Smaller pieces are given to a neighbour.")
]
Simplify = Annotated[
    float,
    typer.Option(metavar="METRES", min=0, help="Smooth outlines by about this; leaves no gap."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field, as in training.steps=500."),
]
Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A configuration, YAML, or a ready recipe's name.")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="The folder of the data, in place of its root."),
]
Recipe = Annotated[
    Path | None,
    typer.Option(
        "--recipe", metavar="CONFIG", help="What a bare weight file belongs to: a recipe's name."
    ),
]


def _new_file(path: Path | None) -> Path | None:
    """Refuse a file that is there already, before any work is done."""
    if path is not None and path.exists():
        raise OutputExistsError(f"{path}: exists already; choose another name")
    if path is not None and not path.parent.is_dir():
        raise MissingFileError(f"{path}: there is no folder {path.parent}; make it first")
    return path


Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=_new_file,
        help="Write the figures to a new file too.",
    ),
]


def main() -> None:
    """Run the command line."""
    app(prog_name="rsadapt")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"rsadapt {importlib.metadata.version('rsadapt')}")
        raise typer.Exit


@app.callback()
def rsadapt(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Make a segmentation network that was trained where labels exist work where none do."""
    _hush_libraries()
    if started().rank:  # the first of several processes speaks for all
        sys.stdout = io.StringIO()
    if started().count > 1 and ctx.invoked_subcommand not in SHARED:
        if started().rank:
            raise typer.Exit(1)
        _fail(
            f"{ctx.invoked_subcommand} runs in one process, and {started().launcher} started "
            f"{started().count}; start it alone ({', '.join(SHARED)} share their work)",
            1,
        )


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="A new or empty folder for all it makes.")
    ] = Path("rsadapt-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Decides the regions and the runs.")] = 0,
) -> None:
    """Adapt between two made-up regions and show the gain."""
    from rsadapt import console
    from rsadapt.verbs.demo import demo as verb

    with console.progress() as progress:
        result = verb(out, seed=seed, progress=progress)
    console.show([console.comparison_table(result.table, "Target region, validation part")])
    for description, file in result.files.items():
        typer.echo(f"{description}: {file}")
    typer.echo("The maps open in QGIS or any other GIS, in their classes' colours, on their place.")


@app.command(cls=FileCommand)
def init(
    source: Annotated[
        list[str], typer.Option(metavar="FILES", help="Scenes with labels; files or patterns.")
    ],
    labels: Annotated[
        list[str], typer.Option(metavar="FILES", help="Their label rasters, in the same order.")
    ],
    target: Annotated[
        list[str], typer.Option(metavar="FILES", help="Scenes without labels to adapt to.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The configuration to write.")] = Path(
        "rsadapt.yaml"
    ),
) -> None:
    """Write a commented configuration for your files."""
    from rsadapt import console
    from rsadapt.verbs.init import init as verb

    with console.progress() as progress:
        written = verb(source, labels, target, out=out, progress=progress)
    typer.echo(f"wrote {written}; name its classes, then look at the data and train:")
    typer.echo(f"  rsadapt inspect {written}\n  rsadapt train {written}")


@app.command()
def inspect(
    config: Config,
    assignments: Assignments = None,
    json_file: Json = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            callback=_new_file,
            help="Write a page with figures and example windows to a new file.",
        ),
    ] = None,
) -> None:
    """Show both regions side by side, and what may go wrong between them."""
    from rsadapt import console
    from rsadapt.verbs.inspect import inspect as verb

    with console.progress() as progress:
        inspection = verb(config, assignments or (), html=html, progress=progress).to_dict()
    console.show(console.inspection_tables(inspection))
    _write_json(inspection, json_file)


@app.command()
def train(
    config: Config,
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A new or empty folder; runs/ and CONFIG's name if none."),
    ] = None,
    data: Data = None,
    init: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Initial weights: a file or run, imagenet, or random."),
    ] = None,
    assignments: Assignments = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves and example tiles to RUN, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all, say what would run, and write nothing.")
    ] = False,
) -> None:
    """Train and adapt a network."""
    from rsadapt import console
    from rsadapt.verbs.train import train as verb

    if dry_run:
        _plan(config, resume=resume, out=out, data=data, init=init, assignments=assignments or ())
        return
    with console.progress() as progress:
        outcome = verb(
            config,
            out=out,
            data=data,
            init=init,
            assignments=assignments or (),
            resume=resume,
            tensorboard=tensorboard,
            progress=progress,
            watch=progress.watch,
        )
    for domain, report in outcome.validation.items():
        console.show(console.report_tables(report, f"{domain}, validation part")[:1])
    run = outcome.run.path
    if outcome.feeding is not None:
        typer.echo(outcome.feeding["words"])
    typer.echo(f"trained {outcome.step} steps: {run}; map scenes with it, or score it:")
    typer.echo(f"  rsadapt predict {run} --scene FILE --out DIR\n  rsadapt evaluate {run}")


def _plan(config: Path, *, resume: bool, **options: Any) -> None:
    """Show what a new training would do."""
    from rsadapt import console
    from rsadapt.verbs.plan import plan

    if resume:
        raise typer.BadParameter(
            "tells what a new run would do; leave out --resume", param_hint="'--dry-run'"
        )
    with console.progress() as progress:
        found = plan(config, progress=progress, **options)
    console.show([console.plan_table(found.to_dict())])
    typer.echo("nothing was written; the same command without --dry-run trains")


@app.command()
def evaluate(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_FILE", help="A run, a weight file, or a folder of class maps."
        ),
    ],
    *,
    recipe: Recipe = None,
    data: Data = None,
    assignments: Assignments = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Label rasters to score a folder of maps against."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="Whose class table the maps and labels have."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Score a run, a weight file, or maps against labels."""
    from rsadapt import console
    from rsadapt.verbs import evaluate as verb

    _check_scored(
        maps=labels is not None,
        of_maps=bool(classes),
        of_networks=bool(recipe or data or assignments),
    )
    with console.progress() as progress:
        reports = (
            verb.evaluate(
                run, recipe=recipe, assignments=assignments or (), data=data, progress=progress
            )
            if labels is None
            else {"maps": verb.evaluate_maps(run, labels, classes=classes, progress=progress)}
        )
    for domain, report in reports.items():
        console.show(console.report_tables(report, domain))
    _write_json(reports, json_file)


@app.command()
def translate(
    config: Config,
    *,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="A new or empty folder; scenes/ is made in it.")
    ],
    by: Annotated[Translating | None, typer.Option(help="How, in place of translation.by.")] = None,
    trained: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Only write, with this trained translator."),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A run whose agreement with the labels is reported."),
    ] = None,
    data: Data = None,
    assignments: Assignments = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace scenes that are there already.")
    ] = False,
) -> None:
    """Write the source's scenes in the target's look."""
    from rsadapt import console
    from rsadapt.verbs.translate import translate as verb

    with console.progress() as progress:
        found = verb(
            config,
            out=out,
            by=None if by is None else by.value,
            trained=trained,
            check=check,
            data=data,
            assignments=assignments or (),
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            watch=progress.watch,
        )
    for file in found.scenes:
        typer.echo(f"wrote {file}")
    apart = found.report["discriminability"]
    if None not in apart.values():
        typer.echo(
            f"told from target tiles: {apart['untranslated']:.1%} of the source's, "
            f"{apart['translated']:.1%} of the translated (50 % is chance)"
        )
    if "agreement" in found.report:
        before, after = (
            found.report["agreement"][when]["totals"]["miou"]
            for when in ("untranslated", "translated")
        )
        typer.echo(f"agreement with the labels, mIoU: {before:.1%} before, {after:.1%} after")


@app.command(cls=FileCommand)
def predict(
    run: Annotated[
        Path, typer.Argument(metavar="RUN_OR_FILE", help="A run, its checkpoint, or a weight file.")
    ],
    *,
    scene: Annotated[list[str], typer.Option(metavar="FILE...", help="Scenes or frames.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A folder for the maps.")],
    recipe: Recipe = None,
    assignments: Assignments = None,
    domain: Annotated[
        Domain, typer.Option(help="The region that the scenes belong to.")
    ] = Domain.target,
    area: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE...", help="Vector files; what lies outside becomes nodata."),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Maps to write: classes, confidence, entropy, margin, probabilities.",
        ),
    ] = "classes,confidence",
    precise: Annotated[
        bool, typer.Option("--precise", help="Probabilities as float32, not in 254 steps.")
    ] = False,
    tile: Annotated[int | None, typer.Option(help="Pixels of a tile's side.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Pixels that tiles share.")] = None,
    blending: Annotated[
        Blending | None, typer.Option(help="How they share them: crop is cut in the middle.")
    ] = None,
    turns: Annotated[
        Turns | None, typer.Option(help="Show each tile turned, too, and average the answers.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Tiles a batch.")] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="What the network computes in; as trained by default.")
    ] = None,
    also: Annotated[
        str,
        typer.Option(metavar="A,B,...", help="Files besides the maps: polygons, areas, stac."),
    ] = "",
    format: Annotated[
        VectorFormat, typer.Option(help="The format of polygons.")
    ] = VectorFormat.gpkg,
    smallest_area: SmallestArea = 0.0,
    simplify: Simplify = 0.0,
    mosaic: Annotated[
        MosaicKind | None,
        typer.Option(help="Show all maps as one, too: naming them, or copying them."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Let the workers of a dask scheduler predict: tcp://HOST:PORT."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Or so many dask workers started here.")
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Or so many processes started here, one a GPU.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace maps that are there already.")
    ] = False,
) -> None:
    """Map scenes, or label frames, with a trained network.

    Stopped at any moment, the same command goes on.
    """
    from rsadapt import console
    from rsadapt.verbs.predict import predict as verb

    with console.progress() as progress:
        written = verb(
            run,
            scene,
            out,
            domain=domain.value,
            area=area or (),
            recipe=recipe,
            assignments=assignments or (),
            layers=_parts(layers),
            precise=precise,
            prediction={
                "tile": tile,
                "overlap": overlap,
                "blending": None if blending is None else blending.value,
                "turns": None if turns is None else turns.value,
                "batch_size": batch_size,
                "precision": None if precision is None else precision.value,
            },
            also=_parts(also),
            format=f".{format.value}",
            smallest_area=smallest_area,
            simplify=simplify,
            mosaic=None if mosaic is None else mosaic.value,
            cluster=cluster,
            workers=workers,
            devices=devices,
            overwrite=overwrite,
            progress=progress,
        )
    for predicted in written:
        first, *others = map(str, predicted.files)
        typer.echo("\n".join([f"{first} ({predicted.note})" if predicted.note else first, *others]))


@app.command()
def check(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Data sets, such as gta5 or loveda, their YAML files, or driving recipes.",
        ),
    ],
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Where their folders lie.")],
    fast: Annotated[
        bool, typer.Option("--fast", help="Count and pair files only; decode none.")
    ] = False,
) -> None:
    """Look whether data sets are complete and sound."""
    from rsadapt import console
    from rsadapt.verbs.check import check as verb

    with console.progress() as progress:
        reports = verb(names, data, decode=not fast, progress=progress)
    for report in reports:
        console.show([console.check_table(report)])
        for line in console.check_findings(report):
            typer.echo(line)
    if not all(report.complete for report in reports):
        raise typer.Exit(1)


@app.command()
def prepare(
    config: Config,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A folder for the resized frames.")],
    data: Data = None,
    assignments: Assignments = None,
) -> None:
    """Resize the frames of a driving recipe once, so that training reads them faster."""
    from rsadapt import console
    from rsadapt.verbs.prepare import prepare as verb

    with console.progress() as progress:
        folders = verb(config, out, data=data, assignments=assignments or (), progress=progress)
    typer.echo("\n".join(map(str, folders)))
    typer.echo(f"train with them: --set prepared={out.resolve()}")


@app.command()
def export_weights(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder or checkpoint.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="A new .pth, .pt or .safetensors file.")
    ],
    names: Annotated[Names, typer.Option(help="Whose tensor names to write.")] = Names.published,
) -> None:
    """Write a run's network as a weight file that other programs load."""
    from rsadapt.verbs.export_weights import export_weights as verb

    typer.echo(verb(run, out, names=names.value))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder or checkpoint.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .onnx file to write.")],
    domain: Annotated[
        Domain, typer.Option(help="The region that images will be of.")
    ] = Domain.target,
    tile: Annotated[int | None, typer.Option(help="Pixels of a tile's side.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Pixels that tiles share.")] = None,
    resolution: Annotated[
        float | None,
        typer.Option(metavar="CM", help="Centimetres a pixel; what was trained at if none."),
    ] = None,
    input_range: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="Values that 0 and 255 stand for, if others."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
) -> None:
    """Write a run's network as an ONNX file that QGIS runs through the plugin Deepness."""
    from rsadapt.verbs.export import export as verb

    exported = verb(
        run,
        out,
        domain=domain.value,
        tile=tile,
        overlap=overlap,
        resolution=resolution,
        input_range=None if input_range is None else _range(input_range),
        overwrite=overwrite,
    )
    checked = (
        "not checked"
        if exported.difference is None
        else f"as the network to {exported.difference:.1g} in probability"
    )
    typer.echo(f"{exported.path} ({checked})")
    typer.echo("In QGIS: choose it as Deepness's model and load the model's default parameters.")


@app.command()
def polygonize(
    maps: Annotated[
        list[Path], typer.Argument(metavar="MAP...", help="Class maps, as predict writes them.")
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR|FILE", help="A folder, or a .gpkg, .parquet or .fgb file for one map."
        ),
    ],
    smallest_area: SmallestArea = 0.0,
    simplify: Simplify = 0.0,
    only: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Classes to outline; all if none.")
    ] = None,
    format: Annotated[
        VectorFormat, typer.Option(help="The format of files in a folder.")
    ] = VectorFormat.gpkg,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="Whose class table the maps have, if none in them."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there already.")
    ] = False,
) -> None:
    """Turn class maps into polygons with class, name, area and confidence."""
    from rsadapt import console
    from rsadapt.verbs.polygonize import polygonize as verb

    with console.progress() as progress:
        written = verb(
            maps,
            out,
            smallest_area=smallest_area,
            simplify=simplify,
            only=_parts(only or ""),
            format=format.value,
            classes=classes,
            overwrite=overwrite,
            progress=progress,
        )
    for polygons in written:
        typer.echo(f"{polygons.path} ({polygons.polygons} polygons)\n{polygons.style}")
        if polygons.note:
            typer.echo(f"Warning: {polygons.path.name}: {polygons.note}", err=True)


@app.command()
def draw_sample(
    maps: Annotated[list[Path], typer.Argument(metavar="MAP...", help="Class maps, one area.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The GeoPackage to write.")],
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Points in all; what the standard error asks for if none."),
    ] = None,
    standard_error: Annotated[
        float, typer.Option(metavar="SHARE", help="Wanted of the overall accuracy.")
    ] = 0.01,
    expected: Annotated[
        float, typer.Option(metavar="SHARE", help="User's accuracy that classes may have.")
    ] = 0.8,
    expect: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS=SHARE", help="The same of one class; may be repeated."),
    ] = None,
    least: Annotated[int, typer.Option(min=2, help="Points of a class that is in the map.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Decides which pixels are drawn.")] = 0,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="Whose class table the maps have, if none in them."),
    ] = None,
) -> None:
    """Draw a stratified random sample of a map as points to interpret."""
    from rsadapt import console
    from rsadapt.verbs.draw_sample import draw_sample as verb

    with console.progress() as progress:
        drawn = verb(
            maps,
            out,
            size=size,
            standard_error=standard_error,
            expected=expected,
            expected_of=_shares(expect or ()),
            least=least,
            seed=seed,
            classes=classes,
            progress=progress,
        )
    console.show([console.sample_table(drawn.units, drawn.hectares)])
    typer.echo(f"{drawn.path}: fill in 'reference' of its points (QGIS opens it), then:")
    typer.echo(f"  rsadapt assess {drawn.path}")


@app.command()
def assess(
    sample: Annotated[
        Path, typer.Argument(metavar="SAMPLE", help="An interpreted sample of draw-sample.")
    ],
    json_file: Json = None,
) -> None:
    """Estimate accuracies and class areas with 95 % intervals from an interpreted sample."""
    from rsadapt import console
    from rsadapt.verbs.assess import assess as verb

    report = verb(sample)
    console.show(console.assessment_tables(report))
    if report["open"]:
        typer.echo(f"Warning: {report['open']} points have no reference and are left out", err=True)
    _write_json(report, json_file)


@app.command()
def benchmark(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="gta5-cityscapes, synthia-cityscapes or cross-city."),
    ],
    *,
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Where the data sets' folders lie.")
    ],
    init: Annotated[
        str,
        typer.Option(metavar="FILE", help="Initial weights: a file, or imagenet, or random."),
    ],
    vgg_init: Annotated[
        str | None, typer.Option(metavar="FILE", help="The same for the row on VGG-16.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Rows to train; the paper's if none.")
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N,M,...", help="Seeds of each row.")] = "0",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Runs and tables; runs/NAME if none.")
    ] = None,
    variant: Annotated[
        Variant, typer.Option(help="As the published code trains, or as the paper says.")
    ] = Variant.published,
    assignments: Assignments = None,
) -> None:
    """Reproduce a published table: train its rows, score them, and set them beside it."""
    from rsadapt import console
    from rsadapt.verbs.benchmark import benchmark as verb

    with console.progress() as progress:
        result = verb(
            name,
            data,
            out=out or Path("runs") / name,
            init=init,
            vgg_init=vgg_init,
            rows=None if rows is None else _parts(rows),
            seeds=_numbers(seeds),
            variant=variant.value,
            assignments=assignments or (),
            progress=progress,
        )
    typer.echo(result.markdown.read_text(encoding="utf-8"))
    typer.echo(f"{result.markdown}\n{result.figures}\n{result.chart}")


@app.command()
def compare(
    config: Config,
    *,
    methods: Annotated[
        str, typer.Option(metavar="A,B,...", help="Methods, or rows of --rows; all rows if none.")
    ] = "",
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Named rows, YAML, or a ready file's name."),
    ] = None,
    seeds: Annotated[
        str, typer.Option(metavar="N", help="How many seeds, or which: 3 is 0,1,2; 7, is 7 alone.")
    ] = "1",
    first_steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Steps of the first part; twice the steps if none."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Runs and report; runs/NAME-compared if none."),
    ] = None,
    data: Data = None,
    assignments: Assignments = None,
) -> None:
    """Train methods on one pair under one budget, and report which helps, by how much."""
    from rsadapt import console
    from rsadapt.verbs.compare import compare as verb

    numbers = _numbers(seeds)
    with console.progress() as progress:
        result = verb(
            config,
            _parts(methods),
            out=out or Path("runs") / f"{config.stem}-compared",
            rows=rows,
            seeds=numbers if "," in seeds else range(*numbers),
            first_steps=first_steps,
            data=data,
            assignments=assignments or (),
            progress=progress,
        )
    typer.echo(result.markdown.read_text(encoding="utf-8"))
    for file in (result.markdown, result.table, result.figures, *result.pictures):
        typer.echo(file)


def _check_scored(*, maps: bool, of_maps: bool, of_networks: bool) -> None:
    """Refuse options of `evaluate` that what is scored has no use for."""
    if of_maps and not maps:
        raise typer.BadParameter(
            "goes with a folder of maps and their --labels", param_hint="'--classes'"
        )
    if of_networks and maps:
        raise typer.BadParameter(
            "scores a folder of maps, without --recipe, --data and --set", param_hint="'--labels'"
        )


def _parts(text: str) -> list[str]:
    """What commas separate; nothing between two of them counts for nothing."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _shares(assignments: Sequence[str]) -> dict[str, float]:
    """Numbers by name, of texts such as forest=0.9."""
    shares = {}
    for text in assignments:
        name, _, value = text.rpartition("=")
        try:
            shares[name] = float(value)
        except ValueError:
            raise typer.BadParameter(
                f"expected such as forest=0.9, found '{text}'", param_hint="'--expect'"
            ) from None
    return shares


def _range(text: str) -> tuple[float, float]:
    """Two numbers, separated by a comma."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"expected two numbers such as 0,3000, found '{text}'", param_hint="'--input-range'"
        ) from None
    return low, high


def _numbers(text: str) -> list[int]:
    """Numbers of 0 or more, separated by commas."""
    parts = _parts(text)
    if not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(
            f"expected numbers such as 0,1,2, found '{text}'", param_hint="'--seeds'"
        )
    return [int(part) for part in parts]


def _fail(text: str, code: int) -> NoReturn:
    """Say what went wrong and leave."""
    _leave(f"error: {text}", code)


def _leave(text: str, code: int) -> NoReturn:
    """Say why on one line and leave."""
    typer.echo(" ".join(text.split()), err=True)
    raise typer.Exit(code)


def _write_json(values: Mapping[str, Any], file: Path | None) -> None:
    if file is not None:
        file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _hush_libraries() -> None:
    """Keep what libraries log and warn of off the terminal, unless Python was asked for it (-W)."""
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # in workers started here, too
    logging.basicConfig(handlers=[logging.NullHandler()])
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", module="rsadapt")
        warnings.showwarning = lambda message, *_: typer.echo(f"Warning: {message}", err=True)
