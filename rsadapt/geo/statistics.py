"""What the values of each band of a region are like, invalid pixels excluded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import DataError, NoValidPixelError

PERCENTILES = (1, 2, 5, 25, 50, 75, 95, 98, 99)
"""Which ones are taken of each band."""

BINS = 64
"""Bins of a histogram; integers may have fewer, since all of theirs hold as many values."""

MARGIN = 0.25
"""How far a histogram goes beyond the first and last percentile, in parts of what lies between."""

SAMPLE = 2**18
"""The most values of a band that are kept where they cannot be counted, and half of the fewest."""


CACHED = 2**14
"""Values of a band whose moments are taken at a time: their deviations stay in the cache."""


@dataclass(frozen=True)
class Histogram:
    """How the values of a band are spread.

    Attributes:
        edges: of the bins, one more than there are, equally far apart, in the raster's units.
            Those of integers lie half a unit between two values.
        counts: valid pixels in each bin, the outer ones with all that lies beyond. Where values
            could not be counted they are those of the sample (see `band_statistics`).
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class BandStatistics:
    """What the valid pixels of a region look like, in the raster's units.

    Attributes:
        mean: mean of each band.
        std: standard deviation of each band about its mean, of the population.
        minimum: smallest value of each band.
        maximum: greatest value of each band.
        valid: number of valid pixels among those looked at.
        total: number of all pixels of the region, invalid ones included.
        percentiles: of each band, at `PERCENTILES`.
        histograms: of each band.
        pixels: pixels looked at, invalid ones included; as many as `total` where the figures are
            exact, fewer where they are from a sample.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    valid: int
    total: int
    percentiles: tuple[tuple[float, ...], ...]
    histograms: tuple[Histogram, ...]
    pixels: int

    @property
    def valid_share(self) -> float:
        """Valid pixels among those looked at, 0..1; the rest is nodata."""
        return self.valid / self.pixels

    @property
    def basis(self) -> str:
        """What the figures were taken of: "all pixels", or "a sample of 12 % of pixels"."""
        if self.pixels == self.total:
            return "all pixels"
        return f"a sample of {100 * self.pixels / self.total:.2g} % of pixels"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BandStatistics:
        """Rebuild from `to_dict`, also once it went through JSON.

        Raises:
            KeyError, TypeError: for values that are none.
        """
        return cls(
            mean=tuple(values["mean"]),
            std=tuple(values["std"]),
            minimum=tuple(values["minimum"]),
            maximum=tuple(values["maximum"]),
            valid=values["valid"],
            total=values["total"],
            percentiles=tuple(map(tuple, values["percentiles"])),
            histograms=tuple(
                Histogram(tuple(found["edges"]), tuple(found["counts"]))
                for found in values["histograms"]
            ),
            pixels=values["pixels"],
        )


def constant_bands(statistics: BandStatistics) -> tuple[int, ...]:
    """The bands, from 0, that hold one value in every valid pixel: they tell nothing apart."""
    spread = zip(statistics.minimum, statistics.maximum, statistics.std, strict=True)
    return tuple(
        band for band, (low, high, std) in enumerate(spread) if not (low < high and std > 0)
    )


def band_statistics(
    blocks: Iterable[tuple[NDArray[Any], NDArray[np.bool_]]], *, total: int | None = None
) -> BandStatistics:
    """Gather statistics block by block, in one pass and in memory that does not grow.

    Integers of up to 16 bits are counted value by value, and every figure is exact. Of other types
    mean, deviation and range are exact, and percentiles and histograms are those of `SAMPLE` / 2 to
    `SAMPLE` valid pixels spread evenly over all, or of all where there are no more: a percentile p
    is then that of p +- 0.3 at most, at two standard deviations of a random sample's rank.

    Percentiles lie between the nearest two values in proportion to their rank, as NumPy's do.

    Args:
        blocks: values [bands, height, width] of any real dtype with validity, bool [height, width].
        total: pixels of the region, where blocks are a sample of it; theirs unless given.

    Raises:
        NoValidPixelError: where no pixel is valid.
        DataError: where values are too great to have a deviation.
    """
    pixels, gathered = 0, _Gathered()
    for values, valid in blocks:
        pixels += valid.size
        if valid.all():
            gathered.add(values.reshape(len(values), -1))
        elif valid.any():
            gathered.add(values[:, valid])
    moments = gathered.all_moments()
    if moments is None:
        raise NoValidPixelError(
            f"expected valid pixels to take statistics of, found no valid pixel among {pixels}; "
            f"check the nodata value and the mask, or leave the raster out"
        )
    std = np.sqrt(moments.squares / moments.count)
    if not np.isfinite(std).all():
        raise DataError(
            f"expected values that have a mean and a deviation, found some from "
            f"{moments.minimum.min():.4g} to {moments.maximum.max():.4g}; where one of them stands "
            f"for missing pixels, say so: gdal_edit.py -a_nodata"
        )
    spreads = [gathered.spread(band) for band in range(len(std))]
    return BandStatistics(
        mean=tuple(moments.mean.tolist()),
        std=tuple(std.tolist()),
        minimum=tuple(moments.minimum.tolist()),
        maximum=tuple(moments.maximum.tolist()),
        valid=moments.count,
        total=pixels if total is None else total,
        percentiles=tuple(spread.at(PERCENTILES) for spread in spreads),
        histograms=tuple(spread.histogram() for spread in spreads),
        pixels=pixels,
    )


@dataclass
class _Sample:
    """A part of the values that went by, spread evenly over them and the same every time.

    Attributes:
        values: float64 [bands, values], `SAMPLE` at most.
        step: of how many values one is kept.
        rest: values since the last whole step.
        random: places the kept one among those of its step, lest a step meet a pattern of columns.
    """

    values: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    step: int = 1
    rest: int = 0
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def add(self, pixels: NDArray[Any]) -> None:
        """Take in pixels [bands, pixels], of which there is one at least."""
        count = pixels.shape[1]
        while self.values.shape[1] + (self.rest + count) // self.step > SAMPLE:
            self.values, self.step = self.values[:, ::2], 2 * self.step
        steps, self.rest = divmod(self.rest + count, self.step)
        taken = pixels
        if self.step > 1:
            places = (np.arange(steps) + self.random.random(steps)) * (count / max(steps, 1))
            taken = pixels[:, np.minimum(places.astype(np.int64), count - 1)]
        before = self.values if self.values.size else np.empty((len(pixels), 0))
        self.values = np.concatenate([before, taken], axis=1)


@dataclass
class _Gathered:
    """What is known of the valid pixels that went by.

    Attributes:
        tables: by type of up to 16 bits, how often each value occurs, int64 [bands, values];
            values stand in the order of their bits, read without a sign.
        moments: of the values of other types; None before the first.
        sample: of those values.
        whole: whether all of them are integers.
    """

    tables: dict[np.dtype[Any], NDArray[np.int64]] = field(default_factory=dict)
    moments: _Moments | None = None
    sample: _Sample = field(default_factory=_Sample)
    whole: bool = True

    def add(self, pixels: NDArray[Any]) -> None:
        """Take in pixels [bands, pixels]."""
        if pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2:
            self._count(pixels)
            return
        self.whole = self.whole and pixels.dtype.kind in "iu"
        self.sample.add(pixels)
        for start in range(0, pixels.shape[1], CACHED):
            moments = _Moments.of(pixels[:, start : start + CACHED].astype(np.float64))
            self.moments = moments if self.moments is None else self.moments.merge(moments)

    def _count(self, pixels: NDArray[Any]) -> None:
        bits = np.dtype(f"u{pixels.dtype.itemsize}")
        values = 256**bits.itemsize
        shape = (len(pixels), values)
        table = self.tables.setdefault(pixels.dtype, np.zeros(shape, np.int64))
        for band, plane in enumerate(pixels):
            table[band] += np.bincount(plane.view(bits), minlength=values)

    def all_moments(self) -> _Moments | None:
        """Of all pixels, None where there were none."""
        found = [_Moments.of_counts(_values(dtype), table) for dtype, table in self.tables.items()]
        if self.moments is not None:
            found.append(self.moments)
        merged: _Moments | None = None
        for moments in found:
            merged = moments if merged is None else merged.merge(moments)
        return merged

    def spread(self, band: int) -> _Spread:
        """How the values of a band are spread."""
        values, weights = [], []
        for dtype, table in self.tables.items():
            (there,) = table[band].nonzero()
            values.append(_values(dtype)[there])
            weights.append(table[band, there].astype(np.float64))
        if self.moments is not None:
            kept = self.sample.values[band]
            values.append(kept)
            weight = self.moments.count / len(kept) if self.tables else 1.0
            weights.append(np.full(len(kept), weight))
        joined = np.concatenate(values)
        order = joined.argsort(kind="stable")
        return _Spread(joined[order], np.concatenate(weights)[order], self.whole)


def _values(dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """The values that the places of a type's table stand for."""
    bits = np.arange(256**dtype.itemsize, dtype=f"u{dtype.itemsize}")
    return bits.view(dtype).astype(np.float64)


