"""Unflagged borders: by colour and connection with the edge, whatever the strips."""

import pickle

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.crs import CRS

from rsadapt.errors import DataError
from rsadapt.geo import border as module
from rsadapt.geo.border import border_colour, border_tolerance, find_border
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.harmonise import harmonise
from rsadapt.geo.raster import Raster
from rsadapt.geo.warp import WarpedRaster
from rsadapt.geo.writer import write_raster

UTM = CRS.from_epsg(32632)


def written(path, values, **options):
    grid = Grid(*values.shape[1:], Affine(2, 0, 500000, 0, -2, 5200000), UTM)
    write_raster(path, values, grid, **options)
    return Raster(path)


def bordered(raster, colour=(255,), tolerance=0.0, **options):
    """Where the border is, bool [height, width]."""
    mask = find_border(raster, range(1, len(colour) + 1), colour, tolerance, **options)
    found = ~mask.read(raster.grid.window)
    assert mask.pixels == found.sum()
    return found


def flooded(passable):
    """Pixels connected with the edge, one by one."""
    height, width = passable.shape
    seen = np.zeros(passable.shape, bool)
    stack = [
        (r, c)
        for r in range(height)
        for c in range(width)
        if r in (0, height - 1) or c in (0, width - 1)
    ]
    while stack:
        r, c = stack.pop()
        if 0 <= r < height and 0 <= c < width and passable[r, c] and not seen[r, c]:
            seen[r, c] = True
            stack += [(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)]
    return seen


