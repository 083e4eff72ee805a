"""Several runs compared: rows of different methods, each over several seeds, under one schedule."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsadapt import config
from rsadapt.errors import OutputExistsError
from rsadapt.progress import Progress
from rsadapt.run import RunFolder
from rsadapt.training import train_run

Values = dict[str, Any]

ADAPTED_BATCH_NORM_STEPS = 200
"""Target batches that batch-norm statistics are taken from: at a momentum of 0.02, 2 % of the
source's are left."""

STATISTICS = "statistics.json"
"""The file in a study's folder that keeps statistics of imagery, so that they are taken once."""

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


def with_predecessors(rows: Sequence[Row], names: Collection[str]) -> list[Row]:
    """The rows of these names, and those that they start from, in the order of `rows`."""
    wanted = set(names)
    for row in reversed(rows):
        if row.name in wanted and row.after is not None:
            wanted.add(row.after)
    return [row for row in rows if row.name in wanted]


def run_study(
    rows: Sequence[Row],
    seeds: Sequence[int],
    base: Callable[[int], Values],
    out: Path,
    *,
    progress: Progress | None = None,
    after_each: Callable[[], object] = lambda: None,
) -> list[Result]:
    """Train every row with every seed; runs that are finished are kept, broken ones go on.

    Args:
        rows: a row must stand after the one it starts from.
        seeds: each decides weights and samples, and what else `base` makes of it.
        base: gives the values of the configuration for a seed, absolute paths only.
        out: gets a folder `seed-S/ROW` for each run, and the statistics that they share.
        progress: is told of every run's steps, under the name "ROW, seed S".
        after_each: is called when a run is done.

    Raises:
        OutputExistsError: where a run's folder holds a run of another configuration; nothing is
            trained then.
        RsadaptError: see `train_run`.
    """
    planned = [run for seed in seeds for run in _plan(rows, seed, base, out)]
    for run in planned:
        if run.begun:
            run.folder.check_run(config.dump(run.settings), renewed=config.renewed)
    results = []
    for run in planned:
        result = _run(run, out / STATISTICS, progress)
        if run.row.reported:
            results.append(result)
        after_each()
    return results


def finished(
    rows: Sequence[Row], base: Callable[[int], Values], out: Path
) -> tuple[list[Result], list[str]]:
    """The runs of these rows, of any seed, that are done in a study's folder.

    Returns:
        Their results, row by row; and the names "seed-S/ROW" of those of other settings, which
        belong to another study.
    """
    names = (path.name.removeprefix("seed-") for path in out.glob("seed-*"))
    seeds = sorted(int(name) for name in names if name.isdecimal())
    results, others = [], []
    for row in rows:
        for run in (run for seed in seeds for run in _plan([row], seed, base, out) if run.begun):
            try:
                run.folder.check_run(config.dump(run.settings), renewed=config.renewed)
            except OutputExistsError:
                others.append(f"seed-{run.settings.seed}/{row.name}")
                continue
            if (result := _result(run)) is not None:
                results.append(result)
    return results, others


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


@dataclass(frozen=True)
class _Planned:
    """A run of a study, begun or not."""

    row: Row
    settings: config.Configuration
    folder: RunFolder

    @property
    def begun(self) -> bool:
        return self.folder.configuration.exists()


def _plan(
    rows: Sequence[Row], seed: int, base: Callable[[int], Values], out: Path
) -> list[_Planned]:
    """The runs of one seed."""
    values = base(seed) | {"seed": seed}
    folder = out / f"seed-{seed}"
    planned = []
    for row in rows:
        changed = config.change(values, row.changes)
        if row.after is not None:
            changed["init_from"] = str((folder / row.after).resolve())
        settings = config.parse(changed, where=f"row '{row.name}'")
        planned.append(_Planned(row, settings, RunFolder(folder / row.name)))
    return planned


def _run(run: _Planned, cache: Path, progress: Progress | None) -> Result:
    """Train a run as far as it is not trained yet."""
    done = _result(run) if run.begun else None
    if done is not None:
        return done
    name, settings = f"{run.row.name}, seed {run.settings.seed}", run.settings

    def report(task: str, done: int, total: int) -> None:
        if progress is not None and task == "train":
            progress(name, done, total)

    outcome = train_run(settings, run.folder.path, resume=run.begun, cache=cache, progress=report)
    return _as_result(run, outcome.validation)


def _result(run: _Planned) -> Result | None:
    """What a run came to that was begun before; None where it is not done."""
    validation = run.folder.validation(run.settings.training.steps)
    return None if validation is None else _as_result(run, validation)


def _as_result(run: _Planned, validation: Values) -> Result:
    folder = run.folder
    return Result(run.row.name, run.settings.seed, folder.path, validation, folder.seconds())
