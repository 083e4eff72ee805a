"""GDAL's cache of decoded blocks, which takes a twentieth of the machine's memory by default."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import rasterio

from rsadapt.geo.raster import Raster

CACHE = 32 * 1024 * 1024
"""Bytes: enough where each block is read or written once, in windows of whole blocks."""

LARGE_BLOCK = 1024
"""Rows of blocks from which on a row of them is read in parts, so that the cache must hold it."""


@contextmanager
def small_cache(raster: Raster | None = None) -> Iterator[None]:
    """Let GDAL keep few blocks, in the whole process, and as many as before on leaving.

    Where the user's environment sets GDAL_CACHEMAX that is left alone.

    Args:
        raster: what is read, in rows of whole blocks or, of blocks larger than `LARGE_BLOCK`, less.
    """
    if "GDAL_CACHEMAX" in os.environ:
        yield
        return
    rows = 0 if raster is None or raster.block_shape[0] <= LARGE_BLOCK else raster.block_shape[0]
    again = 0 if raster is None else rows * raster.grid.width * raster.count
    size = 1 if raster is None else np.dtype(raster.stored).itemsize
    with rasterio.Env(GDAL_CACHEMAX=CACHE + again * size):
        yield
