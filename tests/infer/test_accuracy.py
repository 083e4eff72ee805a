"""Accuracy and area from a stratified sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.errors import ConfigError, DataError
from rsadapt.infer.accuracy import allocate, assess, sample_size

HECTARE = 1e4

# Olofsson et al. 2014, section 5: deforestation, forest gain, stable forest, stable non-forest.
NAMES = ("loss", "gain", "forest", "other")
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
AREAS = [pixels * 900.0 for pixels in (200_000, 150_000, 3_200_000, 6_450_000)]


def test_the_published_example():
    found = assess(NAMES, COUNTS, AREAS)
    loss = found.classes[0]
    assert round(loss.area.value / HECTARE) == 21158
    assert round(loss.area.margin / HECTARE) == 6158
    assert round(found.overall.value, 2) == 0.95
    assert round(found.overall.margin, 2) == 0.02
    assert [round(c.users.value, 2) for c in found.classes] == [0.88, 0.73, 0.93, 0.96]
    assert [round(c.users.margin, 2) for c in found.classes] == [0.07, 0.10, 0.04, 0.02]


def test_the_published_sample_size():
    assert sample_size([0.02, 0.015, 0.32, 0.645], [0.7, 0.6, 0.9, 0.95], 0.01) == 641


def test_two_classes_by_hand():
    """Half of the map each, 10 units: 9 of 10 and 8 of 10 right."""
    found = assess(("a", "b"), np.array([[9, 1], [2, 8]]), [50.0, 50.0])
    a = found.classes[0]
    assert found.overall.value == pytest.approx(0.85)
    assert found.overall.margin == pytest.approx(
        1.96 * np.sqrt(0.25 * 0.9 * 0.1 / 9 + 0.25 * 0.8 * 0.2 / 9)
    )
    assert a.area.value == pytest.approx(100 * (0.45 + 0.10))
    assert a.area.margin == pytest.approx(
        100 * 1.96 * np.sqrt(0.25 * 0.9 * 0.1 / 9 + 0.25 * 0.2 * 0.8 / 9)
    )
    assert a.producers.value == pytest.approx(0.45 / 0.55)
    share = 0.45 / 0.55
    variance = (0.25 * (1 - share) ** 2 * 0.09 / 9 + share**2 * 0.25 * 0.16 / 9) / 0.55**2
    assert a.producers.margin == pytest.approx(1.96 * np.sqrt(variance))


def test_producers_accuracy_spreads_as_repeated_samples_do():
    """The interval's standard error is that of many samples drawn from a known population."""
    truth = np.array([[0.8, 0.2, 0.0], [0.1, 0.85, 0.05], [0.02, 0.03, 0.95]])
    areas, units = [100.0, 300.0, 600.0], [60, 80, 120]
    random = np.random.default_rng(5)
    found = []
    for _ in range(1500):
        counts = np.stack([random.multinomial(n, row) for n, row in zip(units, truth, strict=True)])
        found.append(assess(("a", "b", "c"), counts, areas))
    for number in range(3):
        for figure in ("users", "producers", "area"):
            estimates = [getattr(one.classes[number], figure) for one in found]
            spread = np.std([estimate.value for estimate in estimates])
            stated = np.mean([estimate.margin for estimate in estimates]) / 1.96
            assert stated == pytest.approx(spread, rel=0.1)


def test_a_class_that_the_map_does_not_show_still_has_an_area():
    found = assess(("a", "b"), np.array([[8, 2], [0, 0]]), [100.0, 0.0])
    assert found.classes[1].users is None
    assert found.classes[1].area.value == pytest.approx(20)
    assert found.classes[1].producers.value == 0


def test_a_class_that_nobody_saw_has_no_producers_accuracy():
    found = assess(("a", "b"), np.array([[8, 0], [2, 0]]), [90.0, 10.0])
    assert found.classes[1].producers is None
    assert found.classes[1].users.value == 0


def test_too_few_units_are_named():
    with pytest.raises(DataError, match=r"found fewer of b \(1\); interpret more"):
        assess(("a", "b"), np.array([[8, 0], [0, 1]]), [90.0, 10.0])


@given(
    st.integers(1, 2000),
    st.lists(st.integers(0, 1000), min_size=1, max_size=8).filter(any),
    st.integers(0, 80),
)
def test_a_sample_is_shared_out_whole(size, pixels, least):
    weights = [n / sum(pixels) for n in pixels]
    units = allocate(size, weights, least)
    there = [n for n, weight in zip(units, weights, strict=True) if weight > 0]
    assert all(n == 0 for n, weight in zip(units, weights, strict=True) if weight == 0)
    assert min(there) >= least
    assert sum(units) == max(size, least * len(there))


def test_common_classes_share_in_proportion():
    assert allocate(641, [0.02, 0.015, 0.32, 0.645], 75) == [75, 75, 163, 328]


@pytest.mark.parametrize(("users", "error"), [([0.9, 1.2], 0.01), ([0.9, 0.9], 0.0)])
def test_impossible_expectations(users, error):
    with pytest.raises(ConfigError, match="accuracies of 0 to 1"):
        sample_size([0.5, 0.5], users, error)
