"""Pixels kept as they were decoded, in a temporary file that the processes reading them share."""

from __future__ import annotations

import math
import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rsadapt.errors import DataError
from rsadapt.geo.grid import Window
from rsadapt.geo.raster import Raster

TILE_PIXELS = 256 * 256
"""The least pixels of a tile: smaller blocks are kept several together."""

SPARE = 2
"""At most one part in so many of what a disk has free is used."""

Pixels = tuple[NDArray[Any], NDArray[np.bool_]]


class Scratch:
    """Room on a disk for decoded pixels, which this process and those forked from it share.

    It is a file without a name, gone with the last process however that ends, that grows with what
    is written into it.

    Args:
        folder: of the disk to use.
        limit: the most bytes to use; less where the disk has not `SPARE` times as much free.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._left = min(limit, shutil.disk_usage(folder).free // SPARE)
        self._size = 0
        self._file, name = tempfile.mkstemp(dir=folder)
        Path(name).unlink()
        weakref.finalize(self, os.close, self._file)
        self._map: mmap.mmap | None = None

    def take(self, size: int) -> int | None:
        """Where the next so many bytes are, before any is written; None where there is no room."""
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        if size > self._left:
            return None
        start = self._size
        self._size, self._left = self._size + size, self._left - size
        os.truncate(self._file, self._size)
        return start

    def write(self, values: NDArray[Any], start: int) -> None:
        """Write values down; all processes see them at once.

        Raises:
            OSError: where the disk is full.
        """
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
        while data:  # a file is not mapped to be written: on a full disk that would end the process
            done = os.pwrite(self._file, data, start)
            data, start = data[done:], start + done

    def view(self, shape: tuple[int, ...], dtype: DTypeLike, start: int) -> NDArray[Any]:
        """What was written there, as it lies in the file."""
        if self._map is None:
            self._map = mmap.mmap(self._file, self._size, access=mmap.ACCESS_READ)
        return np.frombuffer(self._map, dtype, math.prod(shape), start).reshape(shape)


class Store:
    """Decoded pixels and their validity, tile by tile, each read from the original once.

    Args:
        read: values [bands, height, width] of `dtype` and validity of a window.
        bands: how many there are.
        dtype: of the values.
        shape: (height, width) of all that can be read.
        tile: (rows, columns) of a tile, best those of the original's blocks.
    """

    def __init__(
        self,
        read: Callable[[Window], Pixels],
        *,
        bands: int,
        dtype: DTypeLike,
        shape: tuple[int, int],
        tile: tuple[int, int],
    ) -> None:
        self._read, self._bands, self._dtype, self._shape = read, bands, np.dtype(dtype), shape
        self.tile = min(tile[0], shape[0]), min(tile[1], shape[1])
        rows, cols = self.tile
        self._across = math.ceil(shape[1] / cols)
        self._tiles = math.ceil(shape[0] / rows) * self._across
        align = self._dtype.itemsize
        self._validity = bands * rows * cols * align  # where it begins in a tile
        self._step = (self._validity + rows * cols + align - 1) // align * align
        self._scratch: Scratch | None = None
        self._start = 0
        self._whole = mmap.mmap(-1, self._tiles)  # shared with forked processes: 1 where kept

    def settle(self, scratch: Scratch) -> bool:
        """Keep pixels there from now on, if there is room for all."""
        start = scratch.take(self._tiles * self._step)
        if start is not None:
            self._scratch, self._start = scratch, start
        return start is not None

    def read(self, window: Window) -> Pixels:
        """Values [bands, height, width] and validity of a window, as the original gives them.

        Raises:
            DataError: where the original cannot be read.
        """
        values = np.empty((self._bands, window.height, window.width), self._dtype)
        valid = np.empty((window.height, window.width), bool)
        for number, tile in self._touched(window):
            kept = self._kept(number, tile)
            if kept is None:
                return self._read(window)
            part = window.intersect(tile) or tile
            here, there = _within(part, window), _within(part, tile)
            values[:, *here] = kept[0][:, *there]
            valid[here] = kept[1][there]
        return values, valid

    def _touched(self, window: Window) -> Iterator[tuple[int, Window]]:
        """The tiles of which a window has pixels, by number."""
        rows, cols = self.tile
        for down in range(window.row // rows, (window.row_stop - 1) // rows + 1):
            for along in range(window.col // cols, (window.col_stop - 1) // cols + 1):
                row, col = down * rows, along * cols
                height, width = min(rows, self._shape[0] - row), min(cols, self._shape[1] - col)
                yield down * self._across + along, Window(row, col, height, width)

    def _kept(self, number: int, tile: Window) -> Pixels | None:
        """A tile's pixels in the file; None where they cannot be put there."""
        scratch = self._scratch
        if scratch is None:
            return None
        start = self._start + number * self._step
        if not self._whole[number]:
            try:  # another process may do the same at once, and write the same
                values, valid = self._read(tile)
                if values.dtype != self._dtype:
                    return None
                scratch.write(values, start)
                scratch.write(valid, start + self._validity)
            except (DataError, OSError):  # the window is then read by itself, and may be whole
                return None
            self._whole[number] = 1
        shape = tile.height, tile.width
        values = scratch.view((self._bands, *shape), self._dtype, start)
        return values, scratch.view(shape, bool, start + self._validity)


class KeptRaster(Raster):
    """A raster that reads some of its bands through a store; else it is the raster itself.

    It pickles as the original: a store is shared by forking alone.

    Args:
        raster: the original.
        bands: the 1-based bands that are kept; others are read from the original.
    """

    def __init__(self, raster: Raster, bands: Sequence[int]) -> None:
        vars(self).update(vars(raster))
        self.original, self.bands = raster, tuple(bands)
        self.store = Store(
            lambda window: raster.read(window, bands),
            bands=len(bands),
            dtype=raster.dtype,
            shape=raster.grid.shape,
            tile=tile_of(raster.block_shape),
        )

    def __repr__(self) -> str:
        return f"KeptRaster({self.original!r}, {self.bands})"

    def __reduce__(self) -> tuple[Any, ...]:
        return self.original.__reduce__()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> Pixels:
        """Read pixels and whether they are valid, as the original does."""
        numbers = tuple(range(1, self.count + 1) if bands is None else bands)
        if numbers != self.bands:
            return self.original.read(window, bands)
        area = window or self.grid.window
        self._check(area, numbers)
        return self.store.read(area)


def kept(raster: Raster, bands: Sequence[int], scratch: Scratch) -> Raster:
    """The raster with these bands kept; itself where there is no room for them."""
    view = KeptRaster(raster, bands)
    return view if view.store.settle(scratch) else raster


def tile_of(block: tuple[int, int]) -> tuple[int, int]:
    """Whole blocks that are worth a tile: the smaller side doubles until they have the pixels."""
    rows, cols = block
    while rows * cols < TILE_PIXELS:
        rows, cols = (rows, 2 * cols) if cols < rows else (2 * rows, cols)
    return rows, cols


def _within(part: Window, whole: Window) -> tuple[slice, slice]:
    """The index of a window's pixels in an array of another that contains it."""
    row, col = part.row - whole.row, part.col - whole.col
    return slice(row, row + part.height), slice(col, col + part.width)
