"""How a scene is cut to be predicted: tiles and their weights, lanes of tiles, panels to finish."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import ConfigError
from rsadapt.geo.grid import Window, tile_starts

Blending = Literal["hann", "crop"]

BLOCK = 512
"""Pixels of a side of the blocks that maps are stored in; lanes and panels end with blocks."""

PANEL_ROWS = 2048
"""Rows of a panel: what is lost at most where a prediction is killed."""


@dataclass(frozen=True, eq=False)
class Span:
    """Where a tile lies along one axis, and what share its answer has there.

    Attributes:
        tile: the tile's first pixel.
        start: the first pixel that it has a share of.
        weights: float32 [pixels from `start` on]; those of all spans sum to one at every pixel.
    """

    tile: int
    start: int
    weights: NDArray[np.float32]

    @property
    def stop(self) -> int:
        """The pixel after the last that it has a share of."""
        return self.start + len(self.weights)

    @property
    def inside(self) -> slice:
        """The same pixels, counted from the tile's first."""
        return slice(self.start - self.tile, self.stop - self.tile)

    def clip(self, start: int, stop: int) -> Span:
        """Its share of the pixels from `start` to `stop`, of which it must have one."""
        first, last = max(start, self.start), min(stop, self.stop)
        return Span(self.tile, first, self.weights[first - self.start : last - self.start])


def spans(
    length: int, tile: int, overlap: int, blending: Blending = "hann", *, cell: int = 1
) -> list[Span]:
    """Cover an axis with tiles whose weights sum to one.

    By "hann" weights rise over the overlap as half a Hann window, sin^2 (Harris 1978, "On the use
    of windows for harmonic analysis", section V-C), taken at pixel centres so that none is zero.
    They are flat elsewhere and on the raster's own border; where one tile lies alone its weight is
    exactly one. By "crop" every pixel belongs to one tile. The last tile ends with the axis, or
    less than a cell beyond, and where it sees more of what its neighbour sees than the overlap,
    they share the middle of that. The weight of a tile's pixel is the product of its row's and its
    column's.

    Args:
        length: pixels along the axis.
        tile: pixels of a tile; a shorter axis is one span.
        overlap: pixels that neighbours see both, fewer than `tile`; the last two may see more.
        blending: how neighbours share them.
        cell: pixels of a cell of the network. Tiles begin with cells, so that a place on the ground
            lies in cells alike whatever the tile: else its class changes with that. The overlap
            grows by less than a cell where it must.

    Raises:
        ConfigError: for an overlap outside 0..tile - 1.
    """
    if not 0 <= overlap < tile:
        raise ConfigError(f"overlap must lie in 0..{tile - 1} for tiles of {tile}, found {overlap}")
    size = min(tile, length)
    starts = _starts(length, tile, tile - overlap, cell)
    shared = overlap if blending == "hann" else 0
    meet = [(after + before + size - shared) // 2 for before, after in pairwise(starts)]
    firsts, stops = [0, *meet], [*(first + shared for first in meet), length]
    tapered = [
        _taper(stop - first, shared, before=first > 0, after=stop < length)
        for first, stop in zip(firsts, stops, strict=True)
    ]
    total = np.zeros(length)
    for first, weights in zip(firsts, tapered, strict=True):
        total[first : first + len(weights)] += weights
    return [
        Span(start, first, (weights / total[first : first + len(weights)]).astype(np.float32))
        for start, first, weights in zip(starts, firsts, tapered, strict=True)
    ]


def _starts(length: int, tile: int, stride: int, cell: int) -> list[int]:
    """Where tiles begin: with cells, unless strides are shorter than one."""
    if stride < cell:
        return tile_starts(length, tile, stride)
    cells = -(-max(0, length - tile) // cell)
    return tile_starts(tile + cells * cell, tile, stride // cell * cell)


def _taper(size: int, overlap: int, *, before: bool, after: bool) -> NDArray[np.float64]:
    """Return ones that rise where a neighbour lies before and fall where one lies after."""
    rise = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / max(1, overlap)) ** 2
    weights = np.ones(size)
    if before:
        weights[:overlap] *= rise
    if after:
        weights[size - overlap :] *= rise[::-1]
    return weights


@dataclass(frozen=True)
class Lane:
    """Columns of a scene that are predicted together, from top to bottom.

    Attributes:
        number: its place from left to right.
        start: its first column.
        stop: the column after its last.
        spans: the tiles that have a share of it, clipped to it.
        read_start: the first column that they see.
        read_stop: the column after the last.
    """

    number: int
    start: int
    stop: int
    spans: tuple[Span, ...]
    read_start: int
    read_stop: int

    @property
    def width(self) -> int:
        """Columns that are predicted."""
        return self.stop - self.start

    @cached_property
    def followed(self) -> dict[Span, int]:
        """For each span the first pixel that a later one has a share of, or the lane's end."""
        starts = [*(span.start for span in self.spans[1:]), self.stop]
        return dict(zip(self.spans, starts, strict=True))


@dataclass(frozen=True)
class Plan:
    """How a scene is cut.

    Attributes:
        height: rows of the scene.
        tile: pixels of a tile's side.
        rows: the spans of its rows of tiles.
        lanes: from left to right.
    """

    height: int
    tile: int
    rows: tuple[Span, ...]
    lanes: tuple[Lane, ...]

    @property
    def panels(self) -> int:
        """How many panels a lane has."""
        return math.ceil(self.height / PANEL_ROWS)

    def panel(self, lane: Lane, number: int) -> Window:
        """The pixels of a lane's panel."""
        row = number * PANEL_ROWS
        return Window(row, lane.start, min(PANEL_ROWS, self.height - row), lane.width)


def plan(
    shape: tuple[int, int],
    *,
    tile: int,
    overlap: int,
    blending: Blending,
    widest: int,
    cell: int = 1,
) -> Plan:
    """Cut a scene into lanes of at most so many columns, and those into panels.

    Where two lanes meet, the tiles that lie across are predicted for both.

    Args:
        shape: (height, width) of the scene.
        tile: pixels of a tile's side.
        overlap: pixels that neighbouring tiles share.
        blending: how.
        widest: columns of a lane at most; whole blocks are taken, at least one.
        cell: see `spans`.

    Raises:
        ConfigError: for an overlap outside 0..tile - 1.
    """
    height, width = shape
    columns = spans(width, tile, overlap, blending, cell=cell)
    step = max(BLOCK, widest // BLOCK * BLOCK)
    edges = [*range(0, width, step), width]
    return Plan(
        height,
        tile,
        tuple(spans(height, tile, overlap, blending, cell=cell)),
        tuple(
            _lane(number, edges[number : number + 2], columns, tile)
            for number in range(len(edges) - 1)
        ),
    )


def _lane(number: int, edges: Sequence[int], columns: Sequence[Span], tile: int) -> Lane:
    """The lane between two edges."""
    start, stop = edges
    own = tuple(s.clip(start, stop) for s in columns if s.start < stop and s.stop > start)
    return Lane(number, start, stop, own, own[0].tile, min(own[-1].tile + tile, columns[-1].stop))
