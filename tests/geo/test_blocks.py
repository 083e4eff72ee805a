"""Blocks of training and validation: no pixel on both sides, and the buffer kept."""

import itertools

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from rsadapt.errors import ConfigError, DataError
from rsadapt.geo.blocks import split_blocks
from rsadapt.geo.grid import Grid, Window

UTM = CRS.from_epsg(32645)
EAST, NORTH = 350_000, 3_060_000


def scene(height=100, width=80, *, x=0.0, y=0.0, size=0.5):
    transform = Affine(size, 0.0, EAST + x * size, 0.0, -size, NORTH - y * size)
    return Grid(height, width, transform, UTM)


sides = st.integers(1, 90)
anywhere = st.builds(
    scene,
    sides,
    sides,
    x=st.floats(-60, 60),
    y=st.floats(-60, 60),
    size=st.sampled_from([0.3, 0.5, 1.1]),
)
on_one_lattice = st.builds(scene, sides, sides, x=st.integers(0, 99), y=st.integers(0, 99))
options = st.fixed_dictionaries(
    {
        "blocks": st.integers(1, 50),
        "share": st.floats(0.05, 0.95),
        "seed": st.integers(0, 9),
        "buffer": st.integers(0, 30),
    }
).filter(lambda chosen: chosen["buffer"] < chosen["blocks"])


def painted(grid, windows):
    """How often each pixel of a scene is covered."""
    times = np.zeros(grid.shape, int)
    for window in windows:
        assert grid.window.contains(window)
        times[window.slices] += 1
    return times


def ground(grid, window):
    """(left, top, right, bottom), y counted southwards."""
    t = grid.crop(window).transform
    return t.c, -t.f, t.c + window.width * t.a, -t.f - window.height * t.e


def gap(one, other):
    """The Chebyshev distance of two rectangles; negative where they overlap."""
    return max(max(one[i] - other[i + 2], other[i] - one[i + 2]) for i in (0, 1))


@given(st.lists(anywhere, min_size=1, max_size=4), options)
def test_parts_share_no_ground_and_keep_their_buffer(grids, chosen):
    try:
        parts = split_blocks(grids, **chosen)
    except DataError:
        return
    for part in parts:
        for grid, windows in zip(grids, part, strict=True):
            assert painted(grid, windows).max(initial=0) <= 1
    ours, theirs = (
        [ground(grid, w) for grid, windows in zip(grids, part, strict=True) for w in windows]
        for part in parts
    )
    coarsest = max(grid.transform.a for grid in grids)
    nearest = min(gap(one, other) for one, other in itertools.product(ours, theirs))
    assert nearest >= chosen["buffer"] * coarsest - 1e-5


@given(st.lists(on_one_lattice, min_size=1, max_size=4), options)
def test_every_pixel_has_its_part_where_scenes_lie_on_one_lattice(grids, chosen):
    """A block is validation's or not, whoever shows it; training is what the buffer leaves."""
    try:
        training, validation = split_blocks(grids, **chosen)
    except DataError:
        return
    left = round(min(grid.transform.c for grid in grids) / 0.5)
    top = round(max(grid.transform.f for grid in grids) / 0.5)
    shown, mine, theirs = (np.zeros((200, 200), int) for _ in range(3))
    for number, grid in enumerate(grids):
        row, col = top - round(grid.transform.f / 0.5), round(grid.transform.c / 0.5) - left
        place = np.s_[row : row + grid.height, col : col + grid.width]
        shown[place] += 1
        mine[place] += painted(grid, training[number])
        theirs[place] += painted(grid, validation[number])
    for part in (mine, theirs):
        np.testing.assert_array_equal(part * (shown - part), 0)
    kept, side, buffer = theirs > 0, chosen["blocks"], chosen["buffer"]
    near = np.zeros_like(kept)
    whole = np.zeros_like(kept)
    for row, col in itertools.product(range(0, 200, side), repeat=2):
        block = np.s_[row : row + side, col : col + side]
        assert kept[block][shown[block] > 0].all() or not kept[block].any()
        if kept[block].any():
            whole[block] = True
            top, left = max(0, row - buffer), max(0, col - buffer)
            near[top : row + side + buffer, left : col + side + buffer] = True
    np.testing.assert_array_equal(kept, whole & (shown > 0))
    np.testing.assert_array_equal(mine > 0, ~near & (shown > 0))


