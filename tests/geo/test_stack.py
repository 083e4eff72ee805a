import pickle

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from rsadapt.errors import DataError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.harmonise import harmonise
from rsadapt.geo.raster import Raster
from rsadapt.geo.stack import StackedRaster
from rsadapt.geo.warp import WarpedRaster, aligned, warped
from rsadapt.geo.writer import write_raster

UTM = CRS.from_epsg(32632)


def grid(size, pixels, crs=UTM, left=5e5):
    return Grid(pixels, pixels, Affine(size, 0, left, 0, -size, 5.2e6), crs)


FINE, COARSE = grid(10, 60), grid(20, 30)


@pytest.fixture
def band(tmp_path):
    """Write a band of noise and open it."""

    def write(name, where=FINE, dtype="uint16", nodata=None, count=1):
        random = np.random.default_rng(sum(map(ord, name)))
        values = random.integers(0, 90, (count, *where.shape)).astype(dtype)
        write_raster(tmp_path / f"{name}.tif", values, where, nodata=nodata)
        return Raster(tmp_path / f"{name}.tif")

    return write


def test_bands_are_those_of_their_files(band):
    parts = [band("blue"), band("red"), band("nir")]
    stack = StackedRaster(parts, ["blue", "red", "nir"])
    assert (stack.grid, stack.count, stack.dtype) == (FINE, 3, "uint16")
    assert stack.descriptions == ("blue", "red", "nir")
    window = Window(7, 11, 20, 31)
    values, valid = stack.read(window, [3, 1])
    assert np.array_equal(values[0], parts[2].read(window)[0][0])
    assert np.array_equal(values[1], parts[0].read(window)[0][0])
    assert valid.all()
    again = pickle.loads(pickle.dumps(stack))
    assert np.array_equal(again.read()[0], stack.read()[0])
    assert again.path == stack.path == parts[0].path


def test_pixel_is_valid_where_every_band_read_is(band):
    parts = [band("a", nodata=3), band("b", nodata=5), band("c")]
    stack = StackedRaster(parts, "abc")
    assert stack.nodata is None
    a, b = parts[0].read()[0][0] != 3, parts[1].read()[0][0] != 5
    assert 0 < (a & b).sum() < min(a.sum(), b.sum())
    assert np.array_equal(stack.read()[1], a & b)
    assert np.array_equal(stack.read(bands=[2, 3])[1], b)


def test_bands_are_brought_to_the_grid_of_the_finest(band):
    fine, coarse = band("fine"), band("coarse", COARSE)
    parts = aligned([coarse, fine], "nearest")
    stack = StackedRaster(parts, ["coarse", "fine"])
    assert parts[1] is fine
    assert stack.grid is fine.grid
    expected = np.kron(coarse.read()[0][0], np.ones((2, 2)))
    assert np.array_equal(stack.read()[0][0], expected)


def test_blocks_cover_it_once(band):
    stack = StackedRaster(aligned([band("fine"), band("coarse", COARSE)], "bilinear"), "ab")
    seen = np.zeros(FINE.shape, int)
    for window in stack.blocks():
        seen[window.slices] += 1
    assert (seen == 1).all()


def test_warped_stack_is_warped_once_from_what_is_stored(band):
    fine, coarse = band("fine"), band("coarse", COARSE)
    stack = StackedRaster(aligned([fine, coarse], "bilinear"), ["fine", "coarse"])
    (target,) = harmonise([stack], crs=CRS.from_epsg(3035), pixel=15.0)
    seen = warped(stack, target, "cubic")
    assert isinstance(seen, StackedRaster)
    assert (seen.grid, seen.descriptions, seen.path) == (target, ("fine", "coarse"), stack.path)
    for number, part in enumerate([fine, coarse], start=1):
        assert np.array_equal(
            seen.read(bands=[number])[0], WarpedRaster(part, target, "cubic").read()[0]
        )


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [("uint8", "uint16", "uint16"), ("int16", "uint16", "int32"), ("int32", "float32", "float64")],
)
def test_types_are_brought_to_one_that_holds_both(band, one, other, both):
    parts = [band("a", dtype=one), band("b", dtype=other)]
    stack = StackedRaster(parts, "ab")
    values, _ = stack.read()
    assert values.dtype == stack.dtype == both
    assert all(np.array_equal(v, part.read()[0][0]) for v, part in zip(values, parts, strict=True))


def test_what_is_no_stack_is_refused_by_name(band):
    a = band("a")
    with pytest.raises(DataError, match=r"b\.tif: expected the file of one band, found 2 bands"):
        StackedRaster([a, band("b", count=2)], "ab")
    with pytest.raises(DataError, match=r"c\.tif: expected the pixels of .*a\.tif.*gdalwarp"):
        StackedRaster([a, band("c", COARSE)], "ac")
    with pytest.raises(DataError, match=r"d\.tif: .*one type holds exactly, found a\.tif uint16"):
        StackedRaster([a, band("d", dtype="int64"), band("e", dtype="float32")], "ade")
    with pytest.raises(DataError, match=r"f\.tif: expected a coordinate reference system"):
        aligned([a, band("f", grid(20, 30, crs=None))], "nearest")
    with pytest.raises(ValueError, match=r"expected bands in 1\.\.1, found \[2\]"):
        StackedRaster([a], "a").read(bands=[2])
