"""Damaged files: a clear error or what GDAL gives, never a crash, a hang or silent zeros.

Some hundred small files are damaged in every way that a byte can be, and each is read in a process
of its own with a time limit. The originals hold no zero, so that a block of zeros that counts as
valid is one that the damage made.
"""

import json
import multiprocessing
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from shapely import box

from rsadapt.errors import RsadaptError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.raster import Raster
from rsadapt.geo.vectors import Features, Legend
from rsadapt.geo.warp import WarpedRaster

SIDE, BLOCK = 64, 16
TIME_LIMIT = 20.0
"""Seconds; a sound file takes a few milliseconds."""

TRANSFORM = Affine(2, 0, 5e5, 0, -2, 5.2e6)
KINDS = {
    "tiled": {"dtype": "uint8", "count": 3, "tiled": True, "compress": "deflate"},
    "strips": {"dtype": "uint16", "count": 1, "compress": "lzw", "blockysize": BLOCK},
    "plain": {"dtype": "uint8", "count": 2, "interleave": "band"},
    "float": {"dtype": "float32", "count": 1, "compress": "zstd", "predictor": 3, "tiled": True},
    "big": {"dtype": "int16", "count": 1, "BIGTIFF": "YES", "compress": "deflate"},
    "packed": {"dtype": "uint8", "count": 1, "compress": "packbits"},
}


def write_original(folder: Path, kind: str) -> Path:
    """A small GeoTIFF without a zero."""
    options = dict(KINDS[kind])
    if options.get("tiled"):
        options |= {"blockxsize": BLOCK, "blockysize": BLOCK}
    random = np.random.default_rng(sum(map(ord, kind)))
    shape = (options["count"], SIDE, SIDE)
    values = random.integers(1, 200, shape).astype(options["dtype"])
    file = folder / f"{kind}.tif"
    with rasterio.open(
        file,
        "w",
        driver="GTiff",
        width=SIDE,
        height=SIDE,
        crs="EPSG:32632",
        transform=TRANSFORM,
        **options,
    ) as dataset:
        dataset.write(values)
    return file


@dataclass(frozen=True)
class Damage:
    """A damaged copy's content, and in words what was done to it."""

    words: str
    content: bytes


def damages(content: bytes, seed: int, *, directory: slice) -> list[Damage]:
    """Copies cut short, with altered headers and directories, and with flipped bytes within."""
    random = np.random.default_rng(seed)
    length = len(content)
    cuts = [0, 1, 4, 8, 16, *(int(length * share) for share in np.linspace(0.1, 0.99, 10))]
    found = [Damage(f"cut after {cut} bytes", content[:cut]) for cut in cuts]
    places = [*range(8), *random.integers(directory.start, directory.stop, 25)]
    places += list(random.integers(8, length, 20))
    for place in map(int, places):
        value = int(random.integers(256))
        altered = content[:place] + bytes([value]) + content[place + 1 :]
        found.append(Damage(f"byte {place} is {value}", altered))
    start = int(random.integers(8, max(9, length - 64)))
    found.append(Damage(f"zeros from {start}", content[:start] + bytes(64) + content[start + 64 :]))
    return found


def odd_tags(content: bytes) -> list[Damage]:
    """Copies of a little-endian classic TIFF whose entries say what cannot be."""
    (start,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, start)
    found = []
    for number in range(entries):
        place = start + 2 + 12 * number
        tag, kind, count = struct.unpack_from("<HHI", content, place)
        for value in (0, 1, 2**16, 2**31 - 1):
            entry = struct.pack("<HHII", tag, kind, count, value)
            altered = content[:place] + entry + content[place + 12 :]
            found.append(Damage(f"tag {tag} is {value}", altered))
        entry = struct.pack("<HHII", tag, kind, 2**30, 8)
        altered = content[:place] + entry + content[place + 12 :]
        found.append(Damage(f"tag {tag} has 2**30 values", altered))
    return found


def read_raster(file: Path) -> dict:
    """What reading comes to, in the words of its caller; run in a process of its own."""
    try:
        raster = Raster(file)
        if max(raster.grid.shape) > 64 * SIDE or raster.count > 64:
            return {"error": "a size that nobody would read at once"}
        values, valid = raster.read()
    except RsadaptError as error:
        return {"error": str(error)}
    try:
        plain, *others = [read_plainly(file, seed) for seed in range(4)]
    except Exception as error:  # GDAL refuses what was read: that must not be
        return {"differs": f"GDAL refuses it: {error}"}
    steady = all(same(plain, other) for other in others)  # it may pass on memory as it found it
    if steady and not same(values, plain):
        return {"differs": "other values than GDAL's"}
    return {"zeros": zero_blocks(values, valid)}


def read_warped(file: Path) -> dict:
    """The same of the raster seen on a grid that is half a pixel off, where it says its place."""
    try:
        raster = Raster(file)
        if max(raster.grid.shape) > 64 * SIDE or raster.count > 64:
            return {"error": "a size that nobody would read at once"}
        if raster.grid.crs is None or raster.grid.shape != (SIDE, SIDE):
            return {"error": "another place, of which nobody can tell what it should hold"}
        a, b, c, d, e, f = tuple(raster.grid.transform)[:6]
        moved = Affine(a, b, c + a / 2, d, e, f + e / 2)
        seen = WarpedRaster(raster, Grid(SIDE, SIDE, moved, raster.grid.crs), "nearest")
        return {"zeros": zero_blocks(*seen.read(Window(0, 0, SIDE - 1, SIDE - 1)))}
    except RsadaptError as error:
        return {"error": str(error)}


