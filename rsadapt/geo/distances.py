"""How far apart two distributions of pixel values lie, from their histograms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 64
"""Bins over which the divergence compares: fewer hide differences, more measure noise and gaps that
stretching leaves between the levels of 8-bit images."""

TAIL = 0.005
"""Share of the pixels at each end that share one bin, so that outliers do not widen all."""


@dataclass(frozen=True)
class Distribution:
    """A histogram of shares, even within a bin.

    Attributes:
        edges: float64 [bins + 1], ascending.
        shares: float64 [bins], of all values; they sum to 1.
    """

    edges: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, edges: ArrayLike, counts: ArrayLike) -> Distribution:
        """Take the shares of a histogram of at least one value.

        Raises:
            ValueError: for other than one edge more than counts, or no value.
        """
        bounds, numbers = np.asarray(edges, np.float64), np.asarray(counts, np.float64)
        if len(bounds) != len(numbers) + 1 or numbers.sum() <= 0:
            raise ValueError(
                f"a histogram has one edge more than bins and holds a value, found {len(bounds)} "
                f"edges and {len(numbers)} bins of {numbers.sum():g} values"
            )
        return cls(bounds, numbers / numbers.sum())

    def rescaled(self, centre: float, scale: float) -> Distribution:
        """The distribution of (value - centre) / scale, for a scale above 0."""
        return Distribution((self.edges - centre) / scale, self.shares)

    def below(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of the distribution below each value."""
        return np.interp(values, self.edges, self._cumulative())

    def quantile(self, share: float) -> float:
        """The value below which a share of the distribution lies."""
        return float(np.interp(share, self._cumulative(), self.edges))

    def _cumulative(self) -> NDArray[np.float64]:
        return np.concatenate([[0.0], np.cumsum(self.shares)])


def wasserstein(one: Distribution, other: Distribution) -> float:
    """The 1-Wasserstein distance: the area between the cumulative distributions.

    How far values have to be moved on average to make one distribution the other (Vallender 1974,
    "Calculation of the Wasserstein distance between probability distributions on the line").

    Returns:
        In the units of the values.
    """
    knots = np.union1d(one.edges, other.edges)
    apart = one.below(knots) - other.below(knots)
    left, right, width = np.abs(apart[:-1]), np.abs(apart[1:]), np.diff(knots)
    crosses = apart[:-1] * apart[1:] < 0
    both = np.where(left + right > 0, left + right, 1.0)
    # Between knots the difference is a line: a trapezium, or two triangles where it crosses zero.
    heights = np.where(crosses, (left**2 + right**2) / (2 * both), (left + right) / 2)
    return float((heights * width).sum())


def divergence(one: Distribution, other: Distribution) -> float:
    """The Jensen-Shannon divergence (Lin 1991, equation 4.1, of equal weights, in bits).

    Returns:
        0 for equal distributions up to 1 for distributions that share no value.
    """
    low = min(one.quantile(TAIL), other.quantile(TAIL))
    high = max(one.quantile(1 - TAIL), other.quantile(1 - TAIL))
    inner = np.linspace(low, high, BINS + 1)
    p, q = (
        np.diff(np.concatenate([[0.0], shown.below(inner), [1.0]])).clip(min=0)
        for shown in (one, other)
    )
    middle = (p + q) / 2
    bits = (_entropy_terms(p, middle) + _entropy_terms(q, middle)) / 2
    return float(np.clip(bits, 0, 1))


def _entropy_terms(shares: NDArray[np.float64], middle: NDArray[np.float64]) -> float:
    """The Kullback-Leibler divergence of shares from a mixture that holds them, bits."""
    held = shares > 0
    return float((shares[held] * np.log2(shares[held] / middle[held])).sum())
