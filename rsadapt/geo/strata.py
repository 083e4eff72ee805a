"""The classes of maps as strata: how large they are, and pixels drawn from each at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError
from rsadapt.geo.grid import Window
from rsadapt.geo.overlap import refuse_overlap
from rsadapt.geo.place import ground_length
from rsadapt.geo.raster import Raster

STRIP = 32
"""Rows whose pixels count as equally large: in degrees they shrink towards the poles."""

Watch = Callable[[Sequence[tuple[Raster, Window]]], Iterator[tuple[Raster, Window]]]
"""Goes over blocks, telling how far it is."""


@dataclass(frozen=True)
class Strata:
    """The classes of maps.

    Attributes:
        pixels: of each class, in the order of the class table.
        areas: square metres of each.
    """

    pixels: tuple[int, ...]
    areas: tuple[float, ...]

    @property
    def weights(self) -> tuple[float, ...]:
        """Share of the area of each class."""
        total = sum(self.areas)
        return tuple(area / total for area in self.areas)


@dataclass(frozen=True)
class Unit:
    """A pixel that was drawn.

    Attributes:
        train_id: its class in the map, by position in the class table.
        map: which of the maps it lies in.
        row: of the pixel.
        col: of the pixel.
        x: of its centre, in the CRS of the first map.
        y: likewise.
    """

    train_id: int
    map: int
    row: int
    col: int
    x: float
    y: float


def measure(maps: Sequence[Raster], scheme: ClassScheme, watch: Watch = iter) -> Strata:
    """Measure the classes of maps, each strip with the ground size of its own pixels.

    Args:
        maps: class maps.
        scheme: their class table.
        watch: goes over the blocks.

    Raises:
        DataError: for a map without a place on Earth or with codes that the table does not know,
            maps without a valid pixel, or two that give the same ground a class.
    """
    for raster in maps:
        if ground_length(raster.grid) is None:
            raise _nowhere(raster)
    refuse_overlap(maps, scheme)
    found = count(maps, scheme, watch)
    if not any(found.pixels):
        raise DataError(f"{maps[0].path}: expected pixels with a class, found none")
    if not np.isfinite(found.areas).all():
        raise _nowhere(maps[0])
    return found


def count(maps: Sequence[Raster], scheme: ClassScheme, watch: Watch = iter) -> Strata:
    """Measure the classes of maps that may be empty, or have no place on Earth: NaN is their area.

    Args:
        maps: class maps.
        scheme: their class table.
        watch: goes over the blocks.

    Raises:
        DataError: for codes that the table does not know.
    """
    pixels = np.zeros(len(scheme), np.int64)
    areas = np.zeros(len(scheme), np.float64)
    for raster, window in watch(_blocks(maps)):
        train_ids = _train_ids(raster, window, scheme)
        for row in range(0, window.height, STRIP):
            strip = train_ids[row : row + STRIP]
            place = Window(window.row + row, window.col, *strip.shape)
            found = np.bincount(strip.ravel(), minlength=256)[: len(scheme)]
            pixels += found
            areas += found * _pixel_area(raster, place)
    return Strata(tuple(map(int, pixels)), tuple(map(float, areas)))


def draw(
    maps: Sequence[Raster],
    scheme: ClassScheme,
    strata: Strata,
    units: Sequence[int],
    *,
    seed: int,
    watch: Watch = iter,
) -> list[Unit]:
    """Draw pixels of each class at random, none twice, in an order that tells nothing.

    Args:
        maps: as `measure` was given.
        scheme: their class table.
        strata: what `measure` found.
        units: how many of each class; all of a class that has fewer.
        seed: decides which.
        watch: goes over the blocks.
    """
    random = np.random.default_rng(seed)
    ranks = [
        np.sort(random.choice(there, min(wanted, there), replace=False))
        for there, wanted in zip(strata.pixels, units, strict=True)
    ]
    seen = np.zeros(len(scheme), np.int64)
    drawn: list[Unit] = []
    numbers = {id(raster): number for number, raster in enumerate(maps)}
    for raster, window in watch(_blocks(maps)):
        train_ids = _train_ids(raster, window, scheme).ravel()
        counts = np.bincount(train_ids, minlength=256)[: len(scheme)]
        for train_id, wanted in enumerate(ranks):
            start, stop = np.searchsorted(
                wanted, [seen[train_id], seen[train_id] + counts[train_id]]
            )
            if start == stop:
                continue
            places = np.flatnonzero(train_ids == train_id)[wanted[start:stop] - seen[train_id]]
            for row, col in zip(*np.divmod(places, window.width), strict=True):
                whole = int(row) + window.row, int(col) + window.col
                drawn.append(
                    _unit(maps[0], raster, whole, number=numbers[id(raster)], train_id=train_id)
                )
        seen += counts
    return [drawn[number] for number in random.permutation(len(drawn))]


def _blocks(maps: Sequence[Raster]) -> list[tuple[Raster, Window]]:
    return [(raster, window) for raster in maps for window in raster.blocks()]


def _train_ids(raster: Raster, window: Window, scheme: ClassScheme) -> NDArray[np.uint8]:
    """Train ids [height, width] of a block, 255 where it has none."""
    values, valid = raster.read(window, [1])
    return scheme.encode(values[0], valid, where=raster.path)


def _pixel_area(raster: Raster, window: Window) -> float:
    """Square metres of a pixel in the middle of a window, NaN where there is no telling."""
    side = ground_length(raster.grid.crop(window))
    return math.nan if side is None else side**2


def _nowhere(raster: Raster) -> DataError:
    return DataError(
        f"{raster.path}: expected a map with a place on Earth, of whose classes areas can be "
        f"given, found the CRS {raster.grid.crs}; assign it (gdal_edit.py -a_srs)"
    )


def _unit(
    first: Raster, raster: Raster, place: tuple[int, int], *, number: int, train_id: int
) -> Unit:
    row, col = place
    t = raster.grid.transform
    x = t.a * (col + 0.5) + t.b * (row + 0.5) + t.c
    y = t.d * (col + 0.5) + t.e * (row + 0.5) + t.f
    if raster.grid.crs != first.grid.crs:
        (x,), (y,) = transform(raster.grid.crs, first.grid.crs, [x], [y])
    return Unit(train_id, number, row, col, x, y)