class Memory:
    """A raster that lies in memory, of one band whose 9 is invalid, stored by two rows."""

    def __init__(self, values):
        self.values = values
        self.grid = Grid(*values.shape, Affine(1, 0, 0, 0, -1, 0), UTM)
        self.block_shape = (2, values.shape[1])

    def blocks(self, area):
        return [area]

    def read(self, window, bands):
        values = self.values[window.slices]
        return values[np.newaxis], values != 9


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 15), st.integers(1, 15)),
        elements=st.sampled_from([0, 1, 9]),
        fill=st.nothing(),
    ),
    st.integers(1, 60),
    st.data(),
)
def test_border_is_what_a_flood_from_the_edge_reaches(values, at_once, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_PIXELS", at_once)
        mask = find_border(Memory(values), [1], (1.0,), 0.0)
    expected = ~(flooded(values != 0) & (values == 1))
    height, width = values.shape
    np.testing.assert_array_equal(mask.read(Window(0, 0, height, width)), expected)
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(
        row,
        col,
        data.draw(st.integers(1, height - row)),
        data.draw(st.integers(1, width - col)),
    )
    np.testing.assert_array_equal(mask.read(window), expected[window.slices])


def test_a_border_that_winds_through_many_strips_is_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_PIXELS", 1)
    values = np.zeros((1, 1100, 40), np.uint8)
    values[0, :, 1:-1:4] = 255  # columns, joined at the bottom and the top by turns
    for number, col in enumerate(range(1, 34, 4)):
        values[0, 1098 if number % 2 == 0 else 1, col : col + 5] = 255
    values[0, [0, -1]] = 0
    values[0, 0, 1] = 255  # the way in
    raster = written(tmp_path / "s.tif", values)
    assert len(list(module._strips(raster))) > 2
    np.testing.assert_array_equal(bordered(raster), values[0] == 255)


def test_what_looks_like_the_border_inside_is_kept(tmp_path):
    values = np.full((3, 50, 60), 90, np.uint8)
    values[:, :10] = 255
    values[:, 20:30, 20:30] = 255  # a roof
    values[0, 40:, :10] = 255  # red alone
    raster = written(tmp_path / "s.tif", values)
    expected = np.zeros((50, 60), bool)
    expected[:10] = True
    np.testing.assert_array_equal(bordered(raster, (255.0,) * 3), expected)
    values[:, 10:20, 25] = 250  # a way to the roof
    raster = written(tmp_path / "w.tif", values)
    np.testing.assert_array_equal(bordered(raster, (255.0,) * 3), expected)
    expected[10:20, 25] = expected[20:30, 20:30] = True
    np.testing.assert_array_equal(bordered(raster, (255.0,) * 3, 5.0), expected)


def test_jpeg_borders_are_found_to_their_last_blocks(tmp_path):
    random = np.random.default_rng(0)
    values = random.integers(0, 200, (3, 256, 256)).astype(np.uint8)
    white = np.add.outer(np.arange(256), np.arange(256)) < 200
    values[:, white] = 255
    options = {"driver": "GTiff", "compress": "jpeg", "photometric": "ycbcr", "jpeg_quality": 75}
    profile = {"width": 256, "height": 256, "count": 3, "dtype": "uint8", "crs": UTM}
    place = Affine(2, 0, 500000, 0, -2, 5200000)
    with rasterio.open(tmp_path / "j.tif", "w", transform=place, **profile, **options) as dataset:
        dataset.write(values)
    raster = Raster(tmp_path / "j.tif")
    found = bordered(raster, (255.0,) * 3, border_tolerance(raster))
    assert not found[~white].any()
    inner = np.add.outer(np.arange(256), np.arange(256)) < 200 - 32  # blocks of 16 apart
    assert found[inner].all()


def test_a_warped_border_is_widened_over_what_it_was_blended_with(tmp_path):
    values = np.full((1, 80, 80), 50, np.uint8)
    values[:, :, :30] = 255
    raster = written(tmp_path / "s.tif", values)
    (grid,) = harmonise([raster], crs=CRS.from_epsg(3857), pixel=1.7)
    seen = WarpedRaster(raster, grid, "bilinear")
    plain, valid = seen.read()
    found = bordered(seen, grow=1)
    assert found.any()
    assert not (~found & valid & (plain[0] > 55)).any()
    assert (found & (plain[0] == 50)).sum() < 2 * grid.height


def test_white_and_black_are_the_types_ends_in_the_rasters_units(tmp_path):
    def colour(dtype, name, path="s.tif"):
        raster = written(tmp_path / path, np.ones((2, 4, 4), dtype))
        return border_colour(raster, [1, 2], name)

    assert colour("uint8", "white") == (255, 255)
    assert colour("uint16", "white") == (65535, 65535)
    assert colour("float32", "black") == (0, 0)
    assert colour("float32", [0.5, 2.0]) == (0.5, 2.0)
    with pytest.raises(DataError, match=r"s\.tif: expected integers, .*found float32; give"):
        colour("float32", "white")
    with pytest.raises(DataError, match=r"border of 2 numbers, one a band, found 1"):
        colour("uint8", [1.0])
    written(tmp_path / "c.tif", np.ones((2, 4, 4), np.uint8))
    with rasterio.open(tmp_path / "c.tif", "r+") as dataset:
        dataset.scales, dataset.offsets = (0.5, 1.0), (-3.0, 1.0)
    scaled = Raster(tmp_path / "c.tif")
    assert border_colour(scaled, [1, 2], "white") == (124.5, 256)
    assert border_colour(scaled, [2], "black") == (1,)


def test_tolerance_is_for_eight_bits(tmp_path):
    for dtype, expected in (("uint8", module.JPEG_TOLERANCE), ("uint16", 0), ("float32", 0)):
        raster = written(tmp_path / "s.tif", np.ones((1, 4, 4), dtype))
        assert border_tolerance(raster) == expected


def test_masks_pickle(tmp_path):
    mask = find_border(written(tmp_path / "s.tif", np.ones((1, 9, 9), np.uint8)), [1], (1,), 0)
    again = pickle.loads(pickle.dumps(mask))
    assert again.pixels == 81
    assert not again.read(Window(1, 2, 3, 4)).any()
