"""Demo: a procedural pair of regions, adapted from one to the other, from files to maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsadapt import build, report
from rsadapt import config as configurations
from rsadapt.adapt import ranks
from rsadapt.data.procedural.world import WORLD_SIZE, World, write_world
from rsadapt.errors import OutputExistsError
from rsadapt.geo.raster import Raster
from rsadapt.progress import Progress
from rsadapt.study import FROM_SCRATCH, Result, Values, run_study, standard_rows, summary
from rsadapt.verbs.predict import predict

SHOWN = {
    "source-only": "source-only",
    "multi-level": "adapted",
    "target-trained": "target-trained",
}
"""Which rows of `study.standard_rows` the demo shows, and what it calls them."""

RED_GREEN_BLUE = (2, 1, 0)
"""Positions of the world's bands that a screen shows."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        table: `study.summary` of source-only, adapted and target-trained on the target's
            validation area.
        files: the things worth opening, by what they are.
    """

    table: dict[str, dict[str, Any]]
    files: dict[str, Path]


@ranks.together()
def demo(
    out: Path,
    *,
    seed: int = 0,
    size: int = WORLD_SIZE,
    assignments: Sequence[str] = (),
    first: Values = FROM_SCRATCH,
    progress: Progress | None = None,
) -> DemoResult:
    """Write two regions, train on one, adapt to the other, map it, and show the difference.

    Args:
        out: folder for all of it, new or empty.
        seed: decides the regions and the training.
        size: height and width of each region in pixels of two metres.
        assignments: "dotted.key=value" changes to the recipe, `configs/demo.yaml`.
        first: how the supervised first part of the schedule differs from the recipe.
        progress: called with a task's name, units done and units in all.

    Raises:
        OutputExistsError: where the folder holds anything.
    """
    recipe = configurations.load_yaml(configurations.recipe("demo"))
    values = configurations.assign(recipe, list(assignments))
    values["root"] = str((out / "world").resolve())
    world = ranks.first_does(lambda: _draw(out, seed=seed, size=size))
    rows = [
        replace(row, name=SHOWN.get(row.name, row.name))
        for row in standard_rows(values, first=first).values()
        if row.name in SHOWN or not row.reported
    ]
    results = run_study(rows, [seed], lambda _: values, out / "runs", progress=progress)
    return ranks.first_does(lambda: _show(out, world, results, progress))


def _draw(out: Path, *, seed: int, size: int) -> World:
    """Write both regions into a folder that must be new or empty."""
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise OutputExistsError(f"{out}: exists and is no empty folder; choose another with --out")
    return write_world(out / "world", seed=seed, size=size)


def _show(
    out: Path, world: World, results: Sequence[Result], progress: Progress | None
) -> DemoResult:
    """Map the target by every trained network and draw the figures."""
    maps = {
        result.row: predict(
            result.run, world.target_images, out / "maps" / result.row, progress=progress
        )[0].files[0]
        for result in results
    }
    table = summary(results)
    figures = out / "figures"
    _show_maps(figures / "maps.png", results[0], maps)
    report.bars(
        figures / "iou.png",
        {name: row["classes"] for name, row in table.items()},
        title="Target region, validation area",
    )
    files = {
        "maps side by side": figures / "maps.png",
        "IoU by class": figures / "iou.png",
        "map of the target, source-only": maps["source-only"],
        "map of the target, adapted": maps["adapted"],
        "the target's scene": world.target_images[0],
        "run of the adapted network": next(r.run for r in results if r.row == "adapted"),
    }
    return DemoResult(table, files)


def _show_maps(path: Path, result: Result, maps: dict[str, Path]) -> None:
    """Draw image, label and maps of the target's validation area."""
    settings = build.configuration(result.run / "config.yaml")
    scheme = build.class_scheme(settings)
    validation = build.geotiff_places(settings).target.validation
    if validation is None:
        return
    scene = validation.scenes[0]
    values, valid = scene.image.read(scene.area, validation.bands)
    label = scene.read_label(scene.area, scheme)
    pictures = {
        "image": report.natural_colours(values, valid, bands=RED_GREEN_BLUE),
        "label": scheme.paint(label),
    }
    for name, file in maps.items():
        codes, mapped = Raster(file).read(scene.area)
        pictures[name] = scheme.paint(scheme.encode(codes[0], mapped, where=file))
    report.panels(path, pictures, scheme, title="Target region, validation area")
