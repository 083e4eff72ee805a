"""Maps: parts joined to a cloud-optimised GeoTIFF."""

import resource
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError, ShapeError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.maps import Bands, PartWriter, join
from rsadapt.geo.raster import Raster

UTM = CRS.from_epsg(32645)
SCHEME = ClassScheme(
    ("water", "a < b & c", "Wald"), ((0,), (10,), (30,)), ((10, 20, 30), (200, 0, 0), (0, 200, 0))
)
CODES = Bands(("class",), "uint8", 255, scheme=SCHEME)


def grid_of(height, width):
    return Grid(height, width, Affine(0.5, 0.0, 300_000.0, 0.0, -0.5, 3_000_000.0), UTM)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def patches(height, width, codes=(0, 10, 30, 255)):
    """Codes in patches of 37 pixels, so that no overview cell lines up with them."""
    shape = height // 37 + 1, width // 37 + 1
    coarse = np.random.default_rng(0).choice(codes, shape).astype(np.uint8)
    return np.kron(coarse, np.ones((37, 37), np.uint8))[:height, :width]


def write_part(path, values, grid, bands=CODES, step=100):
    with PartWriter(path, grid, bands) as writer:
        for row in range(0, values.shape[1], step):
            writer.write_rows(values[:, row : row + step])


def write_map(folder, values, bands=CODES, *, grid=None, rows=600, columns=700, **options):
    """Write a map in parts of at most so many rows and columns."""
    grid = grid or grid_of(*values.shape[1:])
    parts = []
    (folder / "parts").mkdir()
    for row in range(0, grid.height, rows):
        for col in range(0, grid.width, columns):
            window = Window(row, col, min(rows, grid.height - row), min(columns, grid.width - col))
            part = folder / "parts" / f"{row}-{col}.tif"
            write_part(part, values[(slice(None), *window.slices)], grid.crop(window), bands)
            parts.append((part, window))
    join(parts, folder / "maps" / "a.tif", grid, bands, **options)
    return folder / "maps" / "a.tif"


def test_map_is_a_styled_cog(tmp_path):
    codes = patches(1300, 1500)
    path = write_map(tmp_path, codes[np.newaxis], tags={"RSADAPT_RUN": "abc"})
    assert names(tmp_path / "maps") == ["a.qml", "a.tif", "a.tif.aux.xml"]
    with rasterio.open(path) as dataset:
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["COMPRESSION"]) == ("COG", "DEFLATE")
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.nodata == 255
        assert dataset.descriptions == ("class",)
        assert dataset.tags()["RSADAPT_RUN"] == "abc"
        palette = dataset.colormap(1)
        assert [palette[code][:3] for code in SCHEME.codes] == list(SCHEME.colours)
        assert dataset.overviews(1) == [2, 4]
        assert float(dataset.tags(1)["STATISTICS_MAXIMUM"]) == 30
        assert np.array_equal(dataset.read(1), codes)
    assert Raster(path).grid == grid_of(1300, 1500)


@pytest.mark.parametrize("columns", [512, 1500])
def test_the_parts_do_not_show(tmp_path, columns):
    """The same pixels and overviews however a map was cut; statistics to a few digits."""
    codes = patches(1300, 1500)[np.newaxis]
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one = write_map(tmp_path / "one", codes, rows=1300, columns=1500)
    many = write_map(tmp_path / "many", codes, rows=512, columns=columns)
    for level in (None, 0, 1):
        with (
            rasterio.open(one, **({} if level is None else {"overview_level": level})) as a,
            rasterio.open(many, **({} if level is None else {"overview_level": level})) as b,
        ):
            np.testing.assert_array_equal(a.read(), b.read())
    means = []
    for path in (one, many):
        with rasterio.open(path) as dataset:
            means.append(float(dataset.tags(1)["STATISTICS_MEAN"]))
    assert means[0] == pytest.approx(means[1], rel=1e-4)


@pytest.mark.parametrize("bands", [CODES, Bands(("confidence",), "uint8", 255, scale=1 / 254)])
def test_a_mosaic_leaves_the_files_of_its_maps_as_they_are(tmp_path, bands):
    grid, codes = grid_of(600, 1400), patches(600, 1400)[np.newaxis]
    parts = []
    for col in (0, 700):
        window = Window(0, col, 600, 700)
        (tmp_path / str(col)).mkdir()
        values = codes[(slice(None), *window.slices)]
        parts.append((write_map(tmp_path / str(col), values, bands), window))
    kept = {file: file.read_bytes() for file in tmp_path.glob("*/maps/*")}
    join(parts, tmp_path / "mosaic.tif", grid, bands, overlapping=True)
    assert {file: file.read_bytes() for file in tmp_path.glob("*/maps/*")} == kept
    with rasterio.open(tmp_path / "mosaic.tif") as dataset:
        assert float(dataset.tags(1)["STATISTICS_MAXIMUM"]) == 30


def test_overviews_hold_only_codes_of_the_map(tmp_path):
    path = write_map(tmp_path, patches(1300, 1300)[np.newaxis])
    for level in (0, 1):
        with rasterio.open(path, overview_level=level) as overview:
            assert set(np.unique(overview.read(1))) == {0, 10, 30, 255}
            assert overview.compression.name == "deflate"


def test_scaled_map_averages_its_overviews_without_nodata(tmp_path):
    stored = patches(1100, 1100, codes=(100, 200, 255))[np.newaxis]
    path = write_map(tmp_path, stored, Bands(("confidence",), "uint8", 255, scale=1 / 254))
    with rasterio.open(path) as dataset:
        assert dataset.scales == (pytest.approx(1 / 254),)
        assert np.array_equal(dataset.read(), stored)
    with rasterio.open(path, overview_level=0) as overview:
        values = np.unique(overview.read(1))
        assert set(values[values > 200]) == {255}
        assert values[0] == 100


