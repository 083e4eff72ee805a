"""Distances of distributions: against SciPy-free, obvious references, and by their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.geo.distances import Distribution, divergence, wasserstein

counts = st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any)
histograms = st.tuples(counts, st.floats(-5, 5), st.floats(0.1, 5)).map(
    lambda drawn: Distribution.of(drawn[1] + drawn[2] * np.arange(len(drawn[0]) + 1), drawn[0])
)


def by_ranks(one, other, values=200_000):
    """The mean distance of the sorted values of both."""
    ranks = (np.arange(values) + 0.5) / values
    ours, theirs = (np.array([shown.quantile(rank) for rank in ranks]) for shown in (one, other))
    return np.abs(ours - theirs).mean()


@given(histograms, histograms)
def test_wasserstein_is_the_mean_distance_of_ranks(one, other):
    expected = by_ranks(one, other, values=400)
    spread = max(one.edges[-1], other.edges[-1]) - min(one.edges[0], other.edges[0])
    assert wasserstein(one, other) == pytest.approx(expected, abs=spread / 100)
    assert wasserstein(one, other) == pytest.approx(wasserstein(other, one))


@given(histograms, st.floats(-3, 3), st.floats(0.5, 2))
def test_moving_and_scaling(one, shift, scale):
    moved = one.rescaled(-shift, 1.0)
    assert wasserstein(one, moved) == pytest.approx(abs(shift), abs=1e-9)
    own, scaled = one.rescaled(0.0, scale), moved.rescaled(0.0, scale)
    assert wasserstein(own, scaled) == pytest.approx(abs(shift) / scale, abs=1e-9)


def test_lines_that_cross_between_knots():
    one = Distribution.of([0, 2, 4], [3, 1])
    other = Distribution.of([0, 2, 4], [1, 3])
    assert wasserstein(one, other) == pytest.approx(1.0)
    wide, narrow = Distribution.of([0, 4], [1]), Distribution.of([1, 3], [1])
    assert wasserstein(wide, narrow) == pytest.approx(0.5)  # means of |x - (1 + x / 2)| over 0..4


@given(histograms, histograms)
def test_divergence_lies_between_nought_and_one(one, other):
    assert 0 <= divergence(one, other) <= 1
    assert divergence(one, other) == pytest.approx(divergence(other, one))
    assert divergence(one, one) == pytest.approx(0, abs=1e-12)


def test_divergence_of_known_distributions():
    low, high = Distribution.of([0, 1], [1]), Distribution.of([3, 4], [1])
    assert divergence(low, high) == pytest.approx(1)
    both = Distribution.of([0, 1, 3, 4], [1, 0, 1])
    # Against one of its halves: (KL(p | m) + KL(q | m)) / 2 with m = 3/4, 1/4.
    expected = (np.log2(4 / 3) + 0.5 * np.log2(2 / 3) + 0.5 * np.log2(2)) / 2
    assert divergence(low, both) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("edges", "values"), [([0, 1], [0]), ([0, 1, 2], [1]), ([0], [])])
def test_histograms_of_nothing_are_refused(edges, values):
    with pytest.raises(ValueError, match="a histogram has one edge more"):
        Distribution.of(edges, values)
