"""Kept pixels: those of the original, read from it once, by one process for all."""

import multiprocessing
import os
import pickle
import resource
import signal

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from rsadapt.errors import DataError
from rsadapt.geo.grid import Window
from rsadapt.geo.harmonise import harmonise
from rsadapt.geo.kept import TILE_PIXELS, KeptRaster, Scratch, Store, kept, tile_of
from rsadapt.geo.raster import Raster
from rsadapt.geo.warp import WarpedRaster

pytestmark = pytest.mark.skipif(os.name != "posix", reason="only POSIX systems fork")

UTM = CRS.from_epsg(32645)
SHAPE = (300, 420)
ROOM = 10**8


def write(path, values, **profile):
    """A scene of 2 m pixels."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(values),
        height=values.shape[1],
        width=values.shape[2],
        dtype=values.dtype.name,
        crs=UTM,
        transform=Affine(2, 0, 3e5, 0, -2, 3e6),
        **profile,
    ) as dataset:
        dataset.write(values)
    return Raster(path)


def noise(dtype="uint16", bands=3):
    return np.random.default_rng(0).integers(0, 90, (bands, *SHAPE)).astype(dtype)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Scenes of several types and blocks, one of them warped."""
    folder = tmp_path_factory.mktemp("originals")
    tiled = {"tiled": True, "blockxsize": 64, "blockysize": 32, "compress": "deflate"}
    found = [
        write(folder / "a.tif", noise(), nodata=7, **tiled),
        write(folder / "b.tif", noise("uint8"), blockysize=3),
        write(folder / "c.tif", np.where(noise("float32") < 9, np.nan, noise("float32"))),
    ]
    (grid,) = harmonise(found[:1], crs=CRS.from_epsg(3857), pixel=1.7)
    return [*found, WarpedRaster(found[0], grid, "bilinear")]


@pytest.fixture(scope="module")
def views(originals, tmp_path_factory):
    scratch = Scratch(tmp_path_factory.mktemp("scratch"), ROOM)
    found = [kept(raster, (3, 1), scratch) for raster in originals]
    assert all(isinstance(view, KeptRaster) for view in found)
    return found


@given(data=st.data(), number=st.integers(0, 3))
def test_a_window_is_what_the_original_reads(originals, views, data, number):
    raster, view = originals[number], views[number]
    row, col = (data.draw(st.integers(0, length - 1)) for length in raster.grid.shape)
    height = data.draw(st.integers(1, raster.grid.height - row))
    window = Window(row, col, height, data.draw(st.integers(1, raster.grid.width - col)))
    for bands in ((3, 1), (2,)):
        for ours, theirs in zip(view.read(window, bands), raster.read(window, bands), strict=True):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")


@settings(max_examples=50)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tile=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    places=st.lists(st.tuples(*[st.floats(0, 0.999)] * 4), max_size=9),
)
def test_each_tile_is_read_once(tmp_path_factory, shape, tile, places):
    times = np.zeros(shape, int)
    values = np.arange(2 * shape[0] * shape[1], dtype=np.int32).reshape(2, *shape)

    def read(window):
        times[window.slices] += 1
        return values[:, *window.slices], values[0][window.slices] % 3 == 0

    store = Store(read, bands=2, dtype="int32", shape=shape, tile=tile)
    assert store.settle(Scratch(tmp_path_factory.getbasetemp(), ROOM))
    for down, along, tall, wide in places:
        row, col = int(down * shape[0]), int(along * shape[1])
        height, width = 1 + int(tall * (shape[0] - row)), 1 + int(wide * (shape[1] - col))
        window = Window(row, col, height, width)
        found, valid = store.read(window)
        assert np.array_equal(found, values[:, *window.slices])
        assert np.array_equal(valid, values[0][window.slices] % 3 == 0)
        assert (times[window.slices] == 1).all()
    assert times.max() <= 1


def in_a_child(work):
    """What a forked process sends back."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=lambda: sender.send(work()))
    child.start()
    assert receiver.poll(60)
    found = receiver.recv()
    child.join()
    return found


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # since Python 3.12 with threads
def test_what_one_process_read_is_there_for_all(tmp_path):
    raster = write(tmp_path / "a.tif", noise())
    view = kept(raster, (1, 2, 3), Scratch(tmp_path, ROOM))
    expected = raster.read()
    assert np.array_equal(in_a_child(view.read)[0], expected[0])
    raster.path.unlink()
    assert np.array_equal(view.read()[0], expected[0])
    assert np.array_equal(in_a_child(view.read)[1], expected[1])


def test_nothing_is_left_behind(tmp_path):
    raster = write(tmp_path / "a.tif", noise())
    kept(raster, (1, 2, 3), Scratch(tmp_path, ROOM)).read()
    assert list(tmp_path.iterdir()) == [raster.path]


def test_where_there_is_no_room_the_original_is_read(tmp_path):
    raster = write(tmp_path / "a.tif", noise())
    least = 7 * SHAPE[0] * SHAPE[1]  # three bands of two bytes, and a byte of validity
    assert kept(raster, (1, 2, 3), Scratch(tmp_path, least - 1)) is raster
    scratch = Scratch(tmp_path, 4 * least)
    fits = [kept(raster, (1, 2, 3), scratch) is not raster for _ in range(5)]
    assert fits == sorted(fits, reverse=True)
    assert fits[0]
    assert not fits[4]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_full_disk_only_makes_it_slower(tmp_path):
    raster = write(tmp_path / "a.tif", noise())
    view = kept(raster, (1, 2, 3), Scratch(tmp_path, ROOM))

    def with_a_full_disk():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_999, 9_999))
        return view.read()[0], view.read()[0]

    for found in in_a_child(with_a_full_disk):
        assert np.array_equal(found, raster.read()[0])


def test_damage_is_met_only_where_it_is(tmp_path):
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    path = write(tmp_path / "a.tif", noise(), **blocks).path
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    raster = Raster(path)
    view = kept(raster, (1, 2, 3), Scratch(tmp_path, ROOM))
    assert view.store.tile[0] * view.store.tile[1] >= TILE_PIXELS
    sound = Window(0, 0, 20, SHAPE[1])
    assert np.array_equal(view.read(sound, (1, 2, 3))[0], raster.read(sound)[0])
    with pytest.raises(DataError, match=r"a\.tif: the pixels of Window.* cut short"):
        view.read()


def test_it_is_a_raster_like_its_original_and_pickles_as_it(tmp_path):
    raster = write(tmp_path / "a.tif", noise(), nodata=7)
    view = kept(raster, (1, 2, 3), Scratch(tmp_path, ROOM))
    assert (view.grid, view.nodata, view.count) == (raster.grid, 7, 3)
    assert list(view.blocks()) == list(raster.blocks())
    copy = pickle.loads(pickle.dumps(view))
    assert type(copy) is Raster
    assert np.array_equal(copy.read()[0], view.read()[0])
    with pytest.raises(ValueError, match="must lie in the raster"):
        view.read(Window(0, 0, SHAPE[0] + 1, 1))


@given(st.tuples(st.integers(1, 3000), st.integers(1, 3000)))
def test_tiles_are_whole_blocks_of_enough_pixels(block):
    rows, cols = tile_of(block)
    assert rows % block[0] == cols % block[1] == 0
    assert rows * cols >= TILE_PIXELS
    assert (rows, cols) == block or rows * cols < 2 * TILE_PIXELS
