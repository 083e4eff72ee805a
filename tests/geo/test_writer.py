import resource
import signal

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from rsadapt.errors import DataError, ShapeError
from rsadapt.geo.grid import Grid
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster

UTM = CRS.from_epsg(32645)
COLOURS = {0: (10, 20, 30), 10: (200, 0, 0), 30: (0, 200, 0)}
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]


def grid_of(height, width):
    return Grid(height, width, Affine(0.5, 0.0, 300_000.0, 0.0, -0.5, 3_000_000.0), UTM)


def names(folder):
    return [path.name for path in folder.iterdir()]


def patches(size, codes=(0, 10, 30, 255)):
    """Codes in patches of 37 pixels, so that no overview cell lines up with them."""
    side = size // 37 + 1
    coarse = np.random.default_rng(0).choice(codes, (side, side)).astype(np.uint8)
    return np.kron(coarse, np.ones((37, 37), np.uint8))[:size, :size]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(40, 50), (600, 520)])
def test_written_raster_reads_back_the_same(tmp_path, dtype, size):
    values = np.random.default_rng(0).integers(0, 100, (4, *size)).astype(dtype)
    write_raster(
        tmp_path / "new" / "a.tif",
        values,
        grid_of(*size),
        nodata=7,
        descriptions=["blue", "green", "red", "infrared"],
        tags={"SENSOR": "x"},
    )
    raster = Raster(tmp_path / "new" / "a.tif")
    read, valid = raster.read()
    assert read.dtype == dtype
    assert np.array_equal(read, values)
    assert np.array_equal(valid, (values != 7).all(axis=0))
    assert raster.grid == grid_of(*size)
    assert raster.nodata == 7
    assert raster.descriptions == ("blue", "green", "red", "infrared")
    assert names(tmp_path / "new") == ["a.tif"]
    with rasterio.open(raster.path) as dataset:
        assert dataset.tags()["SENSOR"] == "x"
        assert dataset.compression.name == "deflate"
        assert dataset.profile["tiled"]


def test_fourth_band_is_no_alpha(tmp_path):
    values = np.zeros((4, 8, 8), np.uint8)
    write_raster(tmp_path / "a.tif", values, grid_of(8, 8))
    assert Raster(tmp_path / "a.tif").read()[1].all()


def test_single_band_with_palette(tmp_path):
    codes = patches(60)
    write_raster(tmp_path / "a.tif", codes, grid_of(60, 60), nodata=255, colours=COLOURS)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        palette = dataset.colormap(1)
        assert {code: palette[code][:3] for code in COLOURS} == COLOURS
        assert np.array_equal(dataset.read(1), codes)


def test_raster_is_replaced_together_with_its_sidecars(tmp_path):
    path = tmp_path / "a.tif"
    for suffix in ("", ".aux.xml", ".ovr"):
        (tmp_path / f"a.tif{suffix}").write_text("of another raster")
    write_raster(path, patches(60), grid_of(60, 60))
    assert names(tmp_path) == ["a.tif"]
    assert Raster(path).read()[1].all()


def test_raster_that_does_not_fit_its_grid_is_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"expected values \[bands, 4, 5\], found \(3, 5, 4\)"):
        write_raster(tmp_path / "a.tif", np.zeros((3, 5, 4)), grid_of(4, 5))
    with pytest.raises(ShapeError, match="expected 3 descriptions"):
        write_raster(tmp_path / "a.tif", np.zeros((3, 4, 5)), grid_of(4, 5), descriptions=["a"])
    assert not names(tmp_path)


def test_what_the_system_refuses_is_told_without_its_number(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"a\.tif cannot be written \([A-Z][a-z ]+\); check"):
        write_raster(tmp_path / "file" / "a.tif", patches(60), grid_of(60, 60))


@pytest.mark.parametrize("limit", [1_000, 200_000, 400_000])
def test_full_disk_is_an_error_and_never_a_broken_file(tmp_path, limit):
    values = np.random.default_rng(0).integers(0, 250, (700, 700)).astype(np.uint8)
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_action = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old_limit[1]))
    try:
        with pytest.raises(DataError, match=r"b\.tif cannot be written .* disk has room"):
            write_raster(tmp_path / "b.tif", values, grid_of(700, 700))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_action)
    assert not names(tmp_path)
