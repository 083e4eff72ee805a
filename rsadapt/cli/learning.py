"""Verbs that train networks, and score them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rsadapt.cli.door import app
from rsadapt.cli.options import (
    Assignments,
    Config,
    Data,
    Json,
    Names,
    Recipe,
    Translating,
    Variant,
    command,
    numbers_of,
    parts_of,
    write_json,
)

MOST_SEEDS = 1000
"""Of a comparison; nobody waits for more."""


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
        _plan(
            config,
            resume=resume,
            out=out,
            data=data,
            init=init,
            assignments=assignments or (),
            tensorboard=tensorboard,
        )
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
    typer.echo(command("predict", run, "--scene", "FILE", "--out", "DIR"))
    typer.echo(command("evaluate", run))


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
        if before is None or after is None:
            typer.echo("agreement with the labels: no labelled pixel to tell it of")
        else:
            typer.echo(f"agreement with the labels, mIoU: {before:.1%} before, {after:.1%} after")


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
    write_json(reports, json_file)


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
            rows=None if rows is None else parts_of(rows),
            seeds=numbers_of(seeds),
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

    numbers = numbers_of(seeds)
    with console.progress() as progress:
        result = verb(
            config,
            parts_of(methods),
            out=out or Path("runs") / f"{config.stem}-compared",
            rows=rows,
            seeds=numbers if "," in seeds else range(min(sum(numbers), MOST_SEEDS)),
            first_steps=first_steps,
            data=data,
            assignments=assignments or (),
            progress=progress,
        )
    typer.echo(result.markdown.read_text(encoding="utf-8"))
    for file in (result.markdown, result.table, result.figures, *result.pictures):
        typer.echo(file)


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
