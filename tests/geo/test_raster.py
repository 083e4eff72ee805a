import multiprocessing
import os
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo import raster as raster_module
from rsadapt.geo.grid import Grid, Window, tile_windows
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster

UTM = CRS.from_epsg(32645)
REAL = Path(__file__).parents[2].parent / "shared" / "data"

real = pytest.mark.skipif(not REAL.is_dir(), reason="the shared imagery is not here")


def grid_of(height, width):
    return Grid(height, width, Affine(0.5, 0.0, 300_000.0, 0.0, -0.5, 3_000_000.0), UTM)


def noise(*shape, dtype="uint8"):
    return np.random.default_rng(0).integers(1, 250, shape).astype(dtype)


def write(path, values, **profile):
    """Write with rasterio itself: the reader is tested against another writer than its own."""
    grid = grid_of(*values.shape[1:])
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(values),
        height=grid.height,
        width=grid.width,
        dtype=values.dtype.name,
        crs=grid.crs,
        transform=grid.transform,
        **profile,
    ) as dataset:
        dataset.write(values)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_describes_and_reads_what_was_written(tmp_path, dtype):
    values = noise(3, 40, 50, dtype=dtype)
    raster = Raster(write(tmp_path / "a.tif", values, nodata=0))
    read, valid = raster.read()
    assert (raster.count, raster.dtype, raster.nodata) == (3, dtype, 0)
    assert raster.grid == grid_of(40, 50)
    assert raster.descriptions == (None, None, None)
    assert read.dtype == dtype
    assert np.array_equal(read, values)
    assert valid.all()


def test_reads_windows_and_bands_in_the_order_asked_for(tmp_path):
    values = noise(4, 40, 50, dtype="uint16")
    window = Window(7, 11, 13, 17)
    read, valid = Raster(write(tmp_path / "a.tif", values)).read(window, [3, 1])
    assert np.array_equal(read, values[[2, 0]][:, *window.slices])
    assert valid.shape == (13, 17)


def test_pixel_is_valid_where_every_band_read_is(tmp_path):
    values = noise(2, 4, 5)
    values[0, 1, 1] = values[1, 2, 2] = 0
    raster = Raster(write(tmp_path / "a.tif", values, nodata=0))
    assert np.argwhere(~raster.read()[1]).tolist() == [[1, 1], [2, 2]]
    assert np.argwhere(~raster.read(bands=[2])[1]).tolist() == [[2, 2]]


@pytest.mark.parametrize("nodata", [None, -9999.0, float("nan")])
def test_nan_and_infinity_are_never_valid(tmp_path, nodata):
    values = noise(2, 4, 5, dtype="float32")
    values[0, 1, 1], values[1, 2, 2] = np.nan, np.inf
    raster = Raster(write(tmp_path / "a.tif", values, nodata=nodata))
    assert np.argwhere(~raster.read()[1]).tolist() == [[1, 1], [2, 2]]


def test_alpha_makes_pixels_invalid_whether_it_is_read_or_not(tmp_path):
    values = noise(4, 4, 5)
    values[3, 1, 1] = 0
    raster = Raster(write(tmp_path / "a.tif", values, photometric="rgb", alpha="yes"))
    for bands in (None, [1, 2, 3]):
        assert np.argwhere(~raster.read(bands=bands)[1]).tolist() == [[1, 1]]


def test_nodata_goes_before_alpha_as_in_gdal(tmp_path):
    values = noise(4, 4, 5)
    values[0, 1, 1], values[3, 2, 2] = 255, 0
    raster = Raster(write(tmp_path / "a.tif", values, nodata=255, photometric="rgb", alpha="yes"))
    assert np.argwhere(~raster.read()[1]).tolist() == [[1, 1]]


def test_internal_mask_makes_pixels_invalid(tmp_path):
    path = write(tmp_path / "a.tif", noise(3, 16, 16))
    mask = np.full((16, 16), 255, np.uint8)
    mask[3, 4] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    assert np.argwhere(~Raster(path).read()[1]).tolist() == [[3, 4]]


