import math
import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform

from rsadapt.errors import DataError, RsadaptError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.harmonise import ground_pixel, harmonise
from rsadapt.geo.raster import Raster, without_georeference
from rsadapt.geo.warp import BLOCK, WarpedRaster, warped

REAL = Path(__file__).parents[2].parent / "shared" / "data"

UTM, MERCATOR, DEGREES = (CRS.from_epsg(code) for code in (32645, 3857, 4326))
HEIGHT, WIDTH = 90, 120
NAMES = ("nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average")

PLACES = {
    "north-up in another CRS": (Affine(0.3, 0, 9519000, 0, -0.3, 3203000), MERCATOR),
    "rotated": (Affine(3**0.5, 1, 3e5, 1, -(3**0.5), 3e6), UTM),
    "positive y": (Affine(2, 0, 3e5, 0, 2, 3e6), UTM),
    "not square": (Affine(1.5, 0, 3e5, 0, -2.5, 3e6), UTM),
    "degrees": (Affine(2e-5, 0, 85, 0, -1e-5, 27), DEGREES),
}
MASKS = ("nodata", "mask", "alpha", "nan", "nan and nodata", "none")


def noise(*shape, dtype="uint8"):
    return np.random.default_rng(0).integers(1, 250, shape).astype(dtype)


def at(t, col, row):
    """A place under a transform, written out for affine 2 and 3."""
    return t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f


def write(path, values, place=None, mask=None, **profile):
    """Write with rasterio itself: the reader is tested against another writer than its own."""
    matrix, crs = place or PLACES["not square"]
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=len(values),
            height=values.shape[1],
            width=values.shape[2],
            dtype=values.dtype.name,
            crs=crs,
            transform=matrix,
            **{"alpha": "no"} | profile,
        ) as dataset,
    ):
        dataset.write(values)
        if mask is not None:
            dataset.write_mask(mask)
    return Raster(path)


def write_with_control(path, values, crs=DEGREES, **profile):
    """A scene that four ground control points place: a little turned and stretched."""
    height, width = values.shape[1:]
    matrix = Affine(2e-5, 3e-6, 85, 3e-6, -2e-5, 27)
    points = [
        GroundControlPoint(row, col, *at(matrix, col, row))
        for row in (0, height)
        for col in (0, width)
    ]
    profile |= {"count": len(values), "height": height, "width": width, "dtype": "uint8"}
    with without_georeference():
        dataset = rasterio.open(path, "w", driver="GTiff", **profile)
    with dataset:
        dataset.write(values)
        dataset.gcps = (points, crs or CRS())
    return points


def scale_of(raster):
    """GDAL measures it anew in whatever it warps, unless it is told."""
    return {key: raster._options[key] for key in ("XSCALE", "YSCALE")}


