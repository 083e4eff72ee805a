"""Benchmark: train and score the rows of a published comparison, and set them beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rsadapt import build, config, report, tables
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
from rsadapt.published import PUBLISHED
from rsadapt.run import RunFolder
from rsadapt.study import Result, Row, best_snapshots, run_study, summary

FrameCounts = Mapping[str, Mapping[str, tuple[int, int | None]]]
"""By row and split, how many frames there are and how many officially."""

GIVEN_APART = {"root": "--data", "seed": "--seeds", "init_from": "--init"}
"""Fields of a recipe that the benchmark fills in itself, and what they are given by."""

FACTS = (
    "classes",
    "batch_norm",
    "evaluation",
    "target_split",
    "frames",
    "commit",
    "platform",
    "packages",
    "initial_weights",
)
"""What the report says of every row, from its runs' records."""


@dataclass(frozen=True)
class BenchmarkResult:
    """What a benchmark came to.

    Attributes:
        measured: `study.summary` of the rows, final iteration.
        markdown: the tables, beside what was published.
        figures: the same as JSON.
        chart: the same as a picture.
    """

    measured: Values
    markdown: Path
    figures: Path
    chart: Path


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
    picked = [
        _with_weights(everything[row], init, vgg_init)
        for row in _check_rows(chosen.default if rows is None else rows, everything)
    ]
    frames = _check_data(picked, values)
    _tell_other_counts(frames, progress)
    results = run_study(picked, seeds, lambda _: values, out / "runs", progress=progress)
    return _write(name, chosen, results, frames, out, init=init, variant=variant)


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


def _with_weights(row: Row, init: str, vgg_init: str | None) -> Row:
    return replace(row, changes=row.changes | initial_weights(init, row, vgg_init))


def _check_data(rows: Sequence[Row], values: Values) -> FrameCounts:
    """Find every row's images, validation labels and fitting weights before any is trained.

    Prepared frames are opened, too.

    Returns:
        By row, `build.frame_counts`.
    """
    tried: set[tuple[str, str]] = set()
    counts = {}
    for row in rows:
        settings = config.parse(config.change(values, row.changes), where=f"row '{row.name}'")
        places = build.places(settings)
        if "target" not in places.scored():
            raise DataError(
                f"row '{row.name}': the target has no labelled validation split to score on"
            )
        build.prepared_frames(settings, places, "source")
        build.prepared_frames(settings, places, "target")
        counts[row.name] = build.frame_counts(settings)
        if settings.init_from is not None and not Path(settings.init_from).exists():
            raise MissingFileError(
                f"{settings.init_from}: no weight file here; name the initial weights by --init: "
                f"a file, imagenet or random"
            )
        key = (str(settings.init_from), settings.network.model_dump_json())
        if settings.init_from is not None and key not in tried:
            tried.add(key)
            bands = places.source.training.bands
            warm_start(build.learner(settings, len(bands)).parts, settings, bands)
    return counts


def _other_counts(frames: FrameCounts) -> dict[str, tuple[int, int]]:
    """By split, how many frames there are and how many officially, where these differ."""
    return {
        split: (there, official)
        for counts in frames.values()
        for split, (there, official) in counts.items()
        if official is not None and there != official
    }


def _tell_other_counts(frames: FrameCounts, progress: Progress | None) -> None:
    if progress is not None:
        for split, (there, official) in _other_counts(frames).items():
            progress(f"note: not the official number of frames, {split}", there, official)


def _with_note(markdown: str, frames: FrameCounts) -> str:
    """A report that says below its title which splits are not what published figures come from."""
    others = [f"{split} {n} of {m}" for split, (n, m) in _other_counts(frames).items()]
    if not others:
        return markdown
    title, rest = markdown.split("\n\n", 1)
    note = f"**Not the official number of frames: {', '.join(others)}.**"
    return "\n\n".join((title, note, rest))


def _write(
    name: str,
    chosen: Benchmark,
    results: Sequence[Result],
    frames: FrameCounts,
    out: Path,
    *,
    init: str,
    variant: Variant,
) -> BenchmarkResult:
    """Write the tables, the figures and the chart."""
    measured, best = summary(results), best_snapshots(results)
    published = PUBLISHED.get(name, {})
    records = _records(results, frames)
    file = BenchmarkResult(measured, out / "table.md", out / "table.json", out / "table.png")
    title = f"{chosen.title}, as {'the paper says' if variant == 'paper' else 'published'}"
    markdown = tables.benchmark_markdown(title, measured, best, published, records)
    file.markdown.write_text(_with_note(markdown, frames), encoding="utf-8")
    content = {
        "benchmark": name,
        "variant": variant,
        "initial_weights_asked": init,
        "measured_final_iteration": measured,
        "measured_best_snapshot_chosen_with_target_labels": best,
        "published_by_others": {
            row: {"miou": figure.miou, "source": figure.source, "classes": figure.classes}
            for row, figure in published.items()
        },
        "records": records,
    }
    file.figures.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    report.beside(
        file.chart,
        {row: (line["miou"], line["std"]) for row, line in measured.items()},
        {row: published[row].miou for row in measured if row in published},
        title=title,
    )
    return file


def _records(results: Sequence[Result], frames: FrameCounts) -> Values:
    """By row, what its runs state of themselves: once where its seeds agree, else by seed.

    Runs that do not state how many frames they had are given those that are there now.
    """
    found: dict[str, dict[str, Values]] = {}
    for result in results:
        record = {"frames": build.frame_words(frames[result.row])}
        record |= json.loads(RunFolder(result.run).record.read_text(encoding="utf-8"))
        found.setdefault(result.row, {})[f"seed {result.seed}"] = record
    return {
        row: {key: _agreed({seed: record[key] for seed, record in runs.items()}) for key in FACTS}
        for row, runs in found.items()
    }


def _agreed(values: Values) -> object:
    first, *others = values.values()
    return values if any(other != first for other in others) else first
