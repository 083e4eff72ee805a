import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError, OutputExistsError, ShapeError
from rsadapt.geo.grid import Grid
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import MapWriter, write_raster

UTM = CRS.from_epsg(32645)
COLOURS = {0: (10, 20, 30), 10: (200, 0, 0), 30: (0, 200, 0)}
SCHEME = ClassScheme(("water", "a < b & c", "Wald"), ((0,), (10,), (30,)), tuple(COLOURS.values()))
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


def class_map(path, grid, **options):
    return MapWriter(
        path,
        grid,
        dtype="uint8",
        nodata=255,
        description="class",
        scheme=SCHEME,
        tags={"RSADAPT_RUN": "abc"},
        overview_resampling="mode",
        **options,
    )


def write_map(path, codes, step=100, **options):
    with class_map(path, grid_of(*codes.shape), **options) as writer:
        for row in range(0, len(codes), step):
            writer.write_rows(row, codes[row : row + step])


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


def test_map_is_a_styled_cog(tmp_path):
    codes = patches(1300)
    write_map(tmp_path / "rows.tif", codes, step=97)
    assert sorted(names(tmp_path)) == ["rows.qml", "rows.tif", "rows.tif.aux.xml"]
    with rasterio.open(tmp_path / "rows.tif") as dataset:
        assert float(dataset.tags(1)["STATISTICS_MAXIMUM"]) == 30
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["COMPRESSION"]) == ("COG", "DEFLATE")
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.nodata == 255
        assert dataset.descriptions == ("class",)
        assert dataset.tags()["RSADAPT_RUN"] == "abc"
        assert {code: dataset.colormap(1)[code][:3] for code in COLOURS} == COLOURS
        assert dataset.overviews(1) == [2, 4]
        assert np.array_equal(dataset.read(1), codes)
    assert Raster(tmp_path / "rows.tif").grid == grid_of(1300, 1300)


def test_overviews_hold_only_codes_of_the_map(tmp_path):
    write_map(tmp_path / "a.tif", patches(1300))
    for level in (0, 1):
        with rasterio.open(tmp_path / "a.tif", overview_level=level) as overview:
            assert set(np.unique(overview.read(1))) == {0, 10, 30, 255}
            assert overview.compression.name == "deflate"


def test_scaled_map_averages_its_overviews_without_nodata(tmp_path):
    stored = patches(1100, codes=(100, 200, 255))
    with MapWriter(
        tmp_path / "a.tif",
        grid_of(1100, 1100),
        dtype="uint8",
        nodata=255,
        description="confidence",
        scale=1 / 254,
        overview_resampling="average",
    ) as writer:
        writer.write_rows(0, stored)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.scales == (pytest.approx(1 / 254),)
        assert np.array_equal(dataset.read(1), stored)
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as overview:
        values = np.unique(overview.read(1))
        assert set(values[values > 200]) == {255}
        assert values[0] == 100


def test_small_map_without_georeference_is_written_without_a_warning(tmp_path):
    grid = Grid(5, 7, Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), None)
    with class_map(tmp_path / "a.tif", grid) as writer:
        writer.write_rows(0, np.full((5, 7), 10, np.uint8))
    assert Raster(tmp_path / "a.tif").grid == grid


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_nothing_behind(tmp_path, error):
    def interrupted():
        with class_map(tmp_path / "a.tif", grid_of(60, 60)) as writer:
            writer.write_rows(0, patches(60)[:20])
            raise error("stop")

    with pytest.raises(error, match="stop"):
        interrupted()
    assert not names(tmp_path)


def test_missing_rows_leave_nothing_behind(tmp_path):
    writer = class_map(tmp_path / "a.tif", grid_of(60, 60))
    with pytest.raises(DataError, match="expected 60 rows, found 20"), writer:
        writer.write_rows(0, patches(60)[:20])
    assert not names(tmp_path)


def test_existing_map_is_replaced_only_when_told_to(tmp_path):
    path = tmp_path / "a.tif"
    write_map(path, patches(60))
    with pytest.raises(OutputExistsError, match=r"a\.tif exists already"):
        write_map(path, patches(60))
    with pytest.raises(RuntimeError), class_map(path, grid_of(60, 60), overwrite=True):
        raise RuntimeError
    assert np.array_equal(Raster(path).read()[0][0], patches(60))
    write_map(path, patches(70), overwrite=True)
    assert Raster(path).grid.shape == (70, 70)


def test_rows_that_do_not_follow_are_refused(tmp_path):
    rows = np.zeros((4, 60), np.uint8)
    with class_map(tmp_path / "a.tif", grid_of(10, 60)) as writer:
        writer.write_rows(0, rows)
        with pytest.raises(ValueError, match="expected row 4 next, of uint8, found row 5"):
            writer.write_rows(5, rows)
        with pytest.raises(ValueError, match="of uint8, found row 4, of float64"):
            writer.write_rows(4, rows.astype(float))
        with pytest.raises(ShapeError, match=r"expected rows \[up to 6, 60\], found \(4, 59\)"):
            writer.write_rows(4, rows[:, 1:])
        with pytest.raises(ShapeError, match=r"found \(8, 60\)"):
            writer.write_rows(4, np.zeros((8, 60), np.uint8))
        writer.write_rows(4, np.zeros((6, 60), np.uint8))


def test_killed_writer_leaves_nothing_under_the_name(tmp_path):
    path = tmp_path / "a.tif"
    code = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_writer import class_map, grid_of, patches
        with class_map({str(path)!r}, grid_of(600, 600)) as writer:
            writer.write_rows(0, patches(600))
            print("written", flush=True)
            time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "written\n"
        process.kill()
    assert not path.exists()
    assert all(name.startswith(".a.tif.") for name in names(tmp_path))
    write_map(path, patches(60))


@pytest.mark.parametrize("limit", [1_000, 200_000, 400_000, 560_000])
def test_full_disk_is_an_error_and_never_a_broken_file(tmp_path, limit):
    values = np.random.default_rng(0).integers(0, 250, (700, 700)).astype(np.uint8)
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_action = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old_limit[1]))
    try:
        with pytest.raises(DataError, match=r"a\.tif cannot be written .* disk has room"):
            write_map(tmp_path / "a.tif", values)
        if limit < values.size:
            with pytest.raises(DataError, match=r"b\.tif cannot be written"):
                write_raster(tmp_path / "b.tif", values, grid_of(700, 700))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_action)
    assert not [name for name in names(tmp_path) if not name.startswith("b")]