def whole(raster, seen):
    """The whole scene on the grid by `reproject`, which knows nothing of windows."""
    out = np.zeros((raster.count, *seen.grid.shape), raster.stored)
    with rasterio.open(raster.path) as dataset:
        reproject(
            rasterio.band(dataset, list(dataset.indexes)),
            out,
            dst_transform=seen.grid.transform,
            dst_crs=seen.grid.crs,
            dst_nodata=0,
            resampling=Resampling[seen.resampling],
            **scale_of(seen),
        )
    if raster.dtype == raster.stored:
        return out
    scale, offset = (np.array(x)[:, None, None] for x in (raster.scales, raster.offsets))
    return (out * scale + offset).astype(raster.dtype)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A scene of each kind and what it becomes on a lattice of 1.7 m."""
    folder = tmp_path_factory.mktemp("sources")
    made = {}
    for number, (name, place) in enumerate(PLACES.items()):
        made[name] = write(folder / f"{number}.tif", noise(2, HEIGHT, WIDTH), place)
    write_with_control(folder / "control.tif", noise(2, HEIGHT, WIDTH))
    made["control points"] = Raster(folder / "control.tif")
    pixel = {"north-up in another CRS": 0.37, "control points": 2.3}  # within a block
    return {
        name: (raster, harmonise([raster], crs=UTM, pixel=pixel.get(name, 1.7))[0])
        for name, raster in made.items()
    }


KINDS = [*PLACES, "control points"]


@pytest.mark.parametrize("resampling", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_reads_what_reproject_makes_of_the_whole_scene(sources, kind, resampling):
    raster, grid = sources[kind]
    seen = WarpedRaster(raster, grid, resampling)
    values, valid = seen.read()
    expected = whole(raster, seen)
    assert valid.mean() > 0.4
    assert np.array_equal(values[:, valid], expected[:, valid])
    assert not expected[:, ~valid].any()


def test_average_of_whole_pixels_is_their_mean(tmp_path):
    values = noise(1, 40, 60, dtype="float32")
    raster = write(tmp_path / "a.tif", values, (Affine(1, 0, 0, 0, -1, 40), UTM))
    seen = WarpedRaster(raster, Grid(10, 15, Affine(4, 0, 0, 0, -4, 40), UTM), "average")
    expected = values.reshape(1, 10, 4, 15, 4).mean((2, 4))
    read, valid = seen.read()
    assert valid.all()
    assert np.allclose(read, expected)


def test_nearest_takes_the_pixel_under_the_centre(sources):
    raster, grid = sources["rotated"]
    seen = WarpedRaster(raster, grid, "nearest")
    values, valid = seen.read()
    rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
    x, y = at(grid.transform, cols, rows)
    col, row = at(~raster.grid.transform, x, y)
    inside = (col >= 0) & (row >= 0) & (col < WIDTH) & (row < HEIGHT)
    assert np.array_equal(valid, inside)
    expected = raster.read()[0][:, row[inside].astype(int), col[inside].astype(int)]
    assert np.array_equal(values[:, inside], expected)


def spoilt(path, kind, **blocks):
    """A scene of 100 in which a block of 250 is missing by each kind of mask."""
    hole = np.s_[30:45, 50:70]
    values = np.full((3, HEIGHT, WIDTH), 100, np.uint8)
    values[:, *hole] = 250
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[hole] = 0
    place = PLACES["rotated"]
    if kind == "nodata":
        return write(path, values, place, nodata=250, **blocks)
    if kind == "mask":
        return write(path, values, place, mask, **blocks)
    if kind == "alpha":
        four = np.concatenate([values, mask[None]])
        return write(path, four, place, alpha="yes", photometric="rgb", **blocks)
    if kind == "none":
        values[:, *hole] = 100
        return write(path, values, place, **blocks)
    floats = values.astype(np.float32)
    floats[0][hole] = np.nan
    return write(path, floats, place, nodata=-9999 if kind == "nan and nodata" else None, **blocks)


tilings = st.sampled_from(
    [{}, {"blockysize": 7}, {"tiled": True, "blockxsize": 32, "blockysize": 16}]
)


@given(data=st.data(), kind=st.sampled_from(KINDS), resampling=st.sampled_from(NAMES))
def test_window_is_cut_from_the_whole(sources, data, kind, resampling):
    raster, grid = sources[kind]
    seen = WarpedRaster(raster, grid, resampling)
    row, col = (data.draw(st.integers(0, length - 1)) for length in grid.shape)
    height = data.draw(st.integers(1, grid.height - row))
    width = data.draw(st.integers(1, grid.width - col))
    window = Window(row, col, height, width)
    values, valid = seen.read(window, [2])
    assert values.shape == (1, height, width)
    every, all_valid = seen.read()
    assert np.array_equal(valid, all_valid[window.slices])
    assert np.array_equal(values[0][valid], every[1][window.slices][valid])


@pytest.mark.parametrize("kind", ["degrees", "control points"])
def test_window_over_many_blocks_is_cut_from_the_whole(tmp_path, kind):
    values = noise(1, 500, 700)
    if kind == "control points":
        write_with_control(tmp_path / "a.tif", values)
    else:
        write(tmp_path / "a.tif", values, PLACES[kind])
    raster = Raster(tmp_path / "a.tif")
    (grid,) = harmonise([raster], crs=UTM, pixel=0.8)
    assert grid.height > 4 * BLOCK[0]
    assert grid.width > 2 * BLOCK[1]
    values, valid = WarpedRaster(raster, grid, "cubic").read()
    for window in (Window(100, 300, 400, 700), Window(128, 512, 256, 512), Window(5, 0, 1, 1100)):
        part, part_valid = WarpedRaster(raster, grid, "cubic").read(window)
        assert np.array_equal(part_valid, valid[window.slices])
        assert np.array_equal(part, values[:, *window.slices])


@settings(max_examples=40)
@given(
    data=st.data(), kind=st.sampled_from(MASKS), resampling=st.sampled_from(NAMES), blocks=tilings
)
def test_window_is_cut_from_the_whole_whatever_is_missing(
    tmp_path_factory, data, kind, resampling, blocks
):
    raster = spoilt(tmp_path_factory.getbasetemp() / "cut.tif", kind, **blocks)
    (grid,) = harmonise([raster], pixel=data.draw(st.sampled_from([0.9, 1.7, 4.3])))
    seen = WarpedRaster(raster, grid, resampling)
    row, col = (data.draw(st.integers(0, length - 1)) for length in grid.shape)
    height = data.draw(st.integers(1, grid.height - row))
    window = Window(row, col, height, data.draw(st.integers(1, grid.width - col)))
    values, valid = seen.read(window)
    every, all_valid = seen.read()
    assert np.array_equal(valid, all_valid[window.slices])
    assert np.array_equal(
        values[:, valid], every[:, *window.slices][:, valid], equal_nan=values.dtype.kind == "f"
    )


@given(
    ids=st.lists(st.integers(0, 255), min_size=2, max_size=6, unique=True),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 9),
    dtype=st.sampled_from(["uint8", "int16", "int32", "float32"]),
)
def test_warped_label_ids_are_among_the_originals(tmp_path_factory, ids, kind, seed, dtype):
    path = tmp_path_factory.mktemp("labels") / "a.tif"
    dtype = "uint8" if kind == "control points" else dtype
    values = np.random.default_rng(seed).choice(ids, (1, 40, 50)).astype(dtype)
    if kind == "control points":
        write_with_control(path, values)
        raster = Raster(path)
    else:
        raster = write(path, values, PLACES[kind], nodata=ids[0])
    (grid,) = harmonise([raster], pixel=1.1)
    read, valid = WarpedRaster(raster, grid, "nearest").read()
    left = set(ids) if raster.nodata is None else set(ids[1:])
    assert valid.any()
    assert set(np.unique(read[0][valid])) <= left


# Validity


@pytest.mark.parametrize("resampling", NAMES)
@pytest.mark.parametrize("kind", MASKS)
def test_what_is_missing_never_shows_in_valid_pixels(tmp_path, kind, resampling):
    raster = spoilt(tmp_path / "a.tif", kind)
    (grid,) = harmonise([raster], pixel=3.0)
    values, valid = WarpedRaster(raster, grid, resampling).read(bands=[1])
    rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
    x, y = at(grid.transform, cols, rows)
    col, row = at(~raster.grid.transform, x, y)
    inside = (col >= 0) & (row >= 0) & (col < WIDTH) & (row < HEIGHT)
    hole = (col >= 50) & (row >= 30) & (col < 70) & (row < 45)
    inner = (col >= 55) & (row >= 35) & (col < 65) & (row < 40)
    gone = hole if resampling == "nearest" else inner
    assert set(np.unique(values[0][valid])) == {100}
    assert kind == "none" or not valid[gone].any()
    if resampling != "average":
        assert not valid[~inside].any()
    if kind != "nan and nodata":  # there NaN spreads as far as the kernel reaches, as invalid
        assert valid[inside & ~hole].all()


@pytest.mark.parametrize("kind", ["nodata", "alpha", "none"])
def test_what_is_missing_is_missing_through_control_points(tmp_path, kind):
    values = np.full((4, HEIGHT, WIDTH), 100, np.uint8)
    values[:3, 30:45, 50:70] = 250
    values[3] = np.where(values[0] == 250, 0, 255)
    profile = {
        "nodata": {"nodata": 250},
        "alpha": {"alpha": "yes", "photometric": "rgb"},
        "none": {},
    }[kind]
    write_with_control(tmp_path / "a.tif", values if kind == "alpha" else values[:3], **profile)
    raster = Raster(tmp_path / "a.tif")
    (grid,) = harmonise([raster], pixel=1.5)
    read, valid = WarpedRaster(raster, grid, "nearest").read(bands=[2, 1])
    assert set(np.unique(read[:, valid])) == ({100, 250} if kind == "none" else {100})
    missing = 0 if kind == "none" else 15 * 20
    assert valid.sum() / grid.height / grid.width == pytest.approx(
        0.785 * (1 - missing / HEIGHT / WIDTH), abs=0.02
    )


def test_value_missing_in_one_band_is_not_taken_for_one(tmp_path):
    values = np.full((2, HEIGHT, WIDTH), 100, np.int16)
    values[1, 30:40, 30:40] = -9999
    raster = write(tmp_path / "a.tif", values, PLACES["rotated"], nodata=-9999)
    (grid,) = harmonise([raster], pixel=2.0)
    seen = WarpedRaster(raster, grid, "bilinear")
    both, valid = seen.read()
    assert set(np.unique(both[:, valid])) == {100}
    assert seen.read(bands=[1])[1].sum() > valid.sum()


def test_value_that_comes_out_as_nodata_stays_valid(tmp_path):
    values = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    values[:, :, ::2], values[:, :, 1::2] = 90, 110
    raster = write(tmp_path / "a.tif", values, (Affine(1, 0, 0, 0, -1, 90), UTM), nodata=100)
    seen = WarpedRaster(raster, Grid(45, 60, Affine(2, 0, 0, 0, -2, 90), UTM), "average")
    read, valid = seen.read()
    assert valid.all()
    assert np.abs(read.astype(int) - 100).max() == 1


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "int64", "float64"])
def test_any_type_is_invalid_outside_and_kept_inside(tmp_path, dtype):
    raster = write(tmp_path / "a.tif", noise(1, 40, 50, dtype="uint8").astype(dtype))
    t = raster.grid.transform
    moved = Affine(t.a, 0, t.c - 10 * t.a, 0, t.e, t.f)
    seen = WarpedRaster(raster, Grid(40, 70, moved, UTM))
    values, valid = seen.read()
    assert values.dtype == raster.dtype == dtype
    assert valid[:, 10:60].all()
    assert valid.sum() == 40 * 50
    assert np.array_equal(values[:, :, 10:60], raster.read()[0])


def test_nodata_that_the_type_cannot_hold_is_none(tmp_path):
    raster = write(tmp_path / "a.tif", noise(1, 40, 50))
    raster.nodata = -9999.0
    (grid,) = harmonise([raster], pixel=2.0)
    assert WarpedRaster(raster, grid, "bilinear").read()[1].mean() > 0.9


# A raster like any other


def test_describes_itself_as_a_raster(sources):
    raster, grid = sources["degrees"]
    seen = WarpedRaster(raster, grid, "bilinear")
    assert (seen.path, seen.grid, seen.count) == (raster.path, grid, 2)
    assert seen.block_shape == (min(BLOCK[0], grid.height), min(BLOCK[1], grid.width))
    pixels = np.zeros(grid.shape, int)
    for window in seen.blocks():
        pixels[window.slices] += 1
    assert (pixels == 1).all()
    with pytest.raises(ValueError, match="must lie in the raster"):
        seen.read(Window(0, 0, grid.height + 1, 1))


def test_own_grid_needs_no_warping_and_codes_no_mean(tmp_path):
    raster = write(tmp_path / "a.tif", noise(1, 40, 50))
    assert warped(raster, raster.grid, "cubic") is raster
    (grid,) = harmonise([raster], pixel=3.0)
    assert warped(raster, grid, "cubic").resampling == "cubic"
    with rasterio.open(raster.path, "r+") as dataset:
        dataset.write_colormap(1, {1: (255, 0, 0)})
    assert warped(Raster(raster.path), grid, "cubic").resampling == "nearest"


def test_pickles(sources):
    raster, grid = sources["rotated"]
    seen = WarpedRaster(raster, grid, "bilinear")
    assert np.array_equal(pickle.loads(pickle.dumps(seen)).read()[0], seen.read()[0])


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # since Python 3.12 with threads
def test_reads_the_same_after_a_fork(sources):
    raster, grid = sources["rotated"]
    seen = WarpedRaster(raster, grid, "bilinear")
    expected = seen.read()[0]
    receiver, sender = multiprocessing.Pipe(duplex=False)
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=lambda: sender.send(seen.read()[0]), daemon=True)
    child.start()
    assert receiver.poll(60)
    assert np.array_equal(receiver.recv(), expected)
    child.join()


def test_reads_the_same_in_threads(sources):
    raster, grid = sources["rotated"]
    seen = WarpedRaster(raster, grid, "bilinear")
    expected = seen.read()[0]
    windows = [Window(row, 0, 8, grid.width) for row in range(0, grid.height - 8, 3)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda window: seen.read(window)[0], windows))
    for window, values in zip(windows, found, strict=True):
        assert np.array_equal(values, expected[:, *window.slices])


def test_damaged_file_is_named_and_not_read_as_nothing(tmp_path):
    raster = write(tmp_path / "a.tif", noise(1, HEIGHT, WIDTH), PLACES["rotated"], compress="lzw")
    (grid,) = harmonise([raster], pixel=2.0)
    content = raster.path.read_bytes()
    raster.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a\.tif: "):
        WarpedRaster(raster, grid, "bilinear").read()


# Blocks that are not in the file

HOLE = np.s_[16:32, 64:80]
"""Block 1, 4 of 16 x 16 pixels."""


@pytest.fixture(params=["band", "pixel", "control points"])
def sparse(request, tmp_path):
    """A scene of two bands that lacks a block: of band 2, or of both where they lie together."""
    values = noise(2, HEIGHT, WIDTH)
    values[:, *HOLE] = 0
    if request.param == "band":
        values[0] = 7
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True}
    layout["interleave"] = "band" if request.param == "band" else "pixel"
    if request.param != "control points":
        return write(tmp_path / "a.tif", values, PLACES["rotated"], **layout)
    write_with_control(tmp_path / "a.tif", values, **layout)
    return Raster(tmp_path / "a.tif")


def share_of_hole(raster, grid, resampling):
    """How much of each pixel of a grid comes from the block: an image of it, warped alike."""
    image = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    image[:, *HOLE] = 255
    file = raster.path.with_name("hole.tif")
    if raster.control:
        write_with_control(file, image)
    else:
        write(file, image, PLACES["rotated"])
    values, valid = WarpedRaster(Raster(file), grid, resampling).read()
    return (values[0] != 0) & valid


@pytest.mark.parametrize("pixel", [1.9, 4.1])
@pytest.mark.parametrize("resampling", NAMES)
def test_windows_that_an_absent_block_reaches_are_refused_and_no_others(sparse, resampling, pixel):
    (grid,) = harmonise([sparse], pixel=pixel)
    seen = WarpedRaster(sparse, grid, resampling)
    reached = share_of_hole(sparse, grid, resampling)
    rows, cols = np.nonzero(reached)
    side, far = 7, 10  # far: beyond the reach of any kernel, and the block's net of points
    box = (rows.min() - far, rows.max() + far, cols.min() - far, cols.max() + far)
    refused = 0
    for row in range(0, grid.height - side, side):
        for col in range(0, grid.width - side, side):
            window = Window(row, col, side, side)
            if reached[window.slices].any():
                refused += 1
                with pytest.raises(DataError, match=r"a\.tif: block 1, 4 of band 2 is not in"):
                    seen.read(window, [2])
            elif row + side < box[0] or row > box[1] or col + side < box[2] or col > box[3]:
                seen.read(window, [2])
    assert refused
    with pytest.raises(DataError, match="block 1, 4"):
        pickle.loads(pickle.dumps(seen)).read()


def test_band_whose_blocks_are_all_there_is_read(tmp_path):
    values = noise(2, 32, 48)
    values[1, :16, 16:32] = 0
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True}
    raster = write(tmp_path / "a.tif", values, PLACES["rotated"], interleave="band", **layout)
    seen = WarpedRaster(raster, harmonise([raster], pixel=2.0)[0])
    assert seen.read(bands=[1])[1].any()
    with pytest.raises(DataError, match="block 0, 1 of band 2"):
        seen.read()


def test_absent_blocks_that_nodata_explains_are_invalid(tmp_path):
    values = noise(1, 32, 48)
    values[:, :16, 16:32] = 0
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True}
    raster = write(tmp_path / "a.tif", values, PLACES["degrees"], nodata=0, **layout)
    read, valid = WarpedRaster(raster, harmonise([raster], pixel=2.0)[0]).read()
    assert 0 < valid.mean() < 1
    assert read[0][valid].all()


# What cannot be placed


def test_raster_without_a_crs_is_refused(tmp_path):
    raster = write(tmp_path / "a.tif", noise(1, 40, 50), (Affine(1, 0, 0, 0, -1, 40), None))
    with pytest.raises(DataError, match=r"a\.tif: .*found none and no ground control"):
        harmonise([raster], crs=UTM, pixel=1.0)
    with pytest.raises(DataError, match=r"a\.tif: cannot be warped onto a grid without"):
        WarpedRaster(raster, raster.grid)


def test_control_points_without_a_crs_are_refused(tmp_path):
    write_with_control(tmp_path / "a.tif", noise(1, 40, 50), crs=None)
    with pytest.raises(DataError, match=r"a\.tif: .*4 ground control points without one; .*a_srs"):
        harmonise([Raster(tmp_path / "a.tif")])


def test_control_points_place_a_scene_where_they_lie(tmp_path):
    points = write_with_control(tmp_path / "a.tif", noise(1, HEIGHT, WIDTH))
    (grid,) = harmonise([Raster(tmp_path / "a.tif")], pixel=1.0)
    xs, ys = transform(DEGREES, grid.crs, [p.x for p in points], [p.y for p in points])
    t = grid.transform
    assert t.c == pytest.approx(min(xs), abs=0.6)
    assert t.f == pytest.approx(max(ys), abs=0.6)
    assert math.isclose(t.a, 1.0)


# Real files

REFUSED = {
    "label_int64_nogeoref.tif": "no ground control points",
    "rasterio_rotated.tif": "no ground control points",
    "inverted_lat_positive_yres.tif": "that has a place in EPSG:32631",  # all the world
    "not_a_tiff.tif": "expected a raster that GDAL reads",
    "rasterio_corrupt.tif": "cannot be decoded",
}


def of_lattice(path):
    raster = Raster(path)
    return raster, harmonise([raster])[0]


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared imagery is not here")
def test_real_files_are_read_as_reproject_does():
    files = [*REAL.glob("odd/*.tif*"), *REAL.glob("odd/*.jp2"), *REAL.glob("sensors/*/*.tif")]
    for file in files:
        if file.name in REFUSED:
            continue
        raster = Raster(file)
        (grid,) = harmonise([raster], pixel=1.5 * ground_pixel(raster))
        seen = WarpedRaster(raster, grid, "nearest")
        values, valid = seen.read()
        same = (values == whole(raster, seen))[:, valid].mean() if valid.any() else 1
        # `reproject` places pixels to an eighth of one, a warped raster to a hundredth
        assert same > (0.97 if raster.control else 0.99), file


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared imagery is not here")
@pytest.mark.parametrize("name", REFUSED)
def test_real_file_is_refused_by_name(name):
    with pytest.raises(RsadaptError, match=f"{name}: .*{REFUSED[name]}"):
        WarpedRaster(*of_lattice(REAL / "odd" / name)).read()


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared imagery is not here")
def test_real_tiles_lie_where_their_mosaic_does():
    folder = REAL / "buildings" / "banepa"
    core = Raster(folder / "core.tif")
    (grid,) = harmonise([core], crs=UTM, pixel=0.15)
    mosaic, tiles = WarpedRaster(core, grid, "bilinear"), 0
    for file in sorted((folder / "tiles").glob("*.tif"))[::40]:
        if file.with_name(f"{file.name}.aux.xml").exists():
            (own,) = harmonise([Raster(file)], crs=UTM, pixel=0.15)
            col = round((own.transform.c - grid.transform.c) / 0.15)
            row = round((grid.transform.f - own.transform.f) / 0.15)
            place = Window(max(row, 0), max(col, 0), own.height, own.width)
            if (place.row, place.col) == (row, col) and grid.window.contains(place):
                tile, valid = WarpedRaster(Raster(file), own, "bilinear").read()
                shown, shown_valid = mosaic.read(place)
                both = valid & shown_valid
                assert np.abs(tile.astype(int) - shown)[:, both].mean() < 2
                tiles += 1
    assert tiles


def test_scale_and_offset_apply_to_warped_values_alone(tmp_path):
    values = noise(2, HEIGHT, WIDTH, dtype="int16")
    values[:, :20] = -7
    plain = write(tmp_path / "plain.tif", values, nodata=-7)
    write(tmp_path / "scaled.tif", values, nodata=-7)
    with rasterio.open(tmp_path / "scaled.tif", "r+") as dataset:
        dataset.scales, dataset.offsets = (0.5, 7.0), (-3.0, 0.25)
    scaled = Raster(tmp_path / "scaled.tif")
    (grid,) = harmonise([plain], crs=MERCATOR)
    for name in ("nearest", "bilinear"):
        stored, expected = WarpedRaster(plain, grid, name).read()
        raster = WarpedRaster(scaled, grid, name)
        read, valid = pickle.loads(pickle.dumps(raster)).read(None, [2, 1])
        assert (raster.dtype, raster.stored, read.dtype) == ("float32", "int16", "float32")
        assert np.array_equal(valid, expected)
        assert np.array_equal(read[0][valid], stored[1][valid] * 7.0 + 0.25)
        assert np.array_equal(read[1][valid], stored[0][valid] * 0.5 - 3.0)