def test_all_nodata_reads_as_wholly_invalid(tmp_path):
    raster = Raster(write(tmp_path / "a.tif", np.zeros((2, 8, 8), np.uint8), nodata=0))
    assert not raster.read()[1].any()


def test_a_block_that_is_not_in_the_file_is_refused_unless_nodata_explains_it(tmp_path):
    values = noise(1, 64, 64)
    values[:, 16:32, 32:48] = 0
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    whole = Raster(write(tmp_path / "whole.tif", values, **blocks))
    assert np.array_equal(whole.read()[0], values)
    sparse = Raster(write(tmp_path / "sparse.tif", values, SPARSE_OK=True, **blocks))
    assert sparse.read(Window(0, 0, 16, 64))[1].all()
    with pytest.raises(DataError, match=r"sparse\.tif: block 1, 2 of band 1 is not in the file"):
        sparse.read()
    explained = write(tmp_path / "n.tif", values, SPARSE_OK=True, nodata=0, **blocks)
    assert np.array_equal(Raster(explained).read()[1], values[0] != 0)


def test_raster_without_georeference_opens_without_a_warning(tmp_path):
    grid = Grid(4, 5, Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), None)
    write_raster(tmp_path / "a.tif", noise(4, 5), grid)
    assert Raster(tmp_path / "a.tif").grid == grid


@pytest.mark.parametrize("window", [Window(0, 0, 41, 5), Window(39, 0, 2, 5), Window(0, 48, 1, 3)])
def test_window_outside_the_raster_is_refused(tmp_path, window):
    raster = Raster(write(tmp_path / "a.tif", noise(1, 40, 50)))
    with pytest.raises(ValueError, match="must lie in the raster of 40x50"):
        raster.read(window)
    with pytest.raises(ValueError, match="must lie in the raster of 40x50"):
        list(raster.blocks(window))


@pytest.mark.parametrize("band", [0, 2])
def test_band_that_is_not_there_is_refused(tmp_path, band):
    raster = Raster(write(tmp_path / "a.tif", noise(1, 4, 5)))
    with pytest.raises(ValueError, match=r"a\.tif: expected bands in 1\.\.1"):
        raster.read(bands=[band])


def test_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"gone\.tif"):
        Raster(tmp_path / "gone.tif")
    with pytest.raises(MissingFileError, match="expected a raster file"):
        Raster(tmp_path)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"no raster at all" * 99])
def test_what_gdal_cannot_open_is_named(tmp_path, content):
    path = tmp_path / "odd.tif"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"odd\.tif: expected a raster that GDAL reads"):
        Raster(path)


@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "zstd", "jpeg"])
@pytest.mark.parametrize("tiled", [True, False])
def test_truncated_file_is_an_error_and_never_zeros(tmp_path, compress, tiled):
    values = noise(3, 300, 300)
    path = write(tmp_path / "a.tif", values, compress=compress, tiled=tiled)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])
    raster = Raster(path)
    for _ in range(2):
        with pytest.raises(DataError, match=r"a\.tif: the pixels of Window.* cut short"):
            raster.read()


def test_bands_of_several_types_are_refused(tmp_path):
    write(tmp_path / "a.tif", noise(1, 4, 5))
    write(tmp_path / "b.tif", noise(1, 4, 5, dtype="int16"))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}"><SimpleSource><SourceFilename '
        f'relativeToVRT="1">{name}.tif</SourceFilename></SimpleSource></VRTRasterBand>'
        for band, (kind, name) in enumerate([("Byte", "a"), ("Int16", "b")], start=1)
    )
    path = tmp_path / "both.vrt"
    path.write_text(f'<VRTDataset rasterXSize="5" rasterYSize="4">{bands}</VRTDataset>')
    with pytest.raises(DataError, match="bands of one type, found uint8, int16"):
        Raster(path)


