"""Rasters with further masks, and what labels are seen through them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from shapely import box

from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.harmonise import harmonise
from rsadapt.geo.labels import MaskedLabels, RemappedLabels
from rsadapt.geo.masked import Drawn, MaskedRaster
from rsadapt.geo.raster import Raster
from rsadapt.geo.vectors import DrawnLabels
from rsadapt.geo.warp import WarpedRaster
from rsadapt.geo.writer import write_raster

GRID = Grid(40, 60, Affine(2, 0, 500000, 0, -2, 5200000), CRS.from_epsg(32632))
WINDOW = Window(7, 11, 20, 33)


def drawn(grid, *shapes, inside=True):
    """Shapes in pixels (column, row), drawn 1 on 0."""
    ids = np.ones(len(shapes), np.int32)
    return Drawn(DrawnLabels(Path("f"), grid, np.array(shapes, object), ids, 0), inside)


@pytest.fixture
def raster(tmp_path):
    values = np.random.default_rng(0).integers(0, 9, (3, *GRID.shape)).astype(np.uint8)
    write_raster(tmp_path / "s.tif", values, GRID, nodata=4, descriptions=["a", "b", "c"])
    return Raster(tmp_path / "s.tif")


@pytest.mark.parametrize("warp", [False, True])
def test_valid_is_what_the_raster_and_all_masks_say(raster, warp):
    if warp:
        (grid,) = harmonise([raster], crs=CRS.from_epsg(3857))
        raster = WarpedRaster(raster, grid, "bilinear")
    masks = [
        drawn(raster.grid, box(5, 5, 30, 30), box(40, 0, 50, 20)),
        drawn(raster.grid, box(10, 10, 14, 14), inside=False),
    ]
    masked = pickle.loads(pickle.dumps(MaskedRaster(raster, masks)))
    counts = np.zeros(raster.grid.shape, bool)
    counts[5:30, 5:30] = counts[:20, 40:50] = True
    counts[10:14, 10:14] = False
    for window, bands in ((None, None), (WINDOW, [2]), (WINDOW, [3, 1])):
        values, valid = masked.read(window, bands)
        expected, whole = raster.read(window, bands)
        np.testing.assert_array_equal(values, expected)
        np.testing.assert_array_equal(valid, whole & counts[(window or raster.grid.window).slices])
    assert list(masked.blocks()) == list(raster.blocks())
    for name in ("path", "grid", "count", "dtype", "nodata", "descriptions", "tags"):
        assert getattr(masked, name) == getattr(raster, name)


def test_what_no_mask_lets_count_is_not_decoded(raster):
    masked = MaskedRaster(raster, [drawn(GRID, box(0, 0, 5, 5))])
    raster.path.unlink()
    values, valid = masked.read(Window(20, 20, 8, 9), [1, 3])
    assert (values.shape, values.dtype, values.any()) == ((2, 8, 9), np.uint8, False)
    assert not valid.any()
    with pytest.raises(ValueError, match="must lie in the raster"):
        masked.read(Window(20, 20, 80, 9))
    with pytest.raises(ValueError, match=r"bands in 1\.\.3, found \[4\]"):
        masked.read(Window(20, 20, 8, 9), [4])


@pytest.mark.parametrize(
    ("shapes", "extent"),
    [
        ([box(5, 6, 20, 8)], Window(6, 5, 3, 16)),
        ([box(-5, -5, 3, 3), box(50, 35, 80, 80)], Window(0, 0, 40, 60)),
        ([box(50, 35, 80, 80), box(100, 100, 200, 200)], Window(35, 50, 5, 10)),
        ([box(100, 0, 200, 20)], None),
    ],
)
def test_extent_holds_what_is_drawn_on_the_grid(shapes, extent):
    assert drawn(GRID, *shapes).features.extent == extent


def test_ids_are_given_others_at_once_and_the_rest_stay(tmp_path):
    ids = np.arange(2400).reshape(GRID.shape).astype(np.uint8)
    write_raster(tmp_path / "l.tif", ids, GRID, nodata=9)
    labels = RemappedLabels(Raster(tmp_path / "l.tif"), {1: 2, 2: 1, 7: 300, 8: -1, 999: 3})
    raw, valid = labels.read(WINDOW, [1])
    table = {1: 2, 2: 1, 7: 300, 8: -1}
    expected = [table.get(value, value) for value in ids[WINDOW.slices].ravel().tolist()]
    assert raw.shape == (1, 20, 33)
    assert raw.ravel().tolist() == expected
    np.testing.assert_array_equal(valid, ids[WINDOW.slices] != 9)
    assert labels.path == tmp_path / "l.tif"


def test_labels_count_where_masks_say_so(tmp_path):
    write_raster(tmp_path / "l.tif", np.ones(GRID.shape, np.uint8), GRID)
    hole = drawn(GRID, box(20, 10, 25, 15), inside=False)
    labels = pickle.loads(pickle.dumps(MaskedLabels(Raster(tmp_path / "l.tif"), (hole,))))
    raw, valid = labels.read(WINDOW, [1])
    assert (raw == 1).all()
    assert (~valid).sum() == 25
    assert not valid[3:8, 9:14].any()
