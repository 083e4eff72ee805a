"""Workers are forked while other threads open, read and end, and none of them waits for ever."""

import os
import subprocess
import sys

import pytest

READING = """
import itertools, os, sys, threading, warnings
from pathlib import Path
import numpy as np, torch
from affine import Affine
from rasterio.crs import CRS
from rsadapt.data.geotiff import RandomWindows
from rsadapt.data.region import Region, Scene
from rsadapt.data.stream import stream
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.harmonise import harmonise
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.warp import WarpedRaster
from rsadapt.geo.writer import write_raster

warnings.simplefilter("ignore")  # of more workers than cores, and of forking with threads
torch.set_num_threads(1)
path, times = Path(sys.argv[1]), int(sys.argv[2])
place = Affine(2, 0, 3e5, 0, -2, 3e6)
values = np.random.default_rng(0).integers(1, 250, (2, 300, 300)).astype(np.uint8)
write_raster(path, values, Grid(300, 300, place, CRS.from_epsg(32645)), nodata=0)
(grid,) = harmonise([Raster(path)], crs=CRS.from_epsg(3857), pixel=1.7)

def scene():
    return Scene(WarpedRaster(Raster(path), grid, "bilinear"), None, grid.window)

def short():
    scene().image.read(Window(0, 0, 64, 64))

def busy():
    for number in itertools.count():
        thread = threading.Thread(target=short, daemon=True)
        thread.start()
        if number % 2:
            thread.join()

for _ in range(2):
    threading.Thread(target=busy, daemon=True).start()
windows = RandomWindows(
    Region("source", (scene(),), (1, 2)),
    size=32,
    seed=0,
    normalise=Normaliser((100.0,) * 2, (50.0,) * 2),
    scheme=None,
)
for start in range(times):
    short()
    batches = stream(windows, batch_size=2, workers=4, start=start)
    for _ in range(8):
        next(batches)
    batches.close()
    print(start, flush=True)
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems fork")
def test_workers_are_forked_whatever_other_threads_do(tmp_path):
    """Without the gate of geo/forking.py the first of them hangs."""
    times = 40
    done = subprocess.run(
        [sys.executable, "-c", READING, str(tmp_path / "a.tif"), str(times)],
        capture_output=True,
        text=True,
        timeout=400,
        check=True,
    )
    assert done.stdout.split()[-1] == str(times - 1)