@dataclass(frozen=True)
class _Spread:
    """Values of a band in ascending order, each with the number of pixels that it stands for."""

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    whole: bool

    def at(self, percentiles: Iterable[float]) -> tuple[float, ...]:
        """The values at percentiles, between two values in proportion to the rank."""
        passed = np.cumsum(self.weights)
        ranks = np.asarray(tuple(percentiles)) / 100 * (passed[-1] - 1)
        below, above = np.floor(ranks), np.ceil(ranks)
        low, high = (
            self.values[np.minimum(np.searchsorted(passed, rank, side="right"), len(passed) - 1)]
            for rank in (below, above)
        )
        between: NDArray[np.float64] = low + (ranks - below) * (high - low)
        return tuple(between.tolist())

    def histogram(self) -> Histogram:
        """Count values in bins between bounds that a few outliers do not move."""
        edges = self._edges()
        inside = self.values.clip(edges[0], edges[-1])
        counts, _ = np.histogram(inside, edges, weights=self.weights)
        return Histogram(tuple(edges.tolist()), tuple(np.rint(counts).astype(int).tolist()))

    def _edges(self) -> NDArray[np.float64]:
        first, last = self.at((PERCENTILES[0], PERCENTILES[-1]))
        low, high = float(self.values[0]), float(self.values[-1])
        if first < last:
            margin = MARGIN * (last - first)
            low, high = max(low, first - margin), min(high, last + margin)
        if self.whole:
            low, high = math.floor(low), math.floor(high)
            width = math.ceil((high - low + 1) / BINS)
            bins = math.ceil((high - low + 1) / width)
            return np.arange(bins + 1, dtype=np.float64) * width + (low - 0.5)
        if low == high:
            half = max(0.5, float(np.spacing(abs(low))))
            low, high = low - half, high + half
        return np.linspace(low, high, BINS + 1)


