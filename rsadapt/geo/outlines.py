"""Outlines of classes in whole pixels: rings of corners, with nodes wherever outlines meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import shapes

from rsadapt.geo.raster import open_raster


@dataclass(frozen=True)
class Outlines:
    """Polygons of whole pixels, of which none overlap, as flat arrays.

    A polygon's first ring is its outer one, the others are its holes. A ring ends with the corner
    that it began with, and its edges run along rows or columns.

    Attributes:
        corners: int32 [corners, 2], (column, row) of pixel corners.
        rings: int64 [rings + 1], where each ring's corners begin, and their number.
        polygons: int64 [polygons + 1], where each polygon's rings begin, and their number.
        values: uint8 [polygons], what all pixels of a polygon hold.
    """

    corners: NDArray[np.int32]
    rings: NDArray[np.int64]
    polygons: NDArray[np.int64]
    values: NDArray[np.uint8]

    def __len__(self) -> int:
        """How many polygons there are."""
        return len(self.values)

    def noded(self) -> Outlines:
        """Make every corner of an outline a corner of all outlines that pass through it.

        Then neighbours share whole edges, which makes the polygons a coverage (OGC): a line that
        is shared can be simplified once for both sides.
        """
        inserted = [self._passed(along, across) for along, across in ((0, 1), (1, 0))]
        edges, corners = (np.concatenate(parts) for parts in zip(*inserted, strict=True))
        added = np.bincount(edges, minlength=len(self.corners))
        before = np.concatenate([[0], np.cumsum(added)])
        return replace(
            self,
            corners=np.insert(self.corners, edges + 1, corners, axis=0),
            rings=self.rings + before[self.rings],
        )

    def pixels(self) -> NDArray[np.int64]:
        """The pixels of each polygon, int64 [polygons]."""
        cols, rows = self.corners.T.astype(np.int64)
        return self._enclosed(cols * rows)

    def sums(self, strips: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
        """Sum rasters over the pixels of each polygon, exactly for integers.

        As the integral over a region is one along its outline (Green's theorem), the sum over a
        polygon follows from the summed-area table (Crow 1984, "Summed-area tables for texture
        mapping") at its corners alone. Of the table a strip is held at a time.

        Args:
            strips: numbers [rasters, h, width], from the first row to the last.

        Returns:
            Sums [rasters, polygons].
        """
        cols, rows = self.corners.T
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        table, above, row = np.zeros((1, len(order))), np.zeros(1), 0
        for strip in strips:
            rasters, height, width = strip.shape
            if row == 0:
                table = np.zeros((rasters, len(order)))
            sums = np.zeros((rasters, height + 1, width + 1))
            np.cumsum(strip, axis=2, dtype=np.float64, out=sums[:, 1:, 1:])
            sums[:, 0] = above
            np.cumsum(sums, axis=1, out=sums)
            here = order[slice(*np.searchsorted(ordered, [row, row + height + 1]))]
            table[:, here] = sums[:, rows[here] - row, cols[here]]
            above, row = sums[:, -1].copy(), row + height
        return self._enclosed(table)

    def geometries(self) -> NDArray[Any]:
        """Shapely polygons in whole pixels (x = column, y = row), object [polygons]."""
        import shapely

        if not len(self):
            return np.empty(0, object)
        return np.asarray(
            shapely.from_ragged_array(
                shapely.GeometryType.POLYGON,
                self.corners.astype(np.float64),
                (self.rings, self.polygons),
            )
        )

    def _edges(self, across: int) -> NDArray[np.int64]:
        """The edges that run along the other axis, each by the number of its first corner."""
        level = self.corners[:, across]
        same = level[:-1] == level[1:]
        same[self.rings[1:-1] - 1] = False  # from the end of a ring to the start of the next
        return np.flatnonzero(same)

    def _passed(self, along: int, across: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Corners inside edges that run along an axis, in the edges' order and direction.

        Returns:
            The number of the edge that each lies on, int64 [found], and the corners [found, 2].
        """
        stride = int(self.corners.max(initial=0)) + 1
        keys = self.corners[:, across].astype(np.int64) * stride + self.corners[:, along]
        known, rank = np.unique(keys, return_inverse=True)
        edges = self._edges(across)
        steps = rank[edges + 1] - rank[edges]
        edges, steps = edges[np.abs(steps) > 1], steps[np.abs(steps) > 1]
        number = np.abs(steps) - 1
        count = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + 1
        found = known[np.repeat(rank[edges], number) + count * np.repeat(np.sign(steps), number)]
        corners = np.empty((len(found), 2), np.int32)
        corners[:, across], corners[:, along] = np.divmod(found, stride)
        return np.repeat(edges, number), corners

    def _enclosed(self, table: NDArray[Any]) -> NDArray[Any]:
        """What a summed-area table, given at the corners [..., corners], holds in each polygon."""
        if not len(self):
            return np.zeros((*table.shape[:-1], 0), table.dtype)
        rises = np.zeros_like(table)
        down = self._edges(across=0)
        rises[..., down] = table[..., down + 1] - table[..., down]
        inside = np.abs(np.add.reduceat(rises, self.rings[:-1], axis=-1))
        outer = np.zeros(inside.shape[-1], bool)
        outer[self.polygons[:-1]] = True
        signed = np.where(outer, inside, -inside)
        return np.asarray(np.add.reduceat(signed, self.polygons[:-1], axis=-1))


def trace(path: Path) -> Outlines:
    """Outline the pieces of a raster: pixels of one value that hang together by their sides.

    The raster is read as a stream, so pieces are whole whatever its size. GDAL places the outlines
    of a file by its transform, so the raster must have none.

    Args:
        path: a raster of one band, uint8, as `write_scratch` writes it; zeros are left out.
    """
    corners: list[NDArray[np.int32]] = []
    holes: list[int] = []
    values: list[int] = []
    for rings, value in _pieces(path):
        corners.extend(np.array(ring, np.int32) for ring in rings)
        holes.append(len(rings))
        values.append(value)
    return Outlines(
        np.concatenate([np.empty((0, 2), np.int32), *corners]),
        _offsets([len(ring) for ring in corners]),
        _offsets(holes),
        np.array(values, np.uint8),
    )


def _pieces(path: Path) -> Iterator[tuple[list[list[tuple[float, float]]], int]]:
    with open_raster(path) as dataset:
        band = rasterio.band(dataset, 1)
        for polygon, value in shapes(band, mask=band):
            yield polygon["coordinates"], int(value)


def _offsets(lengths: list[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
