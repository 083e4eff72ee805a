"""How fast training windows come from a large scene: rsadapt, torchgeo and a plain read, by turns.

    pip install -e ".[benchmark]"
    python benchmarks/windows.py

Draws a scene of 10,240 x 10,240 pixels in four bands of uint16 (DEFLATE, predictor 2, nodata along
slanted borders), and reads random windows of 512 x 512 from it in batches of 8 with one, two and
four workers. torchgeo reads the same windows, and such as its own sampler draws. The plain read
takes every stored block once, in order, with as many processes as there are workers. Each way has
a process of its own, which is told by turns to measure; GDAL's cache is the same in all, smaller
than the file. The file is in the page cache. Rates are of the main process's waiting for whole
batches, after those that workers read ahead while they start. Memory is that of the process and
its workers when the last batch has come, pages that they share counted once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timing import machine

RESULTS = Path(__file__).parent / "results" / "windows.json"
SIDE, BANDS, WINDOW, BATCH = 10_240, 4, 512, 8
CACHE = 64
"""Megabytes of GDAL's cache in each process: four workers hold less than the file together."""
BATCHES = 16
"""Batches timed at once; half of them where scenes are warped."""
OCTAVES = (2048, 512, 128, 32, 8, 4)
"""Pixels between the nodes of each layer of the scene's noise."""
WAYS = (
    "rsadapt",
    "rsadapt, from empty",
    "rsadapt, nothing kept",
    "torchgeo",
    "torchgeo, own windows",
)
MERCATOR = 3857

Values = dict[str, Any]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Case:
    """A scene and how it is read.

    Attributes:
        title: of its table.
        file: in the folder of scenes.
        workers: the numbers of workers.
        warped: whether it is seen in another CRS than its own.
    """

    title: str
    file: str
    workers: tuple[int, ...]
    warped: bool = False

    @property
    def batches(self) -> int:
        """Batches timed at once."""
        return BATCHES // 2 if self.warped else BATCHES


CASES = (
    Case("blocks of 512, pixels of 0.5 m", "blocks512.tif", (1, 2, 4)),
    Case("blocks of 512, pixels of 0.3 m", "metric.tif", (2,)),
    Case("blocks of 256, pixels of 0.5 m", "blocks256.tif", (2,)),
    Case("the first scene, warped to EPSG:3857", "blocks512.tif", (2,), warped=True),
)


def main() -> None:
    """Measure, check that all ways read the same, print tables and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scenes", type=Path, help="where to keep the scenes for another time")
    parser.add_argument("--cases", type=int, nargs="+", default=range(len(CASES)))
    options = parser.parse_args()
    os.environ["GDAL_CACHEMAX"] = str(CACHE)  # read by GDAL of the processes that are started
    with TemporaryDirectory() as temporary:
        folder = options.scenes or Path(temporary)
        draw_all(folder)
        cases = [CASES[number] for number in options.cases]
        found = {case.title: measure(case, folder, options.repeats) for case in cases}
        record = describe(found, folder, options.repeats)
    print(markdown(record))
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {RESULTS}")


# The scenes


def draw_all(folder: Path) -> None:
    """Write what is not there yet, in strips, so that memory stays bounded."""
    folder.mkdir(parents=True, exist_ok=True)
    tiles = [side for side in (512, 256) if not (folder / f"blocks{side}.tif").exists()]
    if tiles:
        draw({side: folder / f"blocks{side}.tif" for side in tiles})
    if not (folder / "metric.tif").exists():
        import rasterio

        shutil.copy(folder / "blocks512.tif", folder / "metric.tif")
        with rasterio.open(folder / "metric.tif", "r+") as dataset:
            dataset.transform = rasterio.Affine(0.3, 0, 312_345.6, 0, -0.3, 3_034_567.5)


def draw(files: dict[int, Path]) -> None:
    """Write one scene in blocks of several sizes: noise of many scales and a sensor's on top."""
    import rasterio
    from rasterio.windows import Window

    random = np.random.default_rng(0)
    layers = [
        (step, random.standard_normal((BANDS + 1, SIDE // step + 2, SIDE // step + 2), np.float32))
        for step in OCTAVES
    ]
    profile = {
        "driver": "GTiff",
        "count": BANDS,
        "height": SIDE,
        "width": SIDE,
        "dtype": "uint16",
        "crs": "EPSG:32645",
        "transform": rasterio.Affine(0.5, 0, 300_000, 0, -0.5, 3_000_000),
        "nodata": 0,
        "tiled": True,
        "compress": "deflate",
        "predictor": 2,
        "num_threads": "all_cpus",
    }
    open_files = [
        rasterio.open(path, "w", blockxsize=side, blockysize=side, **profile)
        for side, path in files.items()
    ]
    for row in range(0, SIDE, 512):
        strip = land(layers, row, 512, random)
        for dataset in open_files:
            dataset.write(strip, window=Window(0, row, SIDE, 512))
    for dataset in open_files:
        dataset.close()


def land(
    layers: Sequence[tuple[int, NDArray[np.float32]]], row: int, rows: int, random: Any
) -> NDArray[np.uint16]:
    """Rows of the scene: layers between whose nodes values are linear, and shot noise."""
    field = sum((step / 2048) ** 0.5 * between(nodes, step, row, rows) for step, nodes in layers)
    values = 600 + 250 * (0.3 * field[:BANDS] + field[BANDS])
    values += 150 * np.arange(BANDS, dtype=np.float32)[:, np.newaxis, np.newaxis]
    noise = random.standard_normal(values.shape, dtype=np.float32)
    values = np.maximum(values + 0.3 * np.sqrt(np.maximum(values, 1)) * noise, 1)
    y, x = np.arange(row, row + rows)[:, np.newaxis], np.arange(SIDE)
    values[:, (x < 0.05 * y) | (x > SIDE - 0.05 * (SIDE - y))] = 0
    return values.astype(np.uint16)


def between(nodes: NDArray[np.float32], step: int, row: int, rows: int) -> NDArray[np.float32]:
    """Rows of a layer [bands, rows, side], linear between its nodes."""
    down, across = np.arange(row, row + rows) / step, np.arange(SIDE) / step
    i, j = down.astype(int), across.astype(int)
    below, right = (down - i).astype(np.float32)[:, np.newaxis], (across - j).astype(np.float32)
    lines = nodes[:, i] * (1 - below) + nodes[:, i + 1] * below
    return lines[:, :, j] * (1 - right) + lines[:, :, j + 1] * right


# The ways, each in a process of its own


def windows_of(scene: Any) -> Any:
    """Training windows of a scene as a run draws them, without labels."""
    from rsadapt.data.geotiff import RandomWindows
    from rsadapt.data.region import Region, Scene
    from rsadapt.geo.normalise import Normaliser

    region = Region("source", (Scene(scene, None, scene.grid.window),), tuple(range(1, BANDS + 1)))
    normalise = Normaliser((800.0,) * BANDS, (300.0,) * BANDS)
    return lambda region=region: RandomWindows(
        region, size=WINDOW, seed=0, normalise=normalise, scheme=None
    ), region


def opened(file: Path, case: Case) -> Any:
    """The scene, as a run sees it."""
    from rsadapt.geo.grid import crs_of
    from rsadapt.geo.harmonise import harmonise
    from rsadapt.geo.raster import Raster
    from rsadapt.geo.warp import warped

    raster = Raster(file)
    if not case.warped:
        return raster
    (grid,) = harmonise([raster], crs=crs_of(MERCATOR), pixel=0.5)
    return warped(raster, grid, "bilinear")


def rsadapt_way(way: str, case: Case, file: Path, _: Sequence[Bounds]) -> Callable[[int], Any]:
    """Batches of rsadapt's stream; "from empty", what is kept is begun anew each time."""
    from rsadapt.data.stream import stream
    from rsadapt.geo.kept import Scratch

    make, region = windows_of(opened(file, case))

    def kept() -> Any:
        return region.kept(Scratch(file.parent, 10**10), labels=False)

    full = kept() if way == "rsadapt" else region
    for block in full.scenes[0].image.blocks() if way == "rsadapt" else ():
        full.scenes[0].image.read(block, region.bands)

    def batches(workers: int) -> Iterator[Any]:
        seen = kept() if way == "rsadapt, from empty" else full
        return stream(make(seen), batch_size=BATCH, workers=workers)

    return batches


def torchgeo_way(
    way: str, case: Case, file: Path, bounds: Sequence[Bounds]
) -> Callable[[int], Any]:
    """Batches of torchgeo, of the windows given or of its own."""
    import torch
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import RandomGeoSampler

    dataset = RasterDataset(file, **warp_of(case, file))
    when = dataset.bounds[2]
    given = [
        (slice(left, right), slice(bottom, top), slice(when.start, when.stop))
        for left, bottom, right, top in bounds
    ]

    def batches(workers: int) -> Iterator[Any]:
        sampler: Any = given
        if way == "torchgeo, own windows":
            chance = torch.Generator().manual_seed(0)
            sampler = RandomGeoSampler(dataset, WINDOW, length=len(given), generator=chance)
        return iter(
            DataLoader(
                dataset,
                batch_size=BATCH,
                sampler=sampler,
                num_workers=workers,
                collate_fn=stack_samples,
            )
        )

    return batches


def warp_of(case: Case, file: Path) -> Values:
    """What torchgeo must be told to show a scene on the grid that rsadapt warps it to."""
    if not case.warped:
        return {}
    from rasterio.crs import CRS

    return {"crs": CRS.from_epsg(MERCATOR), "res": opened(file, case).grid.pixel_size}


def serve(connection: Connection, way: str, case: Case, file: Path, bounds: list[Bounds]) -> None:
    """Measure whenever told how many workers to use, until told 0."""
    import torch

    multiprocessing.set_start_method("fork", force=True)  # of workers, as in a run
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores
    make = rsadapt_way if way.startswith("rsadapt") else torchgeo_way
    begun = time.perf_counter()
    batches = make(way, case, file, bounds)
    connection.send(time.perf_counter() - begun)
    while workers := connection.recv():
        before = cpu_seconds()
        stream = batches(workers)
        skipped = 0 if way == "rsadapt, from empty" else 2 * workers + 2
        for _ in islice(stream, skipped):
            pass
        start = time.perf_counter()
        count = sum(1 for _ in islice(stream, case.batches))
        passed = time.perf_counter() - start
        connection.send("done")
        connection.recv()  # memory has been looked at
        del stream  # ends its workers
        cpu = (cpu_seconds() - before) / (count + skipped + 2 * workers) / BATCH
        connection.send({"rate": count * BATCH / passed, "cpu": cpu})


def cpu_seconds() -> float:
    """Of this process and the workers that it has ended."""
    whom = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, whom))


def plain(file: Path, processes: int) -> float:
    """Band-pixels a second of reading every stored block once."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(processes + 1)
    done = context.Barrier(processes + 1)
    readers = [
        context.Process(target=read_blocks, args=(file, number, processes, ready, done))
        for number in range(processes)
    ]
    for reader in readers:
        reader.start()
    ready.wait()
    start = time.perf_counter()
    done.wait()
    passed = time.perf_counter() - start
    for reader in readers:
        reader.join()
    return BANDS * SIDE * SIDE / passed


def read_blocks(file: Path, first: int, step: int, ready: Any, done: Any) -> None:
    """Read one in so many blocks with rasterio alone, into one array."""
    import rasterio

    with rasterio.open(file) as dataset:
        windows = [window for _, window in dataset.block_windows()][first::step]
        out = np.empty((BANDS, *dataset.block_shapes[0]), dataset.dtypes[0])
        ready.wait()
        for window in windows:
            dataset.read(window=window, out=out)
        done.wait()


# Measuring


def measure(case: Case, folder: Path, repeats: int) -> Values:
    """Rates, processor time and memory of each way, with each number of workers."""
    file = folder / case.file
    bounds = same_windows(case, file)
    check(case, file, bounds[:4])
    runs: dict[tuple[str, int], list[Values]] = {}
    reads: dict[int, list[float]] = {}
    with served(case, file, bounds) as (processes, setup):
        for _ in range(repeats):
            for workers in case.workers:
                reads.setdefault(workers, []).append(plain(file, workers))
                for way, (process, connection) in processes.items():
                    connection.send(workers)
                    connection.recv()
                    memory = held(process.pid)
                    connection.send(0)
                    run = connection.recv() | memory
                    runs.setdefault((way, workers), []).append(run)
                    print(f"{case.title}, {workers}: {way} {run['rate']:.0f}/s", flush=True)
    return {
        "bytes": file.stat().st_size,
        "block pixels per window pixel": touched(case, file, bounds),
        "seconds to keep the whole scene": round(setup["rsadapt"], 2),
        "workers": {
            str(workers): {
                "plain read": spread([read / 1e6 for read in reads[workers]]),
                "ways": {way: summary(runs[way, workers]) for way in processes},
            }
            for workers in case.workers
        },
    }


def same_windows(case: Case, file: Path) -> list[Bounds]:
    """Left, bottom, right and top of the windows that rsadapt draws, as many as are needed."""
    make, _ = windows_of(opened(file, case))
    samples = make()
    count = (case.batches + 4 * max(case.workers) + 2) * BATCH
    grids = [samples[number].grid for number in range(count)]
    return [
        (t.c, t.f + WINDOW * t.e, t.c + WINDOW * t.a, t.f)
        for t in (grid.transform for grid in grids)
    ]


def check(case: Case, file: Path, bounds: Sequence[Bounds]) -> None:
    """Refuse to compare what does not read the same.

    Raises:
        SystemExit: where torchgeo reads other values of a scene that nobody resamples.
    """
    ours = next(rsadapt_way("rsadapt, nothing kept", case, file, [])(0))
    theirs = next(torchgeo_way("torchgeo", case, file, bounds)(0))["image"]
    normal = (theirs - 800.0) / 300.0
    image, valid = ours.image[: len(bounds)], ours.valid[: len(bounds), None].expand_as(normal)
    alike = ((image - normal).abs() < 1e-4)[valid].float().mean().item()
    print(f"{case.title}: {alike:.2%} of the values are torchgeo's", flush=True)
    if case.file != "metric.tif" and not case.warped and alike < 1:
        raise SystemExit(f"{case.title}: rsadapt and torchgeo read other values")


def touched(case: Case, file: Path, bounds: Sequence[Bounds]) -> float | None:
    """Pixels of the blocks that a window touches, of each of its own; of warped windows unknown."""
    if case.warped:
        return None
    import rasterio

    with rasterio.open(file) as dataset:
        side, to_pixels = dataset.block_shapes[0][0], ~dataset.transform
    pixels = 0
    for left, _, _, top in bounds:
        col, row = round(to_pixels.a * left + to_pixels.c), round(to_pixels.e * top + to_pixels.f)
        across, down = ((n + WINDOW - 1) // side - n // side + 1 for n in (col, row))
        pixels += across * down * side * side
    return round(pixels / len(bounds) / WINDOW**2, 2)


@contextmanager
def served(case: Case, file: Path, bounds: list[Bounds]) -> Iterator[Any]:
    """A process for each way, with the seconds that each took to set up."""
    context = multiprocessing.get_context("spawn")
    processes: dict[str, Any] = {}
    setup = {}
    try:
        for way in WAYS:
            ours, its = context.Pipe()
            process = context.Process(target=serve, args=(its, way, case, file, bounds))
            process.start()
            its.close()
            processes[way] = process, ours
            setup[way] = ours.recv()
        yield processes, setup
    finally:
        for process, connection in processes.values():
            if process.is_alive():
                connection.send(0)
            process.join()


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    children: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += map(int, file.read_text().split())
        except OSError:  # it has ended
            continue
    return [pid, *(below for child in children for below in tree(child))]


def held(pid: int) -> Values:
    """Bytes of a process and all below it.

    Returns:
        "memory", where a page that n processes map counts once, and "resident peak", the most that
        each has ever held, where it counts n times.
    """
    processes = tree(pid)
    return {
        "memory": sum(kilobytes(pid, "smaps_rollup", "Pss:") for pid in processes) * 1024,
        "resident peak": sum(kilobytes(pid, "status", "VmHWM:") for pid in processes) * 1024,
    }


def kilobytes(pid: int, file: str, field: str) -> int:
    """What Linux tells of a process."""
    lines = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


# Reporting


def spread(values: Sequence[float]) -> list[float]:
    """Median, least and greatest."""
    return [round(found, 1) for found in (statistics.median(values), min(values), max(values))]


def summary(runs: Sequence[Values]) -> Values:
    """What a way came to with a number of workers."""
    return {
        "windows a second": spread([run["rate"] for run in runs]),
        "processor ms a window": spread([1000 * run["cpu"] for run in runs]),
        "memory MB": spread([run["memory"] / 1e6 for run in runs]),
        "resident peak MB": spread([run["resident peak"] / 1e6 for run in runs]),
    }


def describe(found: Values, folder: Path, repeats: int) -> Values:
    """Everything a reader needs to judge the figures."""
    import rasterio

    return {
        "command": "python benchmarks/windows.py",
        "scene": {"side": SIDE, "bands": BANDS, "dtype": "uint16", "decoded": 2 * BANDS * SIDE**2},
        "window": WINDOW,
        "batch": BATCH,
        "GDAL's cache": f"{CACHE} MB in each process; the file is in the page cache",
        "figures": f"median, least and greatest of {repeats}, ways by turns",
        "cases": found,
        "gdal": rasterio.__gdal_version__,
        "machine": machine("rsadapt", "torchgeo", "rasterio", "numpy", "torch"),
    }


def markdown(record: Values) -> str:
    """The record as Markdown tables."""
    lines = []
    for title, case in record["cases"].items():
        lines += [
            f"\n### {title}\n",
            "| workers | way | windows a second | of torchgeo's | of the plain read | "
            "processor | memory |",
            "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for workers, found in case["workers"].items():
            base = found["ways"]["torchgeo"]["windows a second"][0]
            read = found["plain read"][0]
            for way, row in found["ways"].items():
                rate, low, high = row["windows a second"]
                share = rate * WINDOW * WINDOW * BANDS / 1e6 / read
                lines.append(
                    f"| {workers} | {way} | {rate:.0f} ({low:.0f} to {high:.0f}) | "
                    f"{rate / base:.1f} | {share:.0%} | {row['processor ms a window'][0]:.1f} ms | "
                    f"{row['memory MB'][0]:.0f} MB |"
                )
            lines.append(f"| {workers} | plain read | {read:.0f} million values a second | | | | |")
        factor = case["block pixels per window pixel"]
        lines.append(
            f"\nThe file has {case['bytes'] / 1e6:.0f} MB; keeping all of it took "
            f"{case['seconds to keep the whole scene']:.1f} s"
            + (f"; a window touches blocks of {factor} times its pixels." if factor else ".")
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