def test_several_bands_of_floats(tmp_path):
    values = np.random.default_rng(0).random((5, 700, 900)).astype(np.float32)
    values[:, 100:200, 50:90] = np.nan
    path = write_map(tmp_path, values, Bands(tuple("abcde"), "float32", float("nan")))
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == tuple("abcde")
        assert np.isnan(dataset.nodata)
        assert "alpha" not in [colour.name for colour in dataset.colorinterp]
        np.testing.assert_array_equal(dataset.read(), values)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.4, 0.3, 300_000.0, 0.3, -0.4, 3_000_000.0),
        Affine(1 / 3, 0.0, 300_000.1, 0.0, -1 / 7, 3_000_000.7),
        Affine(0.5, 0.0, 300_000.0, 0.0, 0.5, 7_000_000.0),
    ],
)
def test_a_grid_is_kept_to_the_last_digit(tmp_path, transform):
    grid = Grid(700, 800, transform, UTM)
    path = write_map(tmp_path, patches(700, 800)[np.newaxis], grid=grid)
    assert Raster(path).grid == grid


def test_small_map_without_georeference_is_written_without_a_warning(tmp_path):
    grid = Grid(5, 7, Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), None)
    path = write_map(tmp_path, np.full((1, 5, 7), 10, np.uint8), grid=grid)
    assert Raster(path).grid.shape == (5, 7)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_no_part_behind(tmp_path, error):
    def fail():
        with PartWriter(tmp_path / "a.tif", grid_of(600, 600), CODES) as writer:
            writer.write_rows(np.zeros((1, 600, 600), np.uint8))
            raise error

    with pytest.raises(error):
        fail()
    assert not names(tmp_path)


def test_missing_rows_leave_nothing_behind(tmp_path):
    with pytest.raises(DataError, match="expected 600 rows, found 100; write all"):
        write_part(tmp_path / "a.tif", np.zeros((1, 100, 600), np.uint8), grid_of(600, 600))
    assert not names(tmp_path)


def test_rows_that_do_not_fit_are_refused(tmp_path):
    def write(values):
        with PartWriter(tmp_path / "a.tif", grid_of(600, 600), CODES) as writer:
            writer.write_rows(values)

    for values in (
        np.zeros((1, 10, 599), np.uint8),
        np.zeros((1, 601, 600), np.uint8),
        np.zeros((2, 10, 600), np.uint8),
        np.zeros((1, 10, 600), np.int16),
    ):
        with pytest.raises(ShapeError, match=r"expected uint8 rows \[1, up to 600, 600\], found"):
            write(values)


def test_joining_replaces_a_map_with_its_sidecars(tmp_path):
    (tmp_path / "maps").mkdir()
    for suffix in ("", ".aux.xml", ".ovr"):
        (tmp_path / "maps" / f"a.tif{suffix}").write_text("of another raster")
    path = write_map(tmp_path, patches(600, 600)[np.newaxis])
    assert names(tmp_path / "maps") == ["a.qml", "a.tif", "a.tif.aux.xml"]
    assert Raster(path).read()[0].shape == (1, 600, 600)


def test_a_missing_part_leaves_what_was_there(tmp_path):
    (tmp_path / "a.tif").write_text("mine")
    with pytest.raises(DataError, match=r"a\.tif cannot be written"):
        join(
            [(tmp_path / "gone.tif", Window(0, 0, 600, 600))],
            tmp_path / "a.tif",
            grid_of(600, 600),
            CODES,
        )
    assert (tmp_path / "a.tif").read_text() == "mine"
    assert names(tmp_path) == ["a.tif"]


WRITE = """
    import sys
    from pathlib import Path
    import numpy as np
    from affine import Affine
    from rsadapt.geo.grid import Grid
    from rsadapt.geo.maps import Bands, PartWriter
    grid = Grid(4096, 4096, Affine(1, 0, 0, 0, -1, 0), None)
    with PartWriter(Path(sys.argv[1]), grid, Bands(("class",), "uint8", 255)) as writer:
        random = np.random.default_rng(0)
        for row in range(0, 4096, 512):
            writer.write_rows(random.integers(0, 255, (1, 512, 4096)).astype(np.uint8))
            print("rows", flush=True)
"""


def run(code, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_killed_writer_leaves_nothing_under_the_name(tmp_path):
    process = run(WRITE, tmp_path / "a.tif")
    assert process.stdout.readline() == b"rows\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.tif").exists()


@pytest.mark.parametrize("limit", [1_000, 200_000, 400_000, 800_000])
def test_full_disk_is_an_error_and_never_a_broken_file(tmp_path, limit):
    """A limit on the size of a file fails as a full disk does."""
    values = np.random.default_rng(0).integers(0, 250, (1, 700, 700)).astype(np.uint8)
    bands, grid = Bands(("class",), "uint8", 255), grid_of(700, 700)
    write_part(tmp_path / "part.tif", values, grid, bands)
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_action = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(limit, 560_000), old_limit[1]))
    try:
        with pytest.raises(DataError, match=r"a\.tif cannot be written .* disk has room"):
            join([(tmp_path / "part.tif", grid.window)], tmp_path / "a.tif", grid, bands)
        resource.setrlimit(resource.RLIMIT_FSIZE, (min(limit, 400_000), old_limit[1]))
        with pytest.raises(DataError, match=r"b\.tif cannot be written"):
            write_part(tmp_path / "b.tif", values, grid, bands)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_action)
    assert names(tmp_path) == ["part.tif"]
