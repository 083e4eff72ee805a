"""Borders: found where white or black runs in from a scene's edge, and nowhere else."""

import numpy as np
import pytest
from affine import Affine

from rsadapt.geo.edges import EDGE, borders, edge_windows, running_in
from rsadapt.geo.grid import Grid, Window, crs_of
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster


@pytest.fixture
def scene(tmp_path):
    """Write values [bands, height, width] and open them."""
    count = 0

    def write(values, nodata=None):
        nonlocal count
        count += 1
        shape = values.shape[1:]
        grid = Grid(*shape, Affine(1, 0, 5e5, 0, -1, 5e6), crs_of(32633))
        file = tmp_path / f"{count}.tif"
        write_raster(file, values, grid, nodata=nodata)
        return Raster(file)

    return write


def noise(shape=(3, 80, 100), dtype=np.uint8):
    return np.random.default_rng(0).integers(20, 200, shape).astype(dtype)


def test_lines_run_in_from_the_sides_asked_for():
    same = np.array([[1, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 0]], bool)
    from_left = [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    from_top = [[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]]
    assert running_in(same, (False, False, True, False)).tolist() == from_left
    assert running_in(same, (True, False, False, False)).tolist() == from_top
    assert not running_in(same, (False, True, False, False)).any()
    assert not running_in(same, (False, False, False, False)).any()


@pytest.mark.parametrize(("value", "colour"), [(255, "white"), (244, "white"), (0, "black")])
def test_border_of_a_scene(scene, value, colour):
    values = noise()
    values[:, :, :20] = value
    found = borders([(scene(values), [1, 2, 3])])
    assert getattr(found, colour).share == pytest.approx(0.2)
    assert getattr(found, colour).scenes == 1
    other = found.black if colour == "white" else found.white
    assert (other.share, other.scenes, found.scenes) == (0, 0, 1)


def test_white_inside_one_white_band_and_flagged_borders_are_none(scene):
    inside = noise()
    inside[:, 20:60, 20:80] = 255
    one_band = noise()
    one_band[0, :, :50] = 255
    flagged = noise()
    flagged[:, :, :50] = 0
    raster = scene(flagged, nodata=0)
    found = borders([(scene(inside), [1, 2, 3]), (scene(one_band), [1, 2]), (raster, [1, 2, 3])])
    assert (found.white.share, found.black.share) == (0, 0)


def test_border_behind_a_flagged_one_counts(scene):
    values = noise()
    values[:, :, :10] = 0
    values[:, :, 10:30] = 255
    found = borders([(scene(values, nodata=0), [1, 2, 3])])
    assert found.white.share == pytest.approx(20 / 90)


def test_dark_pixels_beside_a_nodata_value_are_meant(scene):
    values = noise()
    values[:, :, :10] = 0
    values[:, :, 10:30] = 3
    assert borders([(scene(values), [1, 2, 3])]).black.share == pytest.approx(0.3)
    assert borders([(scene(values, nodata=0), [1, 2, 3])]).black.share == 0


def test_types_have_their_own_white(scene):
    deep = noise(dtype=np.uint16)
    deep[:, :, :20] = 255
    floats = noise(dtype=np.float32)
    floats[:, :, :20] = 0
    assert borders([(scene(deep), [1])]).white.share == 0
    deep[:, :, :20] = 65535
    assert borders([(scene(deep), [1])]).white.share == pytest.approx(0.2)
    found = borders([(scene(floats), [1])])
    assert (found.white.share, found.black.share) == (0, pytest.approx(0.2))


@pytest.mark.parametrize(("height", "width"), [(50, 60), (512, 512), (3000, 100), (900, 2000)])
def test_windows_touch_the_edges_and_stay_inside(height, width):
    area = Window(0, 0, height, width)
    windows = edge_windows(area)
    assert all(area.contains(window) for window in windows)
    assert all(0 in (w.row, w.col) or w.row_stop == height or w.col_stop == width for w in windows)
    assert all(w.height * w.width <= (2 * EDGE) ** 2 for w in windows)
    corners = {(0, 0), (height, width)}
    assert corners <= {(w.row, w.col) for w in windows} | {
        (w.row_stop, w.col_stop) for w in windows
    }