def read_plainly(file: Path, seed: int) -> np.ndarray:
    """What GDAL reads, after memory was left full of something else."""
    random = np.random.default_rng(seed)
    litter = [random.integers(0, 255, size, np.uint8) for size in 20 * [512, 8192, 32768]]
    del litter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(file) as dataset:
            return dataset.read()


def same(one: np.ndarray, two: np.ndarray) -> bool:
    return np.array_equal(one, two, equal_nan=one.dtype.kind == "f")


def zero_blocks(values: np.ndarray, valid: np.ndarray) -> int:
    """Blocks of valid pixels, of 16 x 16 or a strip's, in which a band is zero throughout."""
    found = 0
    for row in range(0, values.shape[1] - BLOCK + 1, BLOCK):
        for col in range(0, values.shape[2] - BLOCK + 1, BLOCK):
            block = np.s_[row : row + BLOCK, col : col + BLOCK]
            if valid[block].all():
                found += int((values[:, *block] == 0).all((1, 2)).any())
    return found


def read_features(file: Path) -> dict:
    try:
        ids, _ = Features([file], Legend()).on(Grid(8, 8, TRANSFORM, UTM), file).read()
    except RsadaptError as error:
        return {"error": str(error)}
    return {"zeros": 0, "sum": int(ids.sum())}


UTM = rasterio.crs.CRS.from_epsg(32632)


def apart(read, file: Path, report: Path) -> None:
    report.write_text(json.dumps(read(file)), encoding="utf-8")


def outcomes(read, folder: Path, suffix: str, copies: list[Damage]) -> list[str]:
    """What went wrong, in words; nothing where every copy was read or refused as it should be."""
    fork = multiprocessing.get_context("fork")
    wrong = []
    for number, damage in enumerate(copies):
        file, report = folder / f"{number}{suffix}", folder / f"{number}.txt"
        file.write_bytes(damage.content)
        process = fork.Process(target=apart, args=(read, file, report))
        process.start()
        process.join(TIME_LIMIT)
        if process.is_alive():
            process.kill()
            wrong.append(f"{damage.words}: no answer within {TIME_LIMIT:g} s")
        elif process.exitcode != 0 or not report.exists():
            wrong.append(f"{damage.words}: crashed with {process.exitcode}")
        else:
            found = json.loads(report.read_text(encoding="utf-8"))
            if "differs" in found:
                wrong.append(f"{damage.words}: {found['differs']}")
            elif found.get("zeros"):
                wrong.append(f"{damage.words}: {found['zeros']} blocks of zeros count as valid")
            elif (
                "error" in found
                and file.name not in found["error"]
                and "nobody" not in found["error"]
            ):
                wrong.append(f"{damage.words}: no file named in {found['error']!r}")
        file.unlink()
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_rasters_are_refused_or_read_as_gdal_reads_them(tmp_path, kind):
    original = write_original(tmp_path, kind)
    content = original.read_bytes()
    assert read_raster(original) == {"zeros": 0}
    directory = slice(len(content) // 2, len(content))
    if content[:4] == b"II*\x00":
        (start,) = struct.unpack_from("<I", content, 4)
        (entries,) = struct.unpack_from("<H", content, start)
        directory = slice(start, start + 2 + 12 * entries)
    copies = damages(content, seed=1, directory=directory)
    if content[:4] == b"II*\x00":
        copies += odd_tags(content)
    assert len(copies) >= 60
    wrong = outcomes(read_raster, tmp_path, ".tif", copies)
    assert not wrong, f"{len(wrong)} of {len(copies)}: " + "; ".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_rasters_are_not_warped_to_zeros(tmp_path, kind):
    original = write_original(tmp_path, kind)
    content = original.read_bytes()
    assert read_warped(original) == {"zeros": 0}
    copies = damages(content, seed=3, directory=slice(len(content) // 2, len(content)))
    if content[:4] == b"II*\x00":
        copies += odd_tags(content)
    wrong = outcomes(read_warped, tmp_path, ".tif", copies)
    assert not wrong, f"{len(wrong)} of {len(copies)}: " + "; ".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".fgb"])
def test_damaged_vector_files_are_refused_or_read(tmp_path, suffix):
    original = tmp_path / f"original{suffix}"
    squares = [box(5e5 + 2 * n, 5.2e6 - 8, 5e5 + 2 * n + 2, 5.2e6) for n in range(4)]
    geopandas.GeoDataFrame({"kind": list("abcd")}, geometry=squares, crs=UTM.to_wkt()).to_file(
        original
    )
    content = original.read_bytes()
    copies = damages(content, seed=2, directory=slice(0, min(200, len(content))))
    wrong = outcomes(read_features, tmp_path, suffix, copies)
    assert not wrong, f"{len(wrong)} of {len(copies)}: " + "; ".join(wrong)
