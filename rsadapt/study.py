"""Several runs compared: rows of different methods, each over several seeds, under one schedule."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsadapt import config
from rsadapt.progress import Progress
from rsadapt.run import RunFolder
from rsadapt.training import train_run

Values = dict[str, Any]

ADAPTED_BATCH_NORM_STEPS = 200
"""Target batches that batch-norm statistics are taken from: at a momentum of 0.02, 2 % of the
source's are left."""

FROM_SCRATCH: Values = {"training.steps": 800, "optimiser.rate": 0.002}
"""First part of a schedule for a small network with random weights."""


@dataclass(frozen=True)
class Row:
    """One line of a comparison.

    Attributes:
        name: what tables call it; lower case, its folder's name too.
        changes: fields by dotted name that differ from the study's configuration; a dictionary
            replaces the whole group.
        after: the row whose trained network it starts from, None for fresh weights.
        reported: whether results hold it; one that others only start from is not.
    """

    name: str
    changes: Values = field(default_factory=dict)
    after: str | None = None
    reported: bool = True


@dataclass(frozen=True)
class Result:
    """What one run of a study came to.

    Attributes:
        row: the row's name.
        seed: of the run.
        run: its folder.
        validation: by domain, the report of `ConfusionMatrix.to_dict` at the final iteration.
        seconds: wall-clock time of training, with its validations and checkpoints.
    """

    row: str
    seed: int
    run: Path
    validation: Values
    seconds: float

    def miou(self, domain: str = "target") -> float:
        """Mean IoU, 0..1, of the final iteration on a domain's validation part."""
        value: float = self.validation[domain]["totals"]["miou"]
        return value

    def best(self, domain: str = "target") -> tuple[int, Values]:
        """The step and the report of the best validated snapshot, chosen with `domain`'s labels."""
        found = RunFolder(self.run).validations()
        step = max(found, key=lambda step: found[step][domain]["totals"]["miou"] or 0.0)
        report: Values = found[step][domain]
        return step, report


def standard_rows(values: Values, *, first: Values = FROM_SCRATCH) -> dict[str, Row]:
    """The rows that show what output-space adaptation is worth, by name.

    All have one schedule: a first part of supervised training, which rows that learn from the same
    labels share, and a second part in which they differ.

    Args:
        values: the second part's configuration; its method, output_space, is "multi-level".
        first: fields of the first part that differ from it, by dotted name.

    Returns:
        "source-only", "adapted-batch-norm" (which starts from it), "weight-zero" (the same
        adaptation without its adversarial loss), "single-level" (adversarial at the main level
        only), "multi-level", and "target-trained", which learns from the target's labels what is
        attainable; besides these the first parts, which are not reported.
    """
    method = values["method"]
    supervised: Values = {"method": {"name": "source_only", "segmentation": method["segmentation"]}}
    on_target = supervised | {"source": values["target"]}
    adapted: Values = {
        "method": {"name": "adapted_batch_norm"},
        "network.batch_norm": "per_domain",
        "training.steps": ADAPTED_BATCH_NORM_STEPS,
    }
    weights = method["adversarial"]
    main_level = [0.0] * (len(weights) - 1) + weights[-1:]
    no_level = [0.0] * len(weights)
    rows = [
        Row("source-first", supervised | first, reported=False),
        Row("source-only", supervised, after="source-first"),
        Row("adapted-batch-norm", adapted, after="source-only"),
        Row("weight-zero", {"method.adversarial": no_level}, after="source-first"),
        Row("single-level", {"method.adversarial": main_level}, after="source-first"),
        Row("multi-level", after="source-first"),
        Row("target-first", on_target | first, reported=False),
        Row("target-trained", on_target, after="target-first"),
    ]
    return {row.name: row for row in rows}


def run_study(
    rows: Sequence[Row],
    seeds: Sequence[int],
    base: Callable[[int], Values],
    out: Path,
    *,
    progress: Progress | None = None,
) -> list[Result]:
    """Train every row with every seed; runs that are finished are kept, broken ones go on.

    Args:
        rows: a row must stand after the one it starts from.
        seeds: each decides weights and samples, and what else `base` makes of it.
        base: gives the values of the configuration for a seed, absolute paths only.
        out: gets a folder `seed-S/ROW` for each run.
        progress: is told of every run's steps, under the name "ROW, seed S".

    Raises:
        OutputExistsError: where a run's folder holds a run of another configuration.
        RsadaptError: see `train_run`.
    """
    results = []
    for seed in seeds:
        values = base(seed) | {"seed": seed}
        folder = out / f"seed-{seed}"
        for row in rows:
            changed = config.change(values, row.changes)
            if row.after is not None:
                changed["init_from"] = str((folder / row.after).resolve())
            settings = config.parse(changed, where=f"row '{row.name}'")
            result = _run(row.name, settings, folder / row.name, progress)
            if row.reported:
                results.append(result)
    return results


def summary(results: Sequence[Result], domain: str = "target") -> dict[str, Values]:
    """Mean and deviation over seeds of each row, in the order of the rows.

    Returns:
        By row: "miou" and "std" (sample standard deviation, None for one seed), both 0..1, "seeds"
        (mIoU by seed), "classes" (mean IoU by class, None where undefined in every seed),
        "seconds" (mean training time).
    """
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(result.row, []).append(result)
    return {
        row: {
            "miou": statistics.mean(result.miou(domain) for result in group),
            "std": statistics.stdev(r.miou(domain) for r in group) if len(group) > 1 else None,
            "seeds": {result.seed: result.miou(domain) for result in group},
            "classes": _class_means([result.validation[domain]["classes"] for result in group]),
            "seconds": statistics.mean(result.seconds for result in group),
        }
        for row, group in rows.items()
    }


def best_snapshots(results: Sequence[Result], domain: str = "target") -> dict[str, Values]:
    """What the best snapshot of each run reached, chosen with the labels it is scored with.

    As papers often report; it flatters, and nobody without target labels can choose it.

    Returns:
        By row: "miou", "std", "seeds" and "classes" as `summary`, and "steps" (by seed).
    """
    rows: dict[str, list[tuple[int, int, Values]]] = {}
    for result in results:
        rows.setdefault(result.row, []).append((result.seed, *result.best(domain)))
    table = {}
    for row, group in rows.items():
        values = {seed: report["totals"]["miou"] for seed, _, report in group}
        table[row] = {
            "miou": statistics.mean(values.values()),
            "std": statistics.stdev(values.values()) if len(group) > 1 else None,
            "seeds": values,
            "classes": _class_means([report["classes"] for _, _, report in group]),
            "steps": {seed: step for seed, step, _ in group},
        }
    return table


def _class_means(tables: Sequence[Values]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for name in tables[0]:
        found = [table[name]["iou"] for table in tables if table[name]["iou"] is not None]
        means[name] = statistics.mean(found) if found else None
    return means


def _run(name: str, settings: config.Configuration, out: Path, progress: Progress | None) -> Result:
    run = RunFolder(out)
    begun = run.configuration.exists()
    if begun:
        run.check_run(config.dump(settings))
    validation = run.validation(settings.training.steps) if begun else None
    if validation is None:

        def report(task: str, done: int, total: int) -> None:
            if progress is not None and task == "train":
                progress(f"{name}, seed {settings.seed}", done, total)

        validation = train_run(settings, out, resume=begun, progress=report).validation
    return Result(name, settings.seed, out, validation, run.seconds())
