"""A fingerprint changes with whatever decides pixels, and with nothing else."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from rsadapt.geo.fingerprint import fingerprint
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.raster import Raster
from rsadapt.geo.warp import WarpedRaster
from rsadapt.geo.writer import write_raster

GRID = Grid(20, 30, Affine(2, 0, 0, 0, -2, 0), CRS.from_epsg(32632))


@pytest.fixture
def file(tmp_path):
    write_raster(tmp_path / "a.tif", np.ones((1, 20, 30), np.uint8), GRID)
    return tmp_path / "a.tif"


def test_same_parts_have_one_fingerprint_in_any_process(file):
    code = (
        "from pathlib import Path; from rsadapt.geo.fingerprint import fingerprint;"
        "from rsadapt.geo.raster import Raster; from rsadapt.geo.warp import WarpedRaster;"
        "import dataclasses, sys; from affine import Affine;"
        "raster = Raster(sys.argv[1]);"
        "grid = dataclasses.replace(raster.grid, transform=Affine(3, 0, 0, 0, -3, 0));"
        "print(fingerprint(Path(sys.argv[1]), WarpedRaster(raster, grid, 'bilinear')))"
    )
    grid = replace(GRID, transform=Affine(3, 0, 0, 0, -3, 0))
    here = fingerprint(file, WarpedRaster(Raster(file), grid, "bilinear"))
    run = [sys.executable, "-c", code, str(file)]
    there = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    assert here == there
    assert len(here) == 32


def test_parts_of_any_kind_tell(file):
    transform = Affine(2, 0, 1, 0, -2, 0)
    parts = [
        (None,),
        (1,),
        ("1",),
        ([1],),
        (GRID,),
        (replace(GRID, transform=transform),),
        (replace(GRID, crs=CRS.from_epsg(32633)),),
        (Window(0, 0, 2, 3),),
        (Window(0, 0, 3, 2),),
        (np.arange(3),),
        (np.arange(4),),
        (file,),
        (Raster(file),),
        (WarpedRaster(Raster(file), GRID, "nearest"),),
        (WarpedRaster(Raster(file), GRID, "cubic"),),
    ]
    assert len({fingerprint(*part) for part in parts}) == len(parts)


def test_file_counts_by_name_size_and_time(file, tmp_path):
    raster, mark = Raster(file), fingerprint(file)
    kept = file.stat()
    moved = tmp_path / "elsewhere" / file.name
    moved.parent.mkdir()
    moved.write_bytes(file.read_bytes())
    os.utime(moved, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert fingerprint(moved) == mark
    within = fingerprint(raster)
    os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns + 1))
    assert fingerprint(file) != mark
    assert fingerprint(raster) != within
    file.unlink()
    assert fingerprint(file) != mark
