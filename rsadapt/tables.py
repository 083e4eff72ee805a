"""Markdown tables of results: what was measured here, and apart from it what others published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rsadapt.published import PublishedFigure

Values = dict[str, Any]


def comparison_markdown(summary: Mapping[str, Values]) -> str:
    """The rows of `study.summary`, in per cent: mIoU, each class, and mIoU by seed."""
    classes = list(next(iter(summary.values()))["classes"])
    lines = [
        line("trained", "mIoU", *classes, "by seed"),
        "| --- |" + " ---: |" * (len(classes) + 1) + " --- |",
    ]
    for name, row in summary.items():
        shown = [percent(row["classes"][label]) for label in classes]
        seeds = ", ".join(percent(value) for value in row["seeds"].values())
        lines.append(line(name, spread(row), *shown, seeds))
    return "\n".join(lines)


def benchmark_markdown(
    title: str,
    *,
    notes: Sequence[str],
    measured: Mapping[str, Values],
    best: Mapping[str, Values],
    published: Mapping[str, PublishedFigure],
    records: Mapping[str, Values],
) -> str:
    """A benchmark's report.

    Args:
        title: of the benchmark.
        notes: why its figures cannot be held against the published ones.
        measured: `study.summary`.
        best: `study.best_snapshots`.
        published: what others published, by row.
        records: by row, what its runs state of themselves.
    """
    theirs = {row: published[row] for row in measured if row in published}
    classes = list(next(iter(measured.values()))["classes"])
    by_class = {row: one for row, one in theirs.items() if list(one.classes) == classes}
    parts = [
        f"# {title}",
        *(f"**Not comparable with the published figures: {note}.**" for note in notes),
        "mIoU in per cent over the classes of the table, from one confusion matrix; mean ± sample "
        "standard deviation over seeds. The final iteration's is the result. The best snapshot was "
        "chosen with the target's own validation labels, which nobody has who adapts: it stands "
        "here only since papers report it. Published figures are not measured here.",
        _overview(measured, best, theirs),
        "## Measured here, final iteration, by class",
        comparison_markdown(measured),
        "## What the runs state",
        facts_markdown(records),
    ]
    if by_class:
        parts += ["## Published by others, by class", _published_classes(by_class, classes)]
    return "\n\n".join(parts) + "\n"


def _overview(
    measured: Mapping[str, Values],
    best: Mapping[str, Values],
    published: Mapping[str, PublishedFigure],
) -> str:
    lines = [
        line("row", "final iteration", "seeds", "best snapshot", "published", "where"),
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, row in measured.items():
        figure = published.get(name)
        theirs = (percent(figure.miou), figure.source) if figure else ("-", "-")
        lines.append(line(name, spread(row), str(len(row["seeds"])), spread(best[name]), *theirs))
    return "\n".join(lines)


def _published_classes(published: Mapping[str, PublishedFigure], classes: list[str]) -> str:
    lines = [line("row", *classes, "where"), "| --- |" + " ---: |" * len(classes) + " --- |"]
    for name, figure in published.items():
        shown = map(percent, figure.classes.values())
        lines.append(line(name, *shown, figure.classes_source or figure.source))
    return "\n".join(lines)


def facts_markdown(records: Mapping[str, Values]) -> str:
    """Each fact once with the rows it holds for."""
    lines = []
    for key in next(iter(records.values())):
        held: dict[str, list[str]] = {}
        for row, record in records.items():
            held.setdefault(_words(record[key]), []).append(row)
        said = "; ".join(
            words if len(held) == 1 else f"{words} ({', '.join(rows)})"
            for words, rows in held.items()
        )
        lines.append(f"- {key.replace('_', ' ')}: {said}")
    return "\n".join(lines)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items())
    return "unknown" if value is None else str(value)


def spread(row: Values) -> str:
    """A row's mIoU with its deviation, in per cent."""
    deviation = "" if row["std"] is None else f" ± {percent(row['std'])}"
    return percent(row["miou"]) + deviation


def percent(value: float | None) -> str:
    """A share as per cent, "-" where unknown."""
    return "-" if value is None else f"{100 * value:.1f}"


def line(*cells: str) -> str:
    """A table's line."""
    return "| " + " | ".join(cells) + " |"
