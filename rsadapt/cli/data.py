"""Verbs about what there is to learn from: made up, described, inspected, checked, prepared."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from rsadapt.cli.door import FileCommand, app
from rsadapt.cli.options import (
    Assignments,
    Config,
    Data,
    Json,
    command,
    new_file,
    write_json,
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
    typer.echo(command("inspect", written))
    typer.echo(command("train", written))


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
            callback=new_file,
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
    write_json(inspection, json_file)


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
    typer.echo(f"train with them: --set prepared={shlex.quote(str(out.resolve()))}")
