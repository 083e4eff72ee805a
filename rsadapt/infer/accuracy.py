"""Accuracy and area from a stratified reference sample, as remote sensing reports them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import ConfigError, DataError

Z = 1.96
"""Standard errors on either side of an estimate that make a 95 % interval."""

LEAST_IN_STRATUM = 2
"""Units of which a variance can be estimated."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its uncertainty.

    Attributes:
        value: of an accuracy or a share 0..1, or of an area in square metres.
        margin: half of its 95 % interval, in the same unit.
    """

    value: float
    margin: float

    def times(self, factor: float) -> Estimate:
        """The estimate in another unit."""
        return Estimate(self.value * factor, self.margin * factor)


@dataclass(frozen=True)
class ClassAccuracy:
    """What a sample says of one class.

    Attributes:
        name: of the class.
        mapped: square metres that the map shows.
        area: square metres that there are, adjusted for the errors of the map.
        users: user's accuracy; None for a class that the map does not show.
        producers: producer's accuracy; None for a class that the reference does not show.
    """

    name: str
    mapped: float
    area: Estimate
    users: Estimate | None
    producers: Estimate | None


@dataclass(frozen=True)
class Assessment:
    """What a stratified reference sample says of a map.

    Attributes:
        classes: of the class table, in its order.
        overall: overall accuracy, weighted by area.
        counts: sample units, rows by map class and columns by reference class.
        shares: estimated shares of the area, likewise; they sum to 1.
    """

    classes: tuple[ClassAccuracy, ...]
    overall: Estimate
    counts: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float, ...], ...]


def sample_size(weights: Sequence[float], users: Sequence[float], standard_error: float) -> int:
    """How many units a stratified sample needs for an overall accuracy of a given precision.

    Cochran 1977, equation 5.25, with the finite population left out as it is for pixels: Olofsson
    et al. 2014, equation 13: n = (sum_i W_i S_i / S(O))^2 with S_i = sqrt(U_i (1 - U_i)).

    Args:
        weights: share of the area of each map class; they sum to 1.
        users: user's accuracy that is expected of each, 0..1.
        standard_error: of the overall accuracy, as 0.01.

    Raises:
        ConfigError: for an accuracy outside 0..1 or a standard error that is not above 0.
    """
    expected = np.asarray(users, np.float64)
    if standard_error <= 0 or not ((expected >= 0) & (expected <= 1)).all():
        raise ConfigError(
            f"expected accuracies of 0 to 1 and a standard error above 0, found {list(users)} and "
            f"{standard_error}"
        )
    spread = float(np.asarray(weights) @ np.sqrt(expected * (1 - expected)))
    return max(1, math.ceil(round((spread / standard_error) ** 2, 6)))


def allocate(size: int, weights: Sequence[float], least: int) -> list[int]:
    """Share a sample out over map classes: in proportion, but to none fewer than `least`.

    Rare classes get `least` and the others what is left, in proportion to their area (Olofsson et
    al. 2014, section 5.1.2).

    Args:
        size: units in all; more where `least` of every class are more.
        weights: share of the area of each map class; a class of 0 gets nothing.
        least: units of a class that is there.
    """
    common = {number: weight for number, weight in enumerate(weights) if weight > 0}
    units = [0] * len(weights)
    left = size
    while rare := [n for n, w in common.items() if left * w < least * sum(common.values())]:
        for number in rare:
            units[number] = least
            del common[number]
        left = max(0, left - least * len(rare))
    parts = {number: left * weight / sum(common.values()) for number, weight in common.items()}
    for number, part in parts.items():
        units[number] = math.floor(part)
    rest = sorted(parts, key=lambda number: math.floor(parts[number]) - parts[number])
    for number in rest[: left - sum(map(math.floor, parts.values()))]:
        units[number] += 1
    return units


def assess(names: Sequence[str], counts: NDArray[np.int64], areas: Sequence[float]) -> Assessment:
    """Estimate accuracies and areas from a sample stratified by map class.

    Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land
    change", equations 1 to 11: shares of the area W_i n_ij / n_i, and the variances of overall
    (5), user's (6) and producer's accuracy (7) and of areas (10).

    Args:
        names: of the classes.
        counts: sample units [map classes, reference classes].
        areas: square metres of each map class.

    Raises:
        DataError: for a class of the map with fewer than two units, of which no variance follows.
    """
    weights = np.asarray(areas, np.float64) / sum(areas)
    units = counts.sum(axis=1)
    _check(names, weights, units)
    with np.errstate(invalid="ignore", divide="ignore"):
        within = np.where(units[:, np.newaxis] > 0, counts / units[:, np.newaxis], 0.0)
        freedom = np.where(weights > 0, units - 1, 1)
        scatter = within * (1 - within) / freedom[:, np.newaxis]
        shares = weights[:, np.newaxis] * within
        reference = shares.sum(axis=0)
        correct = np.diag(shares)
        producers = correct / reference
    area_variance = weights**2 @ scatter
    own = np.diag(scatter)
    others = area_variance - weights**2 * own
    with np.errstate(invalid="ignore", divide="ignore"):
        producers_variance = (
            weights**2 * (1 - producers) ** 2 * own + producers**2 * others
        ) / reference**2
    total = float(sum(areas))
    return Assessment(
        classes=tuple(
            ClassAccuracy(
                name=name,
                mapped=float(areas[i]),
                area=_estimate(reference[i], area_variance[i]).times(total),
                users=_estimate(within[i, i], own[i]) if weights[i] > 0 else None,
                producers=(
                    _estimate(producers[i], producers_variance[i]) if reference[i] > 0 else None
                ),
            )
            for i, name in enumerate(names)
        ),
        overall=_estimate(float(correct.sum()), float(weights**2 @ own)),
        counts=tuple(tuple(map(int, row)) for row in counts),
        shares=tuple(tuple(map(float, row)) for row in shares),
    )


def _check(names: Sequence[str], weights: NDArray[np.float64], units: NDArray[Any]) -> None:
    scarce = [
        f"{name} ({n})"
        for name, weight, n in zip(names, weights, units, strict=True)
        if weight > 0 and n < LEAST_IN_STRATUM
    ]
    if scarce:
        raise DataError(
            f"expected {LEAST_IN_STRATUM} or more interpreted points of every class of the map, "
            f"found fewer of {', '.join(scarce)}; interpret more of them, or draw a larger sample"
        )


def _estimate(value: float, variance: float) -> Estimate:
    return Estimate(float(value), Z * math.sqrt(variance))
