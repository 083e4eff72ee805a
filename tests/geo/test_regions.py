import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from rsadapt.errors import ConfigError, DataError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.regions import split_areas

UTM = CRS.from_epsg(32645)
SIDES = ("north", "south", "east", "west")


def scene(height=100, width=80, *, x=0.0, y=0.0, size=0.5):
    return Grid(height, width, Affine(size, 0.0, x, 0.0, -size, y), UTM)


scenes = st.builds(
    scene,
    st.integers(1, 90),
    st.integers(1, 90),
    x=st.floats(-60, 60),
    y=st.floats(-60, 60),
    size=st.sampled_from([0.25, 0.3, 0.5, 1.1]),
)


def span(grid, window, side):
    """(near, far) of a window in metres along the axis that points to a side."""
    t = grid.crop(window).transform
    left, right = t.c, t.c + window.width * t.a
    top, bottom = t.f, t.f + window.height * t.e
    return {
        "east": (left, right),
        "west": (-right, -left),
        "north": (bottom, top),
        "south": (-top, -bottom),
    }[side]


def area(windows):
    return sum(window.height * window.width for part in windows for window in part)


@pytest.mark.parametrize(
    ("side", "training", "validation"),
    [
        ("north", Window(25, 0, 75, 80), Window(0, 0, 25, 80)),
        ("south", Window(0, 0, 75, 80), Window(75, 0, 25, 80)),
        ("east", Window(0, 0, 100, 60), Window(0, 60, 100, 20)),
        ("west", Window(0, 20, 100, 60), Window(0, 0, 100, 20)),
    ],
)
def test_one_scene_is_split_without_loss(side, training, validation):
    assert split_areas([scene()], share=0.25, side=side) == ([[training]], [[validation]])


@given(
    st.lists(scenes, min_size=1, max_size=5),
    st.floats(0.1, 0.9),
    st.sampled_from(SIDES),
    st.integers(0, 20),
)
def test_no_place_is_on_both_sides_and_the_buffer_is_kept(grids, share, side, buffer):
    try:
        training, validation = split_areas(grids, share=share, side=side, buffer=buffer)
    except DataError:
        return
    reach = max(span(g, w[0], side)[1] for g, w in zip(grids, training, strict=True) if w)
    start = min(span(g, w[0], side)[0] for g, w in zip(grids, validation, strict=True) if w)
    coarsest = max(grid.transform.a for grid in grids)
    assert reach <= start - buffer * coarsest + 1e-5
    assert validation == split_areas(grids, share=share, side=side)[1]
    for grid, one, other in zip(grids, training, validation, strict=True):
        assert all(grid.window.contains(window) for window in [*one, *other])
        across = grid.height if side in ("east", "west") else grid.width
        lost = area([[grid.window]]) - area([one, other])
        assert lost in (0, across) if buffer == 0 else lost >= 0


@given(st.lists(scenes, min_size=1, max_size=5), st.floats(0.1, 0.9), st.sampled_from(SIDES))
def test_share_is_met_to_the_pixels_that_the_line_cuts(grids, share, side):
    try:
        _, validation = split_areas(grids, share=share, side=side)
    except DataError:
        return
    total = sum(grid.height * grid.width for grid in grids)
    cut = sum(grid.height if side in ("east", "west") else grid.width for grid in grids)
    assert area(validation) == pytest.approx(share * total, abs=cut + 1)


def test_scenes_are_taken_whole_where_the_line_passes_between_them():
    grids = [scene(x=0.0), scene(x=1_000.0), scene(x=2_000.0)]
    training, validation = split_areas(grids, share=1 / 3, side="east")
    whole = grids[0].window
    assert training == [[whole], [whole], []]
    assert validation == [[], [], [whole]]


def test_no_share_leaves_everything_to_training_whatever_the_grids():
    grids = [scene(), Grid(5, 5, Affine(1.0, 0.5, 0.0, 0.5, 1.0, 0.0), None)]
    training, validation = split_areas(grids, share=0, side="north")
    assert training == [[grid.window] for grid in grids]
    assert validation == [[], []]


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_share_outside_its_range_is_refused(share):
    with pytest.raises(ConfigError, match="at least 0 and below 1"):
        split_areas([scene()], share=share, side="north")


def test_scenes_in_several_systems_are_refused():
    other = Grid(100, 80, scene().transform, CRS.from_epsg(32646))
    with pytest.raises(DataError, match=r"share one CRS .*32645.*32646.*warp"):
        split_areas([scene(), other], share=0.2, side="east")


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.4, 0.3, 0.0, 0.3, -0.4, 0.0),
        Affine(0.5, 0.0, 0.0, 0.0, 0.5, 0.0),
        Affine(0.0, 0.5, 0.0, 0.5, 0.0, 0.0),
    ],
)
def test_scenes_that_are_not_north_up_are_refused(transform):
    with pytest.raises(DataError, match=r"north-up .*scene 2 of 2.*gdalwarp"):
        split_areas([scene(), Grid(10, 10, transform, UTM)], share=0.2, side="east")


def test_split_that_empties_a_part_is_refused():
    with pytest.raises(DataError, match="without a pixel"):
        split_areas([scene(2, 2)], share=0.1, side="north")


def test_buffer_is_taken_from_training():
    training, validation = split_areas([scene()], share=0.25, side="east", buffer=7)
    assert training == [[Window(0, 0, 100, 53)]]
    assert validation == [[Window(0, 60, 100, 20)]]
    with pytest.raises(DataError, match=r"a buffer of 60 pixels leaves training .* buffer"):
        split_areas([scene()], share=0.25, side="east", buffer=60)


def test_split_is_the_same_for_numpy_numbers():
    assert split_areas([scene()], share=np.float64(0.25), side="east") == split_areas(
        [scene()], share=0.25, side="east"
    )