@pytest.mark.parametrize(
    "profile",
    [
        {"tiled": True, "blockxsize": 32, "blockysize": 16},
        {"blockysize": 3},
        {"blockysize": 200},
    ],
)
@pytest.mark.parametrize("limit", [50, 700, 5_000, 10**6])
def test_blocks_cover_an_area_exactly_once_within_the_limit(tmp_path, monkeypatch, profile, limit):
    monkeypatch.setattr(raster_module, "BLOCK_PIXELS", limit)
    raster = Raster(write(tmp_path / "a.tif", noise(1, 200, 130), **profile))
    for area in (raster.grid.window, Window(5, 7, 150, 90)):
        times = np.zeros(raster.grid.shape, int)
        for window in raster.blocks(area):
            times[window.slices] += 1
            assert window.height * window.width <= limit
        inside = np.zeros(raster.grid.shape, bool)
        inside[area.slices] = True
        assert np.array_equal(times, inside)


@st.composite
def windows_in(draw, height, width):
    """Any window of a raster."""
    row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return Window(row, col, draw(st.integers(1, height - row)), draw(st.integers(1, width - col)))


sixteens = st.sampled_from([16, 32, 48])
blocks_of = st.one_of(
    st.fixed_dictionaries({"blockysize": st.integers(1, 70)}),
    st.fixed_dictionaries({"tiled": st.just(True), "blockxsize": sixteens, "blockysize": sixteens}),
)


@settings(max_examples=60)
@given(profile=blocks_of, area=windows_in(61, 83), limit=st.integers(1, 6_000))
def test_any_blocks_cover_any_area_exactly_once(tmp_path_factory, profile, area, limit):
    path = write(tmp_path_factory.getbasetemp() / "b.tif", noise(1, 61, 83), **profile)
    raster = Raster(path)
    times = np.zeros(raster.grid.shape, int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raster_module, "BLOCK_PIXELS", limit)
        for window in raster.blocks(area):
            times[window.slices] += 1
            assert window.height * window.width <= limit
            if raster.block_shape[0] * raster.block_shape[1] <= limit:  # then none is cut
                assert window.row == area.row or window.row % raster.block_shape[0] == 0
                assert window.col == area.col or window.col % raster.block_shape[1] == 0
    inside = np.zeros(raster.grid.shape, int)
    inside[area.slices] = 1
    assert np.array_equal(times, inside)


@settings(max_examples=60)
@given(
    dtype=st.sampled_from(["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"]),
    profile=blocks_of,
    interleave=st.sampled_from(["pixel", "band"]),
    compress=st.sampled_from(["none", "deflate", "lzw"]),
    missing=st.sampled_from(["nothing", "nodata", "mask inside", "mask beside", "alpha"]),
    window=windows_in(37, 53),
    bands=st.permutations([1, 2, 3]).flatmap(lambda p: st.integers(1, 3).map(lambda n: p[:n])),
)
def test_a_window_is_cut_from_what_was_written(  # noqa: PLR0917
    tmp_path_factory, dtype, profile, interleave, compress, missing, window, bands
):
    path = tmp_path_factory.getbasetemp() / "w.tif"
    for sidecar in (path, path.with_name("w.tif.msk"), path.with_name("w.tif.aux.xml")):
        sidecar.unlink(missing_ok=True)
    values = np.random.default_rng(0).integers(0, 9, (3, 37, 53)).astype(dtype)
    gone = np.random.default_rng(1).random((37, 53)) < 0.2
    stored, options = values, {"interleave": interleave, "compress": compress, "alpha": "no"}
    if missing == "nodata":
        options["nodata"] = 4
    if missing == "alpha":
        stored = np.concatenate([values, np.where(gone, 0, 127)[None].astype(dtype)])
        options |= {"photometric": "rgb", "alpha": "yes"}
    write(path, stored, **options, **profile)
    if missing.startswith("mask"):
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=missing == "mask inside"),
            rasterio.open(path, "r+") as dataset,
        ):
            dataset.write_mask(~gone)
    read, valid = Raster(path).read(window, bands)
    expected = values[[band - 1 for band in bands]][:, *window.slices]
    absent = {"nothing": np.zeros_like(gone), "nodata": None}.get(missing, gone)
    expected_valid = (expected != 4).all(axis=0) if absent is None else ~absent[window.slices]
    assert read.dtype == dtype
    assert np.array_equal(read, expected)
    assert np.array_equal(valid, expected_valid)


