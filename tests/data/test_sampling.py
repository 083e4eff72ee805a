"""Where windows lie: anywhere, at rare classes, at labels."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.classes import IGNORE_INDEX
from rsadapt.data import sampling
from rsadapt.data.sampling import CELL, AtLabels, Uniform, cell_side, count_cells
from rsadapt.errors import DataError
from rsadapt.geo.grid import Window

SHAPE = (90, 120)
WHOLE = Window(0, 0, *SHAPE)


def cells_of(label, areas=(WHOLE,), *, valid=None, side=8, classes=3):
    """Labels counted in each area as one block."""
    valid = np.ones(label.shape, bool) if valid is None else valid
    blocks = [(n, area, label[area.slices], valid[area.slices]) for n, area in enumerate(areas)]
    return count_cells(blocks, classes=classes, side=side)


def unlabelled():
    return np.full(SHAPE, IGNORE_INDEX, np.uint8)


def draws(chosen, count, seed=0):
    """The first place of each of so many samples."""
    return [next(chosen.places(np.random.default_rng([seed, number]))) for number in range(count)]


@st.composite
def windows(draw, least=1):
    row, col = draw(st.integers(0, 90 - least)), draw(st.integers(0, 120 - least))
    return Window(row, col, draw(st.integers(least, 90 - row)), draw(st.integers(least, 120 - col)))


# Counting


@given(st.lists(windows(), min_size=1, max_size=3), st.integers(1, 70), st.integers(1, 50))
def test_cells_hold_what_a_slow_count_finds(areas, side, step):
    random = np.random.default_rng(side)
    label = random.choice([0, 1, 2, IGNORE_INDEX], size=SHAPE).astype(np.uint8)
    valid = random.random(SHAPE) < 0.7
    blocks = []
    for number, area in enumerate(areas):
        for row in range(area.row, area.row_stop, step):
            part = Window(row, area.col, min(step, area.row_stop - row), area.width)
            blocks.append((number, part, label[part.slices], valid[part.slices]))
    found = count_cells(blocks, classes=3, side=side)
    slow = {}
    for number, area in enumerate(areas):
        for row, col in np.ndindex(*SHAPE):
            inside = area.contains(Window(row, col, 1, 1)) and valid[row, col]
            if inside and label[row, col] != IGNORE_INDEX:
                key = (int(label[row, col]), number, row // side, col // side)
                slow[key] = slow.get(key, 0) + 1
    keys = [(int(c), *map(int, p)) for c, p in zip(found.classes, found.places, strict=True)]
    assert keys == sorted(slow)
    assert found.pixels.tolist() == [slow[key] for key in keys]
    inside = np.concatenate([label[a.slices][valid[a.slices]] for a in areas])
    expected = [np.count_nonzero(inside == index) for index in (0, 1, 2, IGNORE_INDEX)]
    assert found.totals.tolist() == expected


def test_a_region_of_any_size_has_a_bounded_number_of_cells():
    assert cell_side(1) == cell_side(10**9) == CELL
    assert cell_side(10**11) == 512
    assert 10**12 / cell_side(10**12) ** 2 <= sampling.MOST_CELLS


def test_255_classes_are_counted():
    label = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % 256
    found = cells_of(label.astype(np.uint8), classes=255)
    assert found.totals.tolist() == np.bincount(label.ravel()).tolist()
    assert (found.classes < IGNORE_INDEX).all()


# Drawing


@given(st.lists(windows(least=9), min_size=1, max_size=3), st.integers(8, 9), st.integers(0, 99))
def test_windows_lie_in_an_area_and_hold_a_pixel_of_the_class(areas, size, seed):
    label = unlabelled()
    random = np.random.default_rng(seed)
    label[random.random(SHAPE) < 0.02] = 1
    cells = cells_of(label, areas)
    if not len(cells.places):
        return
    for chosen in (AtLabels(cells, areas, size, 0.01), AtLabels(cells, areas, size, None)):
        for number, window in islice(chosen.places(random), 30):
            assert areas[number].contains(window)
            assert (window.height, window.width) == (size, size)
            assert (label[window.slices] == 1).any()


@pytest.mark.parametrize("temperature", [0.01, 0.2, 1.0])
def test_classes_are_drawn_by_their_rarity(temperature):
    """Two classes so far apart that no window holds both, and one that is absent."""
    label = unlabelled()
    label[:, :60] = 0
    label[10:20, 100:110] = 2
    chosen = AtLabels(cells_of(label), [WHOLE], 20, temperature)
    share = np.array([5400, 0, 100]) / 5500
    weights = np.exp((1 - share) / temperature) * (share > 0)
    np.testing.assert_allclose(chosen.chances, weights / weights.sum(), rtol=1e-9)
    rare = [(label[window.slices] == 2).any() for _, window in draws(chosen, 2000)]
    common = [(label[window.slices] == 0).any() for _, window in draws(chosen, 2000)]
    assert np.mean(rare) == pytest.approx(chosen.chances[2], abs=0.035)
    assert np.mean(common) == pytest.approx(chosen.chances[0], abs=0.035)


def test_one_sample_keeps_to_its_class():
    label = unlabelled()
    label[:, :40], label[:, 80:] = 0, 1
    chosen = AtLabels(cells_of(label), [WHOLE], 16, 1.0)
    for seed in range(20):
        places = islice(chosen.places(np.random.default_rng(seed)), 20)
        assert len({window.col < 60 for _, window in places}) == 1


def test_places_of_a_class_are_drawn_by_their_pixels():
    """Three quarters of the class lie in one area, a quarter in another."""
    areas = [Window(0, 0, 90, 50), Window(0, 60, 90, 60)]
    label = unlabelled()
    label[20:50, 10:20], label[60:70, 90:100] = 1, 1
    for temperature in (None, 0.01):
        chosen = AtLabels(cells_of(label, areas), areas, 20, temperature)
        numbers = [number for number, _ in draws(chosen, 2000)]
        assert numbers.count(0) / 2000 == pytest.approx(0.75, abs=0.03)


def test_windows_over_a_cell_lie_evenly():
    label = unlabelled()
    label[42, 58] = 0  # in the cell of rows 40 to 47 and columns 56 to 63
    chosen = AtLabels(cells_of(label), [WHOLE], 16, 0.01)
    found = [(window.row, window.col) for _, window in draws(chosen, 3000)]
    assert {row for row, _ in found} == set(range(32, 41))
    assert {col for _, col in found} == set(range(48, 57))
    assert np.bincount([row for row, _ in found])[32:].min() > 3000 / 9 * 0.75


def test_sparse_labels_are_drawn_alike():
    label = unlabelled()
    random = np.random.default_rng(2)
    points = random.integers(0, SHAPE, (12, 2))
    label[points[:, 0], points[:, 1]] = random.integers(0, 3, 12)
    chosen = AtLabels(cells_of(label), [WHOLE], 16, None)
    seen = np.zeros(SHAPE, int)
    for _, window in draws(chosen, 1500):
        assert (label[window.slices] != IGNORE_INDEX).any()
        seen[window.slices] += 1
    assert seen[label != IGNORE_INDEX].min() > 0.4 * 1500 / 12


def test_labels_at_invalid_pixels_draw_nothing():
    label, valid = unlabelled(), np.ones(SHAPE, bool)
    label[:20, :20], label[60:80, 60:80] = 0, 0
    valid[:30, :30] = False
    chosen = AtLabels(cells_of(label, valid=valid), [WHOLE], 16, 0.01)
    assert min(window.row for _, window in draws(chosen, 200)) > 40


def test_areas_too_small_for_a_window_draw_nothing():
    areas = [Window(0, 0, 90, 15), Window(0, 40, 90, 40)]
    label = unlabelled()
    label[:, :10], label[:, 50] = 0, 1
    chosen = AtLabels(cells_of(label, areas), areas, 16, 0.01)
    assert {number for number, _ in draws(chosen, 100)} == {1}
    np.testing.assert_array_equal(chosen.chances, [0, 1, 0])
    label[:, 50] = IGNORE_INDEX
    with pytest.raises(DataError, match=r"no labelled valid pixel .* 16 x 16; choose"):
        AtLabels(cells_of(label, areas), areas, 16, 0.01)


def test_uniform_windows_are_what_they_always_were():
    """The draws of the first release, written out."""
    areas = [Window(3, 5, 40, 30), Window(0, 0, 9, 90), Window(10, 40, 60, 70)]
    chosen = Uniform(areas, 16)
    for seed in range(40):
        random = np.random.default_rng([seed, 7])
        for number, window in islice(chosen.places(np.random.default_rng([seed, 7])), 5):
            kept = [0, 2]
            expected = kept[int(random.choice(2, p=np.array([1200.0, 4200.0]) / 5400.0))]
            area = areas[expected]
            row = area.row + int(random.integers(area.height - 15))
            col = area.col + int(random.integers(area.width - 15))
            assert (number, window) == (expected, Window(row, col, 16, 16))
