"""Whether one region orders its bands unlike the other, told by their names or distributions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from rsadapt.geo.distances import Distribution, wasserstein
from rsadapt.inspection.facts import BandFacts

Order = tuple[int, ...]
"""For each band of the source the position of the target's band that belongs to it."""

MOST_BANDS = 6
"""Bands whose orders are all tried: 720 of them."""

CLEARLY = 1.2
"""How many times nearer bands must lie in another order. Among the pairs of RGB scenes at
hand, in their right order, no common order was nearer by more than 1.17; the reversed ones of
Kampala and Banepa (aerial) by 1.24 to 1.78, of one place by 1.3 to 5."""

LEAST_GAIN = 0.05
"""And how much nearer, in standard deviations of all bands of a region together."""


def named_order(source: Sequence[str | None], target: Sequence[str | None]) -> Order | None:
    """The order by which the target's names are those of the source, where it is another.

    Args:
        source: what each band is called, or None.
        target: likewise.
    """
    ours, theirs = (
        [None if n is None else n.casefold() for n in names] for names in (source, target)
    )
    if None in ours or ours == theirs or len(set(ours)) < len(ours) or set(ours) != set(theirs):
        return None
    return tuple(theirs.index(name) for name in ours)


def likely_order(source: Sequence[BandFacts], target: Sequence[BandFacts]) -> Order | None:
    """The order in which the target's bands are much more like the source's, if there is one.

    Bands are compared by the 1-Wasserstein distance after each region's values, all bands together,
    are brought to mean 0 and deviation 1: how bright and how rich in contrast a region is says
    nothing about order, how bright its bands are beside each other does. Only orders that sensors
    and programs use are believed, and only where no other is better still.
    """
    varying = [
        place
        for place, bands in enumerate(zip(source, target, strict=True))
        if not any(band.constant for band in bands)
    ]
    if not 1 < len(varying) <= MOST_BANDS:
        return None
    costs = _costs([source[n] for n in varying], [target[n] for n in varying])
    count = len(varying)
    mean = {order: costs[range(count), order].mean() for order in permutations(range(count))}
    best = min(mean, key=mean.__getitem__)
    kept = mean[tuple(range(count))]
    if best not in _common_orders(count):
        return None
    if kept < CLEARLY * mean[best] or kept - mean[best] < LEAST_GAIN:
        return None
    whole = list(range(len(source)))
    for place, other in zip(varying, best, strict=True):
        whole[place] = varying[other]
    return tuple(whole)


def _common_orders(count: int) -> set[Order]:
    """Orders of the same bands that files come in, as seen from one another."""
    bands = tuple(range(count))
    backwards = bands[::-1]  # blue, green, red for red, green, blue
    if count < 4:
        return {backwards} - {bands}
    return {
        backwards,
        (*bands[2::-1], *bands[3:]),  # the colours alone, infrared after them
        (*bands[1:], bands[0]),  # infrared before the colours rather than after
        (bands[-1], *bands[:-1]),
    }


def _costs(source: Sequence[BandFacts], target: Sequence[BandFacts]) -> NDArray[np.float64]:
    """Distances of each band of the source (rows) from each of the target (columns)."""
    ours, theirs = _together(source), _together(target)
    return np.array([[wasserstein(one, other) for other in theirs] for one in ours])


def _together(bands: Sequence[BandFacts]) -> list[Distribution]:
    """The bands' distributions after all of a region's values are standardised together."""
    means, deviations = ([band.mean for band in bands], [band.std for band in bands])
    mean = float(np.mean(means))
    scale = float(np.sqrt(np.mean(np.square(deviations)) + np.var(means)))
    return [
        Distribution.of(band.histogram.edges, band.histogram.counts).rescaled(mean, scale)
        for band in bands
    ]