@given(st.lists(on_one_lattice, min_size=1, max_size=4), options)
def test_share_is_met_to_half_a_block(grids, chosen):
    chosen["buffer"] = 0
    try:
        _, validation = split_blocks(grids, **chosen)
    except DataError:
        return
    total = sum(grid.height * grid.width for grid in grids)
    found = sum(w.height * w.width for windows in validation for w in windows)
    most = len(grids) * chosen["blocks"] ** 2
    assert abs(found - chosen["share"] * total) <= most / 2 + 1e-6


def test_blocks_are_well_spread_and_by_seed():
    """Of every four by four blocks, some are validation's and some are not."""
    masks = []
    for seed in range(5):
        grid = scene(960, 960)
        _, (windows,) = split_blocks([grid], blocks=60, share=0.25, seed=seed)
        masks.append(painted(grid, windows)[::60, ::60])
        quarters = masks[-1].reshape(4, 4, 4, 4).sum(axis=(1, 3))
        assert quarters.min() >= 2
        assert quarters.max() <= 6
    assert all((one != other).any() for one, other in itertools.combinations(masks, 2))
    again = split_blocks([grid], blocks=60, share=0.25, seed=4)[1][0]
    assert again == windows


def test_neighbouring_blocks_are_one_area():
    grid = scene(100, 400)
    (training,), (validation,) = split_blocks([grid], blocks=100, share=0.25, seed=0, buffer=10)
    assert len(validation) == 1
    assert validation[0].width == 100
    assert sum(window.width for window in training) in (280, 290)
    assert len(training) <= 2


def test_areas_are_few():
    """Rectangles as large as can be: a few for every block of validation, not for every block."""
    (training,), (validation,) = split_blocks(
        [scene(3000, 3000)], blocks=100, share=0.2, seed=1, buffer=16
    )
    assert len(validation) <= 180
    assert len(training) <= 3 * 180


def test_edges_inside_a_part_cost_no_pixel():
    """Scenes half a pixel aside lose only what the edge between the parts cuts."""
    grids = [scene(60, 60), scene(60, 60, x=0.5, y=0.5)]
    training, validation = split_blocks(grids, blocks=20, share=0.3, seed=0)
    for grid, *windows in zip(grids, training, validation, strict=True):
        lost = 1 - sum(painted(grid, part) for part in windows)
        rows, cols = np.nonzero(lost)
        assert ((rows % 20 == 19) | (cols % 20 == 19)).all()
    assert painted(grids[0], training[0] + validation[0]).all()


def test_no_share_leaves_everything_to_training():
    grid = scene()
    assert split_blocks([grid], blocks=9, share=0, seed=0) == ([[grid.window]], [[]])


@pytest.mark.parametrize("share", [0.05, 0.97])
def test_too_few_blocks_for_the_share_are_refused(share):
    with pytest.raises(DataError, match=r"\(4 blocks hold the region, .* choose smaller 'blocks'"):
        split_blocks([scene(60, 60)], blocks=40, share=share, seed=0)


def test_buffer_that_leaves_no_training_is_refused():
    narrow = scene(40, 70)
    (training,), _ = split_blocks([narrow], blocks=40, share=0.5, seed=1)
    assert training == [Window(0, 40, 40, 30)]
    with pytest.raises(DataError, match=r"buffer of 39 .* 1 of them .* smaller 'buffer'"):
        split_blocks([narrow], blocks=40, share=0.5, seed=1, buffer=39)


@pytest.mark.parametrize("buffer", [-1, 40])
def test_buffer_as_wide_as_a_block_is_refused(buffer):
    with pytest.raises(ConfigError, match=r"below 'blocks' \(40\)"):
        split_blocks([scene(60, 60)], blocks=40, share=0.3, seed=0, buffer=buffer)


def test_scenes_that_no_line_can_split_are_refused():
    other = Grid(10, 10, scene().transform, CRS.from_epsg(32646))
    with pytest.raises(DataError, match="share one CRS"):
        split_blocks([scene(), other], blocks=10, share=0.3, seed=0)
    turned = Grid(10, 10, Affine(1.0, 0.5, 0.0, 0.5, -1.0, 0.0), UTM)
    with pytest.raises(DataError, match=r"north-up .*scene 2 of 2"):
        split_blocks([scene(), turned], blocks=10, share=0.3, seed=0)


def test_single_scene_in_one_block_each_way():
    (training,), (validation,) = split_blocks([scene(40, 80)], blocks=40, share=0.5, seed=0)
    assert sorted([*training, *validation], key=lambda w: w.col) == [
        Window(0, 0, 40, 40),
        Window(0, 40, 40, 40),
    ]
