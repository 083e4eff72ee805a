import multiprocessing
import os
import pickle
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio._env import get_gdal_config
from rasterio.crs import CRS

from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.harmonise import harmonise
from rsadapt.geo.raster import Raster, without_georeference
from rsadapt.geo.remote import SETTINGS, _threads, where_read
from rsadapt.geo.warp import WarpedRaster
from rsadapt.geo.writer import write_raster

GRID = Grid(700, 900, Affine(2, 0, 5e5, 0, -2, 5.2e6), CRS.from_epsg(32632))
MASK = {"driver": "GTiff", "height": 700, "width": 900, "count": 1, "dtype": "uint8"}
WINDOWS = (GRID.window, Window(0, 0, 1, 1), Window(300, 511, 240, 2), Window(699, 0, 1, 900))


@pytest.fixture
def local(served):
    """A scene of the server's folder."""
    values = np.random.default_rng(0).integers(0, 99, (3, *GRID.shape), np.uint8)
    write_raster(served.folder / "a.tif", values, GRID, nodata=0)
    return Raster(served.folder / "a.tif")


@pytest.fixture(params=["http", "s3"])
def address(request, served, local):
    return served.url("a.tif") if request.param == "http" else "s3://bucket/a.tif"


def equal(one, other):
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def test_windows_are_those_of_the_local_file(local, address):
    remote = Raster(address)
    assert (str(remote.path), remote.grid, remote.nodata) == (address, local.grid, 0)
    assert repr(remote) == f"Raster({address!r})"
    assert pickle.loads(pickle.dumps(remote)).path == remote.path
    for window in WINDOWS:
        assert equal(remote.read(window, [3, 1]), local.read(window, [3, 1]))


def test_warped_windows_are_those_of_the_local_file(local, address):
    (grid,) = harmonise([local], pixel=3.0)
    seen = WarpedRaster(Raster(address), grid, "bilinear")
    assert equal(seen.read(), WarpedRaster(local, grid, "bilinear").read())


def test_reads_the_same_in_threads(local, address):
    remote = Raster(address)
    windows = [Window(row, 0, 8, 900) for row in range(0, 690, 7)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(remote.read, windows))
    assert all(equal(read, local.read(window)) for read, window in zip(found, windows, strict=True))


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # since Python 3.12 with threads
def test_a_process_that_forks_has_a_connection_of_its_own(served, local):
    """Two that read from one connection may each get what the other asked for."""
    remote, window = Raster(served.url("a.tif")), Window(690, 0, 8, 900)
    remote.read(Window(0, 0, 8, 8))
    connections = served.connections
    receiver, sender = multiprocessing.Pipe(duplex=False)
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=lambda: sender.send(remote.read(window)), daemon=True)
    child.start()
    assert receiver.poll(60)
    assert equal(receiver.recv(), local.read(window))
    child.join()
    assert served.connections > connections


def test_settings_are_those_of_remote_rasters_alone(served, local, address):
    asked = {}

    def ask():
        asked.update({key: get_gdal_config(key) for key in SETTINGS})

    Raster(address).read()
    where_read(Raster(address).path, ask)
    assert {key: str(value) for key, value in asked.items()} == SETTINGS
    assert where_read(local.path, lambda: [get_gdal_config(key) for key in SETTINGS]) == [
        None for _ in SETTINGS
    ]
    assert set(served.asked) == {"/bucket/a.tif"}  # no sidecar was looked for


def test_local_files_keep_their_sidecars_beside_remote_ones(local, address):
    remote, file = Raster(address), local.path.with_name("b.tif")
    write_raster(file, np.ones((1, *GRID.shape), np.uint8), GRID)
    with (
        without_georeference(),
        rasterio.open(file.with_name("b.tif.msk"), "w", **MASK) as dataset,
    ):
        dataset.update_tags(INTERNAL_MASK_FLAGS_1=2)
    remote.read()
    assert not Raster(file).read()[1].any()


# What servers do not give


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gone.tif", "found none .*404.*; check the address"),
        ("forbidden/a.tif", "access to it is refused .*403.*AWS_NO_SIGN_REQUEST=YES"),
    ],
)
def test_what_is_not_given_is_one_sentence(served, name, found):
    for address in (served.url(name), f"s3://bucket/{name}"):
        with pytest.raises(MissingFileError, match=f"{re.escape(address)}: .*{found}") as error:
            Raster(address)
        assert "\n" not in str(error.value)


def test_missing_credentials_are_named(served, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_NO_SIGN_REQUEST")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "YES")
    monkeypatch.setenv("CPL_AWS_AUTODETECT_EC2", "NO")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        MissingFileError, match=r"s3://bucket/a\.tif: .*refused.*NO_SIGN_REQUEST=YES"
    ):
        Raster("s3://bucket/a.tif")


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
def test_host_that_cannot_be_reached_is_named_at_once(host):
    address, start = f"http://{host}:{free_port()}/a.tif", time.monotonic()
    with pytest.raises(
        MissingFileError, match=f"{address}: .*found none .*check the address and the connection"
    ):
        Raster(address)
    assert time.monotonic() - start < 20


def test_server_that_never_answers_is_not_waited_for(served, monkeypatch):
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "1")  # the user's own: a minute is long for a test
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    _threads.cache_clear()
    start = time.monotonic()
    with pytest.raises(MissingFileError, match=r"silent/a\.tif: "):
        Raster(served.url("silent/a.tif"))
    assert time.monotonic() - start < 10
    _threads.cache_clear()


def test_server_that_is_busy_is_asked_again(served, local):
    (served.folder / "busy").mkdir()
    (served.folder / "busy" / "a.tif").write_bytes(local.path.read_bytes())
    assert equal(Raster(served.url("busy/a.tif")).read(), local.read())


def test_content_that_is_no_raster_is_told_of(served):
    (served.folder / "a.html").write_text("<html>not here</html>")
    with pytest.raises(
        DataError, match=r"a\.html: expected a raster that GDAL reads, found content"
    ):
        Raster(served.url("a.html"))


def test_file_cut_short_is_told_of_when_read(served, local):
    content = local.path.read_bytes()
    (served.folder / "cut.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"/cut\.tif: "):
        Raster(served.url("cut.tif")).read()
