import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from rsadapt.geo.grid import Grid, Window, tile_starts, tile_windows

UTM = CRS.from_epsg(32645)
MERCATOR = CRS.from_epsg(3857)
DEGREES = CRS.from_epsg(4326)

windows = st.builds(
    Window, st.integers(0, 30), st.integers(0, 30), st.integers(1, 30), st.integers(1, 30)
)


def north_up(size=0.5, x=300_000.0, y=3_000_000.0):
    return Affine(size, 0.0, x, 0.0, -size, y)


def pixels(window):
    mask = np.zeros((60, 60), bool)
    if window is not None:
        mask[window.slices] = True
    return mask


@pytest.mark.parametrize("numbers", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0)])
def test_window_without_pixels_or_before_the_raster_is_refused(numbers):
    with pytest.raises(ValueError, match="at least one pixel"):
        Window(*numbers)


@given(windows, windows)
def test_intersection_and_containment_are_those_of_pixel_sets(a, b):
    common = a.intersect(b)
    assert np.array_equal(pixels(common), pixels(a) & pixels(b))
    assert common == b.intersect(a)
    assert a.contains(b) == (not np.any(pixels(b) & ~pixels(a)))


def test_window_stops_lie_after_the_last_pixel():
    window = Window(2, 3, 4, 5)
    assert (window.row_stop, window.col_stop) == (6, 8)
    assert window.slices == (slice(2, 6), slice(3, 8))


def test_grid_needs_pixels_with_an_area():
    with pytest.raises(ValueError, match="at least one pixel"):
        Grid(0, 5, north_up())
    with pytest.raises(ValueError, match="must have an area"):
        Grid(5, 5, Affine(0.0, 0.0, 0.0, 0.0, -1.0, 0.0))


def test_crop_keeps_every_pixel_where_it_was():
    rotated = Affine(0.4, 0.3, 300_000.0, 0.3, -0.4, 3_000_000.0)
    grid = Grid(40, 50, rotated, UTM)
    part = grid.crop(Window(10, 20, 5, 6))
    assert part.shape == (5, 6)
    assert part.crs == UTM
    assert (part.transform.c, part.transform.f) == pytest.approx((300_011.0, 3_000_002.0))
    assert part.pixel_size == grid.pixel_size == pytest.approx((0.5, 0.5))
    assert grid.crop(grid.window) == grid


def test_crop_outside_the_grid_is_refused():
    with pytest.raises(ValueError, match="must lie in the grid of 40x50"):
        Grid(40, 50, north_up(), UTM).crop(Window(0, 45, 5, 6))


def test_pixel_size_is_positive_in_every_orientation():
    assert Grid(4, 4, Affine(2.0, 0.0, 0.0, 0.0, 3.0, 0.0)).pixel_size == (2.0, 3.0)
    assert Grid(4, 4, Affine(0.0, 3.0, 0.0, -2.0, 0.0, 0.0)).pixel_size == (2.0, 3.0)


@pytest.mark.parametrize("latitude", [0.0, 27.6, -45.0, 70.0])
def test_ground_size_is_the_length_on_the_ellipsoid(latitude):
    degree = 1e-5
    grid = Grid(2, 2, Affine(degree, 0.0, 85.0, 0.0, -degree, latitude), DEGREES)
    e2 = 0.0066943799901413165  # WGS 84's squared eccentricity
    a, phi = 6_378_137.0, math.radians(latitude)
    w = math.sqrt(1 - e2 * math.sin(phi) ** 2)
    east = math.radians(degree) * a / w * math.cos(phi)
    north = math.radians(degree) * a * (1 - e2) / w**3
    assert grid.ground_size() == pytest.approx((east, north), rel=1e-4)


def test_ground_size_sees_through_the_stretch_of_mercator():
    y = 8_399_737.9  # 60 degrees north in EPSG:3857, where the sphere's stretch is 2
    x_size, y_size = Grid(10, 10, north_up(0.5, 0.0, y), MERCATOR).ground_size()
    assert (x_size, y_size) == pytest.approx((0.25, 0.25), rel=0.005)


def test_ground_size_of_a_projection_in_metres_is_near_its_pixel_size():
    assert Grid(10, 10, north_up(), UTM).ground_size() == pytest.approx((0.5, 0.5), rel=1e-3)


def test_ground_size_is_unknown_without_a_place_on_the_ground():
    nowhere = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    assert Grid(10, 10, north_up()).ground_size() is None
    assert Grid(10, 10, north_up(), nowhere).ground_size() is None


def test_grids_match_to_a_hundredth_of_a_pixel():
    grid = Grid(100, 100, north_up(), UTM)
    assert grid.matches(Grid(100, 100, north_up(x=300_000.004), UTM))
    assert not grid.matches(Grid(100, 100, north_up(x=300_000.006), UTM))
    assert not grid.matches(Grid(100, 100, north_up(0.5001), UTM))
    assert not grid.matches(Grid(100, 99, north_up(), UTM))
    assert not grid.matches(Grid(100, 100, north_up(), MERCATOR))
    assert not grid.matches(Grid(100, 100, north_up()))


@given(st.integers(1, 300), st.integers(1, 64), st.data())
def test_tiles_cover_an_axis_and_end_with_it(length, tile, data):
    stride = data.draw(st.integers(1, tile))
    starts = tile_starts(length, tile, stride)
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert starts[-1] == max(0, length - tile)
    assert all(after - before <= stride for before, after in itertools.pairwise(starts))


@given(windows, st.integers(1, 12), st.data())
def test_tile_windows_cover_an_area_and_nothing_else(area, tile, data):
    stride = data.draw(st.integers(1, tile))
    tiles = tile_windows(area, tile, stride)
    covered = np.logical_or.reduce([pixels(window) for window in tiles])
    assert np.array_equal(covered, pixels(area))
    assert {(window.height, window.width) for window in tiles} == {
        (min(tile, area.height), min(tile, area.width))
    }
    assert tiles == sorted(tiles, key=lambda window: (window.row, window.col))


@given(windows, st.integers(1, 12), st.data())
def test_tiles_cut_where_the_next_begin_cover_an_area_exactly_once(area, tile, data):
    stride = data.draw(st.integers(1, tile))
    tiles = tile_windows(area, tile, stride)
    times = np.zeros((60, 60), int)
    for window in tiles:
        below = [other.row for other in tiles if other.row > window.row]
        right = [other.col for other in tiles if other.col > window.col]
        row_stop, col_stop = min([window.row_stop, *below]), min([window.col_stop, *right])
        assert (row_stop, col_stop) > (window.row, window.col)  # no tile is superfluous
        times[window.row : row_stop, window.col : col_stop] += 1
    assert np.array_equal(times, pixels(area))


@given(windows, st.integers(1, 12))
def test_tiles_without_overlap_of_a_multiple_cover_once(corner, tile):
    area = Window(corner.row, corner.col, 2 * tile, 2 * tile)
    assert len(tile_windows(area, tile, tile)) == 4


@pytest.mark.parametrize("numbers", [(0, 4, 4), (10, 4, 0), (10, 4, 5)])
def test_tiles_that_would_leave_gaps_are_refused(numbers):
    with pytest.raises(ValueError, match="1 <= stride <= tile"):
        tile_starts(*numbers)


def test_grid_needs_no_rasterio():
    code = (
        "import sys; sys.modules['rasterio'] = sys.modules['affine'] = None; "
        "import rsadapt.geo.grid; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
