"""Benchmark: train and score the rows of a published comparison, and set them beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rsadapt import build, config
from rsadapt.adapt import ranks
from rsadapt.benchmark_report import BenchmarkResult, Comparison, write
from rsadapt.benchmark_rows import (
    BENCHMARKS,
    Benchmark,
    Values,
    Variant,
    benchmark_values,
    initial_weights,
)
from rsadapt.errors import ConfigError, DataError, MissingFileError
from rsadapt.model import warm_start
from rsadapt.progress import Progress
from rsadapt.study import Row, finished, run_study

GIVEN_APART = {"root": "--data", "seed": "--seeds", "init_from": "--init"}
"""Fields of a recipe that the benchmark fills in itself, and what they are given by."""


@ranks.together()
@build.process_kept()
def benchmark(
    name: str,
    data: Path,
    *,
    out: Path,
    init: str,
    vgg_init: str | None = None,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    variant: Variant = "published",
    assignments: Sequence[str] = (),
    progress: Progress | None = None,
) -> BenchmarkResult:
    """Train and score rows of a published comparison; runs that are finished are kept.

    The tables are written anew after every run, of all runs in `out` that are done and have these
    settings, whichever call trained them.

    Args:
        name: one of `BENCHMARKS`.
        data: the folder that holds the data sets' folders.
        out: gets `runs/` and the tables; the same folder goes on where it was stopped.
        init: initial weights: a file, "imagenet" (torchvision's) or "random".
        vgg_init: the same for the rows on VGG-16.
        rows: names of the rows to train; the benchmark's usual ones unless given.
        seeds: each row is trained with each.
        variant: as the published code trains, or as the paper says.
        assignments: "dotted.key=value" changes to the recipe, for all rows.
        progress: is told of every run's steps.

    Raises:
        ConfigError: for an unknown name or row, or settings that cannot be meant.
        MissingFileError: for data or weights that are not there.
        OutputExistsError: where a run's folder holds a run of another configuration.
    """
    chosen = _choose(name)
    values = _values(chosen, variant, assignments) | {"root": str(data.resolve())}
    everything = chosen.rows(values)
    _check_distinct(seeds, "seed")
    weighted = {
        row.name: replace(row, changes=row.changes | weights)
        for row in everything.values()
        if (weights := initial_weights(init, row, vgg_init)) is not None
    }
    asked = _check_rows(chosen.default if rows is None else rows, everything)
    for row in asked:
        if row not in weighted:
            raise ConfigError(
                f"row '{row}' trains another network than {init} is of; name its initial weights "
                f"with --vgg-init (a file, imagenet or random), or leave the row out"
            )
    picked = [weighted[row] for row in asked]
    frames = _check_data(picked, values)
    if progress is not None and ranks.first():
        for split, (there, official) in frames.items():
            progress(f"note: not the official number of frames, {split}", there, official)
    comparison = Comparison(name, chosen, variant, init, tuple(assignments), frames)

    def report() -> BenchmarkResult:
        rows = list(weighted.values())
        return ranks.first_does(lambda: write(comparison, *finished(rows, base, out / "runs"), out))

    def base(_: int) -> Values:
        return values

    run_study(picked, seeds, base, out / "runs", progress=progress, after_each=report)
    return report()


def _choose(name: str) -> Benchmark:
    if name not in BENCHMARKS:
        raise ConfigError(f"no benchmark is called '{name}'; there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def _values(chosen: Benchmark, variant: Variant, assignments: Sequence[str]) -> Values:
    """The recipe with changes for all rows, which must leave it one that rows are made from."""
    recipe = benchmark_values(chosen, variant)
    values = config.assign(recipe, list(assignments))
    for field, option in GIVEN_APART.items():
        if values.get(field) != recipe.get(field):
            raise ConfigError(f"'{field}' of a benchmark is given by {option}; leave it out here")
    settings = config.parse(values, where=f"{chosen.recipe}, changed")
    if settings.method.name != recipe["method"]["name"]:
        raise ConfigError(
            f"method.name: a benchmark's rows are made from {recipe['method']['name']}, found "
            f"{settings.method.name}; choose methods by --rows"
        )
    return values


def _check_distinct(asked: Sequence[object], what: str) -> None:
    if not asked:
        raise ConfigError(f"expected at least one {what}, found none")
    twice = [str(one) for one in dict.fromkeys(asked) if asked.count(one) > 1]
    if twice:
        raise ConfigError(f"{what} {', '.join(twice)} is asked for more than once; name each once")


def _check_rows(rows: Sequence[str], known: dict[str, Row]) -> Sequence[str]:
    _check_distinct(rows, "row")
    for row in rows:
        if row not in known:
            raise ConfigError(f"no row is called '{row}'; there are {', '.join(known)}")
    return rows


def _check_data(rows: Sequence[Row], values: Values) -> dict[str, tuple[int, int]]:
    """Find every row's images, validation labels and fitting weights before any is trained.

    Prepared frames are opened, and torchvision's weights fetched, too.

    Returns:
        By split, how many frames there are and how many officially, where these differ.
    """
    tried: set[tuple[str, str]] = set()
    counts: dict[str, tuple[int, int | None]] = {}
    for row in rows:
        settings = config.parse(config.change(values, row.changes), where=f"row '{row.name}'")
        places = build.places(settings)
        if "target" not in places.scored():
            raise DataError(
                f"row '{row.name}': the target has no labelled validation split to score on"
            )
        build.prepared_frames(settings, places, "source")
        build.prepared_frames(settings, places, "target")
        counts |= build.frame_counts(settings)
        if settings.init_from is not None and not Path(settings.init_from).exists():
            raise MissingFileError(
                f"{settings.init_from}: no weight file here; name the initial weights by --init: "
                f"a file, imagenet or random"
            )
        key = (str(settings.init_from), settings.network.model_dump_json())
        given = settings.init_from is not None or settings.network.pretrained
        if given and key not in tried:
            tried.add(key)
            bands = places.source.training.bands
            warm_start(build.learner(settings, len(bands)).parts, settings, bands)
    return {
        split: (there, official)
        for split, (there, official) in counts.items()
        if official is not None and there != official
    }
