"""Maps laid together: on one grid or refused, later ones over earlier ones, nodata over nothing."""

import math

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError
from rsadapt.geo.grid import Grid, Window, crs_of
from rsadapt.geo.maps import Bands, PartWriter, join, link
from rsadapt.geo.mosaic import common_grid
from rsadapt.geo.raster import Raster

UTM = crs_of(32645)
NORTH_UP = Affine(0.5, 0.0, 300_000.0, 0.0, -0.5, 3_000_000.0)
ROTATED = Affine(0.4, 0.3, 300_000.0, 0.3, -0.4, 3_000_000.0)
SCHEME = ClassScheme(("a & b", "c"), ((1,), (4,)), ((10, 20, 30), (0, 200, 0)))
CODES = Bands(("class",), "uint8", 255, scheme=SCHEME)


def moved(grid, rows, cols, height=None, width=None):
    """A grid so many pixels further down and to the right."""
    t = grid.transform
    x, y = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    at = Affine(t.a, t.b, x, t.d, t.e, y)
    return Grid(height or grid.height, width or grid.width, at, grid.crs)


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED])
@given(
    places=st.lists(
        st.tuples(
            st.integers(-1000, 1000),
            st.integers(-1000, 1000),
            st.integers(1, 50),
            st.integers(1, 50),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_the_common_grid_holds_every_pixel_in_its_place(transform, places):
    origin = Grid(1, 1, transform, UTM)
    grids = {str(number): moved(origin, *place) for number, place in enumerate(places)}
    whole, windows = common_grid(grids)
    for grid, window in zip(grids.values(), windows, strict=True):
        assert whole.crop(window).matches(grid)
    assert min(window.row for window in windows) == min(window.col for window in windows) == 0
    assert whole.height == max(window.row_stop for window in windows)
    assert whole.width == max(window.col_stop for window in windows)


def test_grids_that_do_not_fit_are_refused_by_name_with_the_cure():
    first = Grid(20, 30, NORTH_UP, UTM)
    half = moved(first, 7.5, 3)
    t = first.transform
    coarse = Grid(20, 30, Affine(t.a * 1.01, 0, t.c, 0, t.e, t.f), UTM)
    cases = {
        r"b\.tif: expected pixels on the grid of a\.tif, found them shifted by 0\.00 columns and "
        r"0\.50 rows beyond .*gdalwarp -tap -tr\), or train with 'pixel'": half,
        r"b\.tif: expected pixels of the size and direction of those of a\.tif .*0\.505": coarse,
        r"b\.tif: expected pixels of the size and direction": Grid(20, 30, ROTATED, UTM),
        r"b\.tif: expected a scene in EPSG:32645, as a\.tif is, found EPSG:32644; warp it": Grid(
            20, 30, NORTH_UP, crs_of(32644)
        ),
        r"b\.tif: expected a scene that says where on Earth": Grid(20, 30, Affine.identity()),
        r"mosaic of a\.tif and 1 more would be 20 x 3000000030 pixels": moved(first, 0, 3e9),
    }
    for words, other in cases.items():
        with pytest.raises(DataError, match=words):
            common_grid({"a.tif": first, "b.tif": other})
    assert common_grid({"a.tif": first, "b.tif": moved(first, 2.004, 3)})[1][1].row == 2


def written(folder, name, values, grid, bands=CODES):
    path = folder / name
    with PartWriter(path, grid, bands) as writer:
        writer.write_rows(values)
    return path


@pytest.fixture
def overlapping(tmp_path):
    """Two maps that share pixels, with nodata inside; what is seen where both are laid down."""
    random = np.random.default_rng(0)
    first = Grid(60, 90, ROTATED, UTM)
    grids = {"a": first, "b": moved(first, 20, 70, 55, 80)}
    whole, windows = common_grid(grids)
    seen = np.full((1, *whole.shape), 255, np.uint8)
    parts = []
    for (name, grid), window in zip(grids.items(), windows, strict=True):
        codes = random.choice([1, 4, 255], (1, *grid.shape)).astype(np.uint8)
        under = seen[(slice(None), *window.slices)]
        seen[(slice(None), *window.slices)] = np.where(codes == 255, under, codes)
        parts.append((written(tmp_path, f"{name}.tif", codes, grid), window))
    return parts, whole, seen


@pytest.mark.parametrize("suffix", [".vrt", ".tif"])
def test_later_maps_lie_over_earlier_ones_and_nodata_over_nothing(tmp_path, overlapping, suffix):
    parts, whole, seen = overlapping
    path = tmp_path / f"mosaic{suffix}"
    tags = {"RSADAPT_RUN": "a < b"}
    if suffix == ".vrt":
        link(parts, path, whole, CODES, tags=tags)
    else:
        join(parts, path, whole, CODES, tags=tags, overlapping=True)
    assert Raster(path).grid.matches(whole)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), seen)
        palette = dataset.colormap(1)
        assert [palette[code] for code in (1, 4)] == [(10, 20, 30, 255), (0, 200, 0, 255)]
        assert (dataset.nodata, dataset.descriptions) == (255, ("class",))
        assert dataset.colorinterp[0].name == "palette"
        assert dataset.tags()["RSADAPT_RUN"] == "a < b"
    assert path.with_suffix(".qml").read_text().count("<paletteEntry") == 2
    text = (path if suffix == ".vrt" else path.with_name("mosaic.tif.aux.xml")).read_text()
    assert "<Category>a &amp; b</Category>" in text
    assert text.count("<Row ") == 2


def test_a_linked_mosaic_may_be_moved_with_its_maps(tmp_path, overlapping):
    parts, whole, seen = overlapping
    (tmp_path / "maps").mkdir()
    placed = [(file.rename(tmp_path / "maps" / file.name), window) for file, window in parts]
    link(placed, tmp_path / "maps" / "all.vrt", whole, CODES)
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [
        "a.tif",
        "all.qml",
        "all.vrt",
        "b.tif",
    ]
    (tmp_path / "maps").rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(Raster(tmp_path / "elsewhere" / "all.vrt").read()[0], seen)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_quantities_keep_scale_names_and_nodata(tmp_path, dtype):
    nodata, scale = (255, 1 / 254) if dtype == "uint8" else (math.nan, None)
    bands = Bands(("a", "b"), dtype, nodata, scale=scale)
    grid = Grid(8, 9, NORTH_UP, UTM)
    low, high = np.full((2, 8, 9), 0, dtype), np.full((2, 8, 9), 1, dtype)
    high[:, :4] = nodata
    parts = [
        (written(tmp_path, "low.tif", low, grid, bands), Window(0, 0, 8, 9)),
        (written(tmp_path, "high.tif", high, grid, bands), Window(0, 0, 8, 9)),
    ]
    link(parts, tmp_path / "both.vrt", moved(grid, 0, 0, 12), bands)
    with rasterio.open(tmp_path / "both.vrt") as dataset:
        values = dataset.read()
        assert dataset.descriptions == ("a", "b")
        assert dataset.scales[1] == pytest.approx(scale or 1)
        assert [interpreted.name for interpreted in dataset.colorinterp] == ["gray", "undefined"]
        assert np.array_equal([dataset.nodata], [nodata], equal_nan=True)
    assert (values[:, :4] == 0).all()
    assert (values[:, 4:8] == 1).all()
    assert np.array_equal(values[:, 8:], np.full((2, 4, 9), nodata, dtype), equal_nan=True)


def test_a_mosaic_takes_the_place_of_another_with_its_sidecars(tmp_path, overlapping):
    parts, whole, _ = overlapping
    for name in ("all.vrt", "all.vrt.aux.xml", "all.vrt.ovr"):
        (tmp_path / name).write_text("of another")
    link(parts, tmp_path / "all.vrt", whole, CODES)
    assert sorted(path.name for path in tmp_path.glob("all*")) == ["all.qml", "all.vrt"]
    assert Raster(tmp_path / "all.vrt").grid.matches(whole)