@dataclass(frozen=True)
class _Moments:
    """Count, mean, sum of squared deviations and range; arrays float64 [bands]."""

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]

    @classmethod
    def of(cls, pixels: NDArray[np.float64]) -> _Moments:
        """Take the moments of pixels [bands, pixels]."""
        with np.errstate(over="ignore", invalid="ignore"):  # a deviation without end is told of
            mean = pixels.mean(axis=1)
            deviations = pixels - mean[:, np.newaxis]
            squares = np.einsum("bp,bp->b", deviations, deviations)
        return cls(pixels.shape[1], mean, squares, pixels.min(axis=1), pixels.max(axis=1))

    @classmethod
    def of_counts(cls, values: NDArray[np.float64], counts: NDArray[np.int64]) -> _Moments:
        """Take the moments of values that occur so often, counts [bands, values].

        Sums of integers below 2^53 are exact in float64.
        """
        count = int(counts[0].sum())
        mean = counts @ values / count
        squares = (counts * np.square(values - mean[:, np.newaxis])).sum(axis=1)
        there = [values[found > 0] for found in counts]
        low, high = ([end(found) for found in there] for end in (np.min, np.max))
        return cls(count, mean, squares, np.array(low), np.array(high))

    def merge(self, other: _Moments) -> _Moments:
        """Merge pairwise, which keeps its precision where a sum of squares would lose it.

        Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing
        sample variances", equation 2.1.
        """
        count = self.count + other.count
        with np.errstate(over="ignore", invalid="ignore"):
            step = other.mean - self.mean
            squares = self.squares + other.squares + step**2 * (self.count * other.count / count)
            mean = self.mean + step * (other.count / count)
        return _Moments(
            count,
            mean,
            squares,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )
