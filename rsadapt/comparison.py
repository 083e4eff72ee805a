"""What a comparison came to: snapshots of its runs, and how well validators tell the good ones."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsadapt.infer.validators import BETTER
from rsadapt.run import RunFolder
from rsadapt.study import Result

Values = dict[str, Any]

LEAST = 3
"""Snapshots that a correlation is taken of at least."""


@dataclass(frozen=True)
class Snapshot:
    """A run as it was validated after some steps.

    Attributes:
        row: the row's name.
        seed: of the run.
        step: steps done.
        final: whether the run ends here.
        miou: mean IoU, 0..1, on the target's labels; None where nobody knows it.
        figures: of the validators, by name; None where they had nothing to look at.
    """

    row: str
    seed: int
    step: int
    final: bool
    miou: float | None
    figures: Mapping[str, float | None]

    def merit(self, validator: str) -> float | None:
        """What a validator says, the greater the better."""
        value = self.figures.get(validator)
        return None if value is None else BETTER[validator] * value

    def told(self) -> Values:
        """Which it is and how good, JSON-ready."""
        return {"row": self.row, "seed": self.seed, "step": self.step, "miou": self.miou}


def target_miou(result: Result) -> float | None:
    """A run's mean IoU on the target at its final iteration; None where there are no labels."""
    value: float | None = result.validation.get("target", {}).get("totals", {}).get("miou")
    return value


def snapshots(results: Sequence[Result]) -> list[Snapshot]:
    """Every validation of runs that are done."""
    found = []
    for result in results:
        run = RunFolder(result.run)
        validations, validators = run.validations(), run.validators()
        for step, validation in sorted(validations.items()):
            miou = validation.get("target", {}).get("totals", {}).get("miou")
            figures = validators.get(step, {})
            final = step == max(validations)
            found.append(Snapshot(result.row, result.seed, step, final, miou, figures))
    return found


def spearman(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties at their mean rank.

    None for fewer than `LEAST` pairs, and where all of one side are equal. Source: Spearman 1904,
    "The proof and measurement of association between two things".
    """
    if len(ours) < LEAST:
        return None
    one, two = (_ranks(np.asarray(values)) for values in (ours, theirs))
    one, two = one - one.mean(), two - two.mean()
    size = float(np.sqrt((one**2).sum() * (two**2).sum()))
    return float((one * two).sum()) / size if size else None


def _ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mean rank of each value among all."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: np.ndarray[Any, Any] = (ends - (counts - 1) / 2)[places]
    return ranks


def correlation(of: Sequence[Snapshot], validator: str) -> float | None:
    """How a validator ranks snapshots beside the target's labels: 1 is the same order."""
    pairs = [(snapshot.merit(validator), snapshot.miou) for snapshot in of]
    known = [(ours, true) for ours, true in pairs if ours is not None and true is not None]
    return spearman([ours for ours, _ in known], [true for _, true in known])


def chosen(of: Sequence[Snapshot], validator: str) -> Snapshot | None:
    """The snapshot that a validator takes for the best, the first of equals."""
    judged = [
        (merit, snapshot) for snapshot in of if (merit := snapshot.merit(validator)) is not None
    ]
    return max(judged, key=lambda pair: pair[0])[1] if judged else None


def best(of: Sequence[Snapshot]) -> Snapshot | None:
    """The snapshot that the target's labels show to be the best."""
    known = [(snapshot.miou, snapshot) for snapshot in of if snapshot.miou is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def judgement(of: Sequence[Snapshot]) -> dict[str, Values]:
    """What each validator is worth, JSON-ready.

    Args:
        of: snapshots of all runs.

    Returns:
        By validator: its rank correlation with the target's mIoU over all "snapshots" and over the
        "final" ones, and which of either it "chooses".
    """
    final = [snapshot for snapshot in of if snapshot.final]
    return {
        name: {
            "correlation": {
                "snapshots": correlation(of, name),
                "final": correlation(final, name),
            },
            "chooses": {
                kind: None if (taken := chosen(group, name)) is None else taken.told()
                for kind, group in (("snapshots", of), ("final", final))
            },
        }
        for name in BETTER
    }


def within_runs(of: Sequence[Snapshot]) -> dict[str, Values]:
    """What choosing a snapshot of each run would have come to, instead of its final iteration.

    Returns:
        By row, the mean mIoU over seeds of the "final" iterations, of those that each validator
        chooses, and of the "best with labels"; None where unknown.
    """
    runs: dict[str, dict[int, list[Snapshot]]] = {}
    for snapshot in of:
        runs.setdefault(snapshot.row, {}).setdefault(snapshot.seed, []).append(snapshot)
    return {
        row: {"final": _mean([group[-1] for group in seeds.values()])}
        | {name: _mean([chosen(group, name) for group in seeds.values()]) for name in BETTER}
        | {"best with labels": _mean([best(group) for group in seeds.values()])}
        for row, seeds in runs.items()
    }


def figures(of: Sequence[Snapshot]) -> dict[str, Values]:
    """By row, mean and sample deviation over seeds of each validator at the final iteration."""
    rows: dict[str, list[Snapshot]] = {}
    for snapshot in of:
        if snapshot.final:
            rows.setdefault(snapshot.row, []).append(snapshot)
    return {
        row: {name: _spread([each.figures.get(name) for each in group]) for name in BETTER}
        for row, group in rows.items()
    }


def gains(
    measured: Mapping[str, Values], baselines: Sequence[str], ceiling: str | None
) -> dict[str, Values]:
    """What each row gains over baselines on the same seeds, and how much of the gap it closes.

    Args:
        measured: `study.summary`.
        baselines: rows to gain over, the first the gap's lower end.
        ceiling: the row at its upper end, which learns from the target's labels; None for none.

    Returns:
        By row, "over" each baseline that is measured: the "mean" gain in mIoU over "seeds" that
        both have, and in how many it is "ahead"; None where they share no seed. And the share of
        the gap that is "closed": its gain over the first baseline by the ceiling's, each a mean
        over the seeds that all three have; None where they have none, or there is no gap.
    """
    known = {name: measured[name] for name in baselines if name in measured}
    low, high = measured.get(next(iter(baselines), "")), measured.get(ceiling or "")
    return {
        row: {
            "over": {name: _gain(each, base) for name, base in known.items() if name != row},
            "closed": _closed(each, low, high) if low and high else None,
        }
        for row, each in measured.items()
    }


def _gain(ours: Values, theirs: Values) -> Values | None:
    by_seed = [ours["seeds"][seed] - theirs["seeds"][seed] for seed in _shared(ours, theirs)]
    if not by_seed:
        return None
    ahead = sum(gain > 0 for gain in by_seed)
    return {"mean": statistics.mean(by_seed), "seeds": len(by_seed), "ahead": ahead}


def _closed(ours: Values, low: Values, high: Values) -> float | None:
    seeds = _shared(ours, low, high)
    gap = sum(high["seeds"][seed] - low["seeds"][seed] for seed in seeds)
    gain = sum(ours["seeds"][seed] - low["seeds"][seed] for seed in seeds)
    return gain / gap if gap > 0 else None


def _shared(*rows: Values) -> list[int]:
    """The seeds that rows of a summary have in common."""
    return sorted(set.intersection(*(set(row["seeds"]) for row in rows)))


def _mean(of: Sequence[Snapshot | None]) -> float | None:
    known = [each.miou for each in of if each is not None and each.miou is not None]
    return statistics.mean(known) if known and len(known) == len(of) else None


def _spread(values: Sequence[float | None]) -> Values:
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.mean(known) if known else None,
        "std": statistics.stdev(known) if len(known) > 1 else None,
    }