def test_blocks_cut_no_stored_block_that_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(raster_module, "BLOCK_PIXELS", 2_000)
    path = write(tmp_path / "a.tif", noise(1, 100, 100), tiled=True, blockxsize=32, blockysize=16)
    windows = list(Raster(path).blocks())
    assert all(window.row % 16 == 0 and window.col % 32 == 0 for window in windows)
    assert {window.width for window in windows} == {96, 4}


def test_pickles_as_its_path(tmp_path):
    raster = Raster(write(tmp_path / "a.tif", noise(1, 40, 50)))
    raster.read()
    copy = pickle.loads(pickle.dumps(raster))
    assert (copy.path, copy.grid) == (raster.path, raster.grid)
    assert np.array_equal(copy.read()[0], raster.read()[0])


def test_threads_read_the_same_through_handles_of_their_own(tmp_path):
    values = noise(2, 200, 200)
    path = write(tmp_path / "a.tif", values, tiled=True, blockxsize=64, blockysize=64)
    raster = Raster(path)
    handles = set()

    def same(window):
        handles.add((threading.get_ident(), id(raster_module._handles.of(raster))))
        return np.array_equal(raster.read(window)[0], values[:, *window.slices])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(same, tile_windows(raster.grid.window, 50, 25)))
    assert len(handles) == len({thread for thread, _ in handles})


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # since Python 3.12 with threads
def test_forked_child_opens_the_file_anew(tmp_path):
    raster = Raster(write(tmp_path / "a.tif", noise(1, 40, 50)))
    raster.read()
    mine = raster_module._handles.of(raster)
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def child():
        sender.send(raster_module._handles.of(raster) is mine)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert receiver.recv() is False
    process.join()


def test_thread_holds_a_bounded_number_of_files_open(tmp_path, monkeypatch):
    monkeypatch.setattr(raster_module, "OPEN_FILES", 3)
    rasters = [Raster(write(tmp_path / f"{i}.tif", noise(1, 4, 5))) for i in range(6)]
    first = raster_module._handles.of(rasters[0])
    for raster in rasters:
        raster.read()
        rasters[0].read()
    assert not first.closed
    assert sum(raster in raster_module._handles.datasets for raster in rasters) <= 3


@real
@pytest.mark.parametrize("name", ["area_a_15cm", "area_b_7cm"])
def test_real_scene_and_its_labels_share_a_grid(name):
    image = Raster(REAL / f"buildings/kampala/{name}.tif")
    labels = Raster(REAL / f"buildings/kampala/{name}_labels.tif")
    values, valid = labels.read()
    assert image.grid.matches(labels.grid)
    assert image.grid.ground_size()[0] == pytest.approx(image.grid.pixel_size[0], rel=1e-3)
    assert set(np.unique(values[0][valid])) == {0, 1}
    assert (values[0][~valid] == 255).all()


@real
def test_real_jpeg_takes_its_place_from_the_sidecar(tmp_path):
    tiles = REAL / "buildings/banepa/tiles"
    raster = Raster(tiles / "OAM-386683-220234-19.tif")
    assert raster.grid.crs == CRS.from_epsg(4326)
    assert raster.grid.ground_size() == pytest.approx((0.132, 0.132), abs=0.001)
    assert raster.read()[1].all()
    bare = shutil.copy(tiles / "OAM-386683-220234-19.tif", tmp_path / "bare.tif")
    assert Raster(bare).grid.crs is None


