"""Verbs that make maps, and judge them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsadapt.cli.door import FileCommand, app
from rsadapt.cli.options import (
    Assignments,
    Blending,
    Device,
    Domain,
    Json,
    MosaicKind,
    Precision,
    Recipe,
    Simplify,
    SmallestArea,
    Turns,
    VectorFormat,
    command,
    pair_of,
    parts_of,
    shares_of,
    write_json,
)


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
    device: Annotated[
        Device | None, typer.Option(help="What computes; the run's where it is there by default.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the CPU; as trained by default.")
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
            layers=parts_of(layers),
            precise=precise,
            prediction={
                "tile": tile,
                "overlap": overlap,
                "blending": None if blending is None else blending.value,
                "turns": None if turns is None else turns.value,
                "batch_size": batch_size,
                "precision": None if precision is None else precision.value,
            },
            also=parts_of(also),
            format=f".{format.value}",
            smallest_area=smallest_area,
            simplify=simplify,
            mosaic=None if mosaic is None else mosaic.value,
            cluster=cluster,
            workers=workers,
            devices=devices,
            device=None if device is None else device.value,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    for predicted in written:
        first, *others = map(str, predicted.files)
        typer.echo("\n".join([f"{first} ({predicted.note})" if predicted.note else first, *others]))


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
        list[str] | None,
        typer.Option(
            metavar="A,B,...",
            help="Classes to outline; all if none. May be repeated, for a name with a comma.",
        ),
    ] = None,
    format: Annotated[
        VectorFormat | None,
        typer.Option(
            help="The format of files in a folder, gpkg by default; a file's name says its."
        ),
    ] = None,
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
            only=only or (),
            format=None if format is None else format.value,
            classes=classes,
            overwrite=overwrite,
            progress=progress,
        )
    for polygons in written:
        typer.echo(f"{polygons.path} ({polygons.polygons} polygons)\n{polygons.style}")
        if polygons.note:
            typer.echo(f"Warning: {polygons.path.name}: {polygons.note}", err=True)


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
        input_range=None if input_range is None else pair_of(input_range),
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
def draw_sample(
    maps: Annotated[
        list[Path], typer.Argument(metavar="MAP...", help="Class maps that do not overlap.")
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .gpkg file to write.")],
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Points in all, if --least allows it; what the standard error asks for if none.",
        ),
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
    least: Annotated[
        int, typer.Option(min=2, help="Fewest points of a class in the map, whatever --size is.")
    ] = 50,
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
            expected_of=shares_of(expect or ()),
            least=least,
            seed=seed,
            classes=classes,
            progress=progress,
        )
    console.show([console.sample_table(drawn.units, drawn.hectares)])
    typer.echo(f"{drawn.path}: fill in 'reference' of its points (QGIS opens it), then:")
    typer.echo(command("assess", drawn.path))


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
    write_json(report, json_file)
