"""Mean, spread and range of each band over a region, invalid pixels excluded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import DataError


@dataclass(frozen=True)
class BandStatistics:
    """What the valid pixels of a region look like, in the raster's units.

    Attributes:
        mean: mean of each band.
        std: standard deviation of each band about its mean, of the population.
        minimum: smallest value of each band.
        maximum: greatest value of each band.
        valid: number of valid pixels.
        total: number of all pixels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    valid: int
    total: int

    @property
    def valid_share(self) -> float:
        """Valid pixels among all, 0..1."""
        return self.valid / self.total


def band_statistics(
    blocks: Iterable[tuple[NDArray[Any], NDArray[np.bool_]]],
) -> BandStatistics:
    """Gather statistics block by block, in float64 and in the memory of one block.

    Means and squared deviations of blocks are merged pairwise (Chan, Golub and LeVeque 1979,
    "Updating formulae and a pairwise algorithm for computing sample variances", equation 2.1),
    which keeps its precision where a sum of squares would lose it.

    Args:
        blocks: values [bands, height, width] of any real dtype with validity, bool [height, width].

    Raises:
        DataError: where no pixel is valid.
    """
    total = 0
    merged: _Moments | None = None
    for values, valid in blocks:
        total += valid.size
        if valid.any():
            moments = _Moments.of(values[:, valid].astype(np.float64))
            merged = moments if merged is None else merged.merge(moments)
    if merged is None:
        raise DataError(
            f"expected valid pixels to take statistics of, found no valid pixel among {total}; "
            f"check the nodata value and the mask, or leave the raster out"
        )
    return merged.statistics(total)


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
        mean = pixels.mean(axis=1)
        squares = np.square(pixels - mean[:, np.newaxis]).sum(axis=1)
        return cls(pixels.shape[1], mean, squares, pixels.min(axis=1), pixels.max(axis=1))

    def merge(self, other: _Moments) -> _Moments:
        count = self.count + other.count
        step = other.mean - self.mean
        return _Moments(
            count,
            self.mean + step * (other.count / count),
            self.squares + other.squares + step**2 * (self.count * other.count / count),
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )

    def statistics(self, total: int) -> BandStatistics:
        return BandStatistics(
            mean=tuple(self.mean.tolist()),
            std=tuple(np.sqrt(self.squares / self.count).tolist()),
            minimum=tuple(self.minimum.tolist()),
            maximum=tuple(self.maximum.tolist()),
            valid=self.count,
            total=total,
        )
