"""What a comparison came to, as Markdown, CSV, JSON and figures."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsadapt import comparison, report
from rsadapt.benchmark_report import records_of
from rsadapt.comparison import Snapshot, target_miou
from rsadapt.infer.validators import BETTER
from rsadapt.run import RunFolder
from rsadapt.study import Result, Row, summary
from rsadapt.tables import comparison_markdown, facts_markdown, line, percent
from rsadapt.whole import write_text

Values = dict[str, Any]

NAMES = {
    "entropy": "entropy (low is sure)",
    "neighbourhood_density": "neighbourhood density",
    "information": "information",
    "agreement": "agreement when mirrored",
}
"""Of the validators, as tables head their columns."""

BUDGET = (
    "Every row takes the same number of steps, after the same first part where there is one, but "
    "for adapted_batch_norm, which trains no weight, and rows that say otherwise; what that took "
    "is under Cost."
)

SCORES = (
    "mIoU in per cent at the final iteration, mean ± sample standard deviation over seeds, on the "
    "target's validation part."
)

COST = (
    "Seconds pass for other work on the machine, too. Memory is the most that the whole process "
    "had taken by then, so that rows which one process trained after one another share it."
)

UNLABELLED = (
    "**The target has no labels to score with. The figures below are those of validators, which "
    "need none: they say how sure and how consistent a network is, and not how often it is right.**"
)


@dataclass(frozen=True)
class ComparisonResult:
    """What a comparison came to.

    Attributes:
        measured: `study.summary` of the rows; empty where the target has no labels.
        gains: `comparison.gains` of them.
        validators: by row, mean and deviation of each validator at the final iteration.
        judgement: `comparison.judgement`, over all runs but those that learn from target labels.
        markdown: the report.
        table: one line a run, CSV.
        figures: all of it as JSON.
        pictures: the figures, in the order of the report.
    """

    measured: Values
    gains: Values
    validators: Values
    judgement: Values
    markdown: Path
    table: Path
    figures: Path
    pictures: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Compared:
    """What is reported.

    Attributes:
        title: in words.
        rows: that the results are of.
        results: of the runs that are done.
        budget: what every row was given, in words.
        baselines: rows that gains are told over, the first where the gap to a ceiling begins.
        others: names of runs beside them that have other settings.
        refused: by name, why rows cannot be trained with the configuration.
        ceiling: names of rows that learn from the target's labels.
        maps: pictures of maps side by side.
    """

    title: str
    rows: Mapping[str, Row]
    results: Sequence[Result]
    budget: str = BUDGET
    baselines: Sequence[str] = ()
    others: Sequence[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    ceiling: frozenset[str] = frozenset()
    maps: Sequence[Path] = ()

    @property
    def labelled(self) -> bool:
        """Whether every run was scored on the target."""
        return all(target_miou(result) is not None for result in self.results)


def write(compared: Compared, out: Path) -> ComparisonResult:
    """Write all files into a folder, in place of those of the same comparison before."""
    results = compared.results
    shown = comparison.snapshots(results)
    judged = [snapshot for snapshot in shown if snapshot.row not in compared.ceiling]
    measured = summary(results) if compared.labelled else {}
    found = ComparisonResult(
        measured,
        comparison.gains(measured, compared.baselines, next(iter(sorted(compared.ceiling)), None)),
        comparison.figures(shown),
        comparison.judgement(judged),
        out / "comparison.md",
        out / "comparison.csv",
        out / "comparison.json",
        _pictures(compared, measured, judged, out),
    )
    records, costs = _stated(results), _costs(results)
    write_text(found.markdown, _markdown(compared, found, judged, records, costs))
    write_text(found.table, _csv(results, shown))
    content = {
        "title": compared.title,
        "rows": {
            name: {"changes": row.changes, "after": row.after}
            for name, row in compared.rows.items()
        },
        "learn_from_target_labels": sorted(compared.ceiling),
        "measured_final_iteration": measured,
        "gains": found.gains,
        "cost": costs,
        "validators_final_iteration": found.validators,
        "validators_judged": found.judgement,
        "chosen_within_runs": comparison.within_runs(judged),
        "snapshots": [
            snapshot.told() | {"final": snapshot.final, "validators": dict(snapshot.figures)}
            for snapshot in shown
        ],
        "records": records,
        "refused": dict(compared.refused),
        "left_out_for_other_settings": list(compared.others),
    }
    write_text(found.figures, json.dumps(content, indent=1) + "\n")
    return found


def _pictures(
    compared: Compared, measured: Values, judged: Sequence[Snapshot], out: Path
) -> list[Path]:
    """Draw the figures."""
    drawn = []
    if measured:
        drawn.append(out / "comparison.png")
        heights = {row: (each["miou"], each["std"]) for row, each in measured.items()}
        report.beside(drawn[-1], heights, {}, title=compared.title)
    panels = {name: _cloud(judged, name, scored=bool(measured)) for name in BETTER}
    known = {NAMES[name]: groups for name, groups in panels.items() if groups}
    if known:
        drawn.append(out / "validators.png")
        across = "target mIoU, %" if measured else "steps"
        report.points(drawn[-1], known, across=across, title="Validators without labels")
    return [*drawn, *compared.maps]


def _cloud(
    of: Sequence[Snapshot], validator: str, *, scored: bool
) -> dict[str, list[tuple[float, float]]]:
    groups: dict[str, list[tuple[float, float]]] = {}
    for snapshot in of:
        up = snapshot.figures.get(validator)
        if up is not None:
            across = 100 * (snapshot.miou or 0.0) if scored else float(snapshot.step)
            groups.setdefault(snapshot.row, []).append((across, up))
    return groups


def _stated(results: Sequence[Result]) -> dict[str, Values]:
    """By row, what its runs state of themselves, without what none has anything to say of."""
    records = records_of(results)
    said = {key for record in records.values() for key, value in record.items() if value}
    return {
        row: {key: value for key, value in record.items() if key in said}
        for row, record in records.items()
    }


def _costs(results: Sequence[Result]) -> dict[str, Values]:
    """By row, the mean seconds of training and the greatest peaks of memory, bytes."""
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(result.row, []).append(result)
    costs = {}
    for row, group in rows.items():
        peaks = [RunFolder(result.run).memory() for result in group]
        costs[row] = {"seconds": statistics.mean(result.seconds for result in group)} | {
            kind: max((peak[kind] for peak in peaks if peak.get(kind) is not None), default=None)
            for kind in ("resident", "cuda")
        }
    return costs


# Markdown


def _markdown(
    compared: Compared,
    found: ComparisonResult,
    judged: Sequence[Snapshot],
    records: Values,
    costs: Values,
) -> str:
    parts = [f"# {compared.title}"]
    if found.measured:
        parts += [f"{compared.budget} {SCORES}", comparison_markdown(found.measured)]
    else:
        parts.append(UNLABELLED)
    if compared.ceiling:
        parts.append(
            f"Trained with the target's own labels, and in no choice or correlation below: "
            f"{', '.join(sorted(compared.ceiling))}."
        )
    parts += [f"![{picture.stem}]({picture.name})" for picture in found.pictures]
    if any(each["over"] for each in found.gains.values()):
        parts += [
            "## Gains, seed by seed",
            "Points of mIoU over a baseline, mean of the seeds that both have and, in brackets, in "
            "how many of them the row is ahead.",
            _gains_table(found.gains, compared.baselines),
        ]
    looked = any(snapshot.figures for snapshot in judged)
    if looked:
        parts += [
            "## Validators without labels, final iteration",
            _validator_table(found.validators),
            "## What validators would have chosen",
            _judgement_table(found.judgement, judged, scored=bool(found.measured)),
        ]
    if looked and found.measured:
        parts += [
            "mIoU of the snapshot that each would have chosen within a run, mean over seeds; the "
            "last column was chosen with the target's labels, which nobody has who adapts.",
            _within_table(comparison.within_runs(judged)),
        ]
    parts += ["## Cost", COST, _cost_table(costs)]
    parts += ["## What the runs state", facts_markdown(records)]
    if compared.refused:
        reasons = "; ".join(compared.refused.values())
        parts.append(f"Not possible with this configuration: {reasons}.")
    if compared.others:
        parts.append(f"Left out, as they have other settings: {', '.join(compared.others)}.")
    return "\n\n".join(parts) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = "| --- |" + " ---: |" * (len(heads) - 1)
    return "\n".join([line(*heads), rule, *(line(*row) for row in rows)])


def _gains_table(rows: Mapping[str, Values], baselines: Sequence[str]) -> str:
    """Gains over each baseline and, where there is a ceiling, the share of the gap to it."""
    bounded = any(each["closed"] is not None for each in rows.values())
    heads = ["trained", *(f"over {name}" for name in baselines)]
    heads += ["of the gap closed, %"] if bounded else []
    return _table(
        heads,
        [
            [row, *(_gained(each["over"].get(name)) for name in baselines)]
            + ([percent(each["closed"])] if bounded else [])
            for row, each in rows.items()
        ],
    )


def _gained(gain: Values | None) -> str:
    return "-" if gain is None else f"{100 * gain['mean']:+.1f} ({gain['ahead']}/{gain['seeds']})"


def _validator_table(rows: Mapping[str, Values]) -> str:
    return _table(
        ["trained", *NAMES.values()],
        [[row, *(_spread(each[name]) for name in NAMES)] for row, each in rows.items()],
    )


def _judgement_table(judgement: Values, judged: Sequence[Snapshot], *, scored: bool) -> str:
    """Which run and snapshot each validator takes, and how it ranks them all."""
    count, finals = len(judged), sum(snapshot.final for snapshot in judged)
    heads = ["validator", "chooses of the final iterations", "of all snapshots"]
    if scored:
        heads += [f"rank correlation, {finals} final", f"{count} snapshots"]
    lines = []
    for name, each in judgement.items():
        cells = [NAMES[name], *(_told(each["chooses"][kind]) for kind in ("final", "snapshots"))]
        if scored:
            cells += [_number(each["correlation"][kind]) for kind in ("final", "snapshots")]
        lines.append(cells)
    if scored:
        groups = [[snapshot for snapshot in judged if snapshot.final], judged]
        taken = [comparison.best(group) for group in groups]
        told = [_told(None if each is None else each.told()) for each in taken]
        lines.append(["the target's labels", *told, "1.00", "1.00"])
    return _table(heads, lines)


def _within_table(rows: Mapping[str, Values]) -> str:
    heads = ["trained", "final iteration", *NAMES.values(), "best with labels"]
    return _table(heads, [[row, *map(percent, each.values())] for row, each in rows.items()])


def _cost_table(costs: Mapping[str, Values]) -> str:
    heads = ["trained", "training, s", "peak memory, MB", "peak on the GPU, MB"]
    return _table(
        heads,
        [
            [row, f"{each['seconds']:.0f}", *(_megabytes(each[k]) for k in ("resident", "cuda"))]
            for row, each in costs.items()
        ],
    )


def _told(snapshot: Values | None) -> str:
    if snapshot is None:
        return "-"
    words = f"{snapshot['row']}, seed {snapshot['seed']}, step {snapshot['step']}"
    return words if snapshot["miou"] is None else f"{words}: {percent(snapshot['miou'])}"


def _spread(value: Values) -> str:
    deviation = "" if value["std"] is None else f" ± {value['std']:.3f}"
    return "-" if value["mean"] is None else f"{value['mean']:.3f}{deviation}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _megabytes(size: float | None) -> str:
    return "-" if size is None else f"{size / 1e6:.0f}"


# CSV


def _csv(results: Sequence[Result], shown: Sequence[Snapshot]) -> str:
    """One line a run: how good it is, what validators say, and what it cost."""
    final = {(each.row, each.seed): each for each in shown if each.final}
    lines = []
    for result in results:
        classes = result.validation.get("target", {}).get("classes", {})
        memory = RunFolder(result.run).memory()
        lines.append(
            {"row": result.row, "seed": result.seed, "target_miou": target_miou(result)}
            | {f"iou_{name}": each["iou"] for name, each in classes.items()}
            | {name: final[result.row, result.seed].figures.get(name) for name in BETTER}
            | {"seconds": round(result.seconds, 3)}
            | {f"peak_{kind}_bytes": memory.get(kind) for kind in ("resident", "cuda")}
        )
    heads = dict.fromkeys(key for each in lines for key in each)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
