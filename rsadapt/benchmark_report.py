"""What a benchmark came to, beside what was published: Markdown, JSON and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsadapt import report, tables
from rsadapt.benchmark_rows import Benchmark, Values, Variant
from rsadapt.published import PUBLISHED
from rsadapt.run import RunFolder
from rsadapt.study import Result, best_snapshots, summary

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
class Comparison:
    """What was compared, and how it was asked for.

    Attributes:
        name: the benchmark's.
        benchmark: it.
        variant: as the published code trains, or as the paper says.
        init: the initial weights that were asked for.
        changes: assignments that changed its recipe.
        frames: by split, how many frames there are and how many officially, where these differ.
    """

    name: str
    benchmark: Benchmark
    variant: Variant
    init: str
    changes: tuple[str, ...]
    frames: Mapping[str, tuple[int, int]]

    @property
    def title(self) -> str:
        """In words."""
        words = "the paper says" if self.variant == "paper" else "published"
        changed = ", but for what was changed" if self.changes else ""
        return f"{self.benchmark.title}, as {words}{changed}"

    def notes(self, measured: Mapping[str, Values]) -> list[str]:
        """Why figures cannot be held against the published ones, each in a few words."""
        notes = []
        if self.changes:
            notes.append(f"the recipe was changed ({', '.join(self.changes)})")
        if self.frames:
            counts = (f"{split} {n} of {m}" for split, (n, m) in self.frames.items())
            notes.append(f"other frames than the official ones ({', '.join(counts)})")
        if self.init in ("imagenet", "random"):
            notes.append(f"initial weights {self.init}, not the authors' (ImageNet + COCO)")
        unseen = dict.fromkeys(
            label
            for row in measured.values()
            for label, value in row["classes"].items()
            if value is None
        )
        if unseen:
            notes.append(f"classes that no pixel has are left out of means ({', '.join(unseen)})")
        return notes


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


def write(
    comparison: Comparison, results: Sequence[Result], others: Sequence[str], out: Path
) -> BenchmarkResult:
    """Write the tables, the figures and the chart into a folder, in place of earlier ones.

    Args:
        comparison: what was compared.
        results: of the runs that are done.
        others: names of runs beside them that have other settings, and are left out.
        out: the folder.
    """
    measured, best = summary(results), best_snapshots(results)
    published = PUBLISHED.get(comparison.name, {})
    records, notes = records_of(results), comparison.notes(measured)
    file = BenchmarkResult(measured, out / "table.md", out / "table.json", out / "table.png")
    markdown = tables.benchmark_markdown(
        comparison.title,
        notes=notes,
        measured=measured,
        best=best,
        published=published,
        records=records,
    )
    if others:
        markdown += f"\nLeft out, as they have other settings: {', '.join(others)}.\n"
    file.markdown.write_text(markdown, encoding="utf-8")
    content = {
        "benchmark": comparison.name,
        "variant": comparison.variant,
        "changes": comparison.changes,
        "initial_weights_asked": comparison.init,
        "not_comparable_with_the_published": notes,
        "measured_final_iteration": measured,
        "measured_best_snapshot_chosen_with_target_labels": best,
        "published_by_others": {
            row: {"miou": figure.miou, "source": figure.source, "classes": dict(figure.classes)}
            for row, figure in published.items()
        },
        "records": records,
        "left_out_for_other_settings": others,
    }
    file.figures.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    report.beside(
        file.chart,
        {row: (line["miou"], line["std"]) for row, line in measured.items()},
        {row: published[row].miou for row in measured if row in published},
        title=comparison.title,
    )
    return file


def records_of(results: Sequence[Result]) -> Values:
    """By row, what its runs state of themselves: once where its seeds agree, else by seed."""
    found: dict[str, dict[str, Values]] = {}
    for result in results:
        record = json.loads(RunFolder(result.run).record.read_text(encoding="utf-8"))
        found.setdefault(result.row, {})[f"seed {result.seed}"] = record
    return {
        row: {
            key: _agreed({seed: record.get(key) for seed, record in runs.items()}) for key in FACTS
        }
        for row, runs in found.items()
    }


def _agreed(values: Values) -> object:
    first, *others = values.values()
    return values if any(other != first for other in others) else first