@real
@pytest.mark.parametrize(
    "name", ["buildings/banepa/tiles/OAM-386704-220250-19.tif", "odd/rasterio_corrupt.tif"]
)
def test_real_damaged_file_is_an_error(name):
    raster = Raster(REAL / name)
    with pytest.raises(DataError, match="cannot be decoded"):
        raster.read()


@real
def test_real_empty_file_is_an_error():
    with pytest.raises(DataError, match="0 bytes"):
        Raster(REAL / "odd/not_a_tiff.tif")


@real
def test_real_raster_of_nodata_alone_is_wholly_invalid():
    assert not Raster(REAL / "odd/rasterio_all-nodata.tif").read()[1].any()


def scaled(path, values, scales, offsets, **profile):
    write(path, values, **profile)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = scales, offsets
    return Raster(path)


@pytest.mark.parametrize(
    ("dtype", "becomes"),
    [
        ("uint8", "float32"),
        ("int16", "float32"),
        ("uint16", "float32"),
        ("float32", "float32"),
        ("int32", "float64"),
        ("uint32", "float64"),
        ("float64", "float64"),
    ],
)
def test_scale_and_offset_apply_to_valid_values(tmp_path, dtype, becomes):
    stored = noise(2, 40, 50, dtype=dtype)
    stored[1, :5] = 0
    raster = scaled(tmp_path / "s.tif", stored, (0.1, 1.0), (-2.0, 0.0), nodata=0)
    values, valid = raster.read()
    assert (raster.stored, raster.dtype, values.dtype.name) == (dtype, becomes, becomes)
    expected = stored.astype(np.float64) * [[[0.1]], [[1]]] + [[[-2]], [[0]]]
    np.testing.assert_array_equal(values, expected.astype(becomes))
    assert not valid[:5].any()
    assert valid[5:].all()
    window = Window(3, 7, 20, 9)
    part, _ = raster.read(window, [2])
    np.testing.assert_array_equal(part, values[1:, window.slices[0], window.slices[1]])


def test_nodata_is_told_by_the_stored_value(tmp_path):
    stored = np.array([[[0, 5, 10]]], np.int16)  # 5 is stored as 10 and 0 is missing
    raster = scaled(tmp_path / "s.tif", stored, (2.0,), (-10.0,), nodata=0)
    values, valid = raster.read()
    assert values[0, 0, 1:].tolist() == [0, 10]
    assert valid.tolist() == [[False, True, True]]


def test_fillers_beyond_the_type_raise_no_warning(tmp_path):
    stored = np.array([[[np.nan, 3e38, 2, -9e37]]], np.float32)
    raster = scaled(tmp_path / "s.tif", stored, (100.0,), (0.0,), nodata=-9e37)
    values, valid = raster.read()
    assert valid.tolist() == [[False, False, True, False]]
    assert values[0, 0, 2] == 200


def test_a_scale_of_zero_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"s\.tif: expected scales other than 0"):
        scaled(tmp_path / "s.tif", noise(1, 4, 4), (0.0,), (1.0,))


def test_files_of_different_scales_meet(tmp_path):
    reflectance = noise(1, 30, 30, dtype="uint16") / 1000
    whole = Raster(write(tmp_path / "float.tif", reflectance.astype(np.float32)))
    for scale, offset in ((0.001, 0.0), (0.002, -0.1)):
        stored = np.rint((reflectance - offset) / scale).astype(np.int16)
        raster = scaled(tmp_path / f"{scale}.tif", stored, (scale,), (offset,))
        np.testing.assert_allclose(raster.read()[0], whole.read()[0], atol=scale)


@real
def test_real_scale_and_offset_are_applied():
    path = REAL / "odd" / "scale_offset_int16.tif"
    with rasterio.open(path) as dataset:
        expected = dataset.read() * np.array(dataset.scales)[:, None, None]
        expected += np.array(dataset.offsets)[:, None, None]
    assert Raster(path).dtype == "float32"
    np.testing.assert_array_equal(Raster(path).read()[0], expected.astype(np.float32))
