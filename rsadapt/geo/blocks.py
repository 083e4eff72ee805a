"""Split a region into square blocks on the ground, with a buffer between its two parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import ConfigError, DataError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.regions import ROUNDING, Areas, check_grids, check_share, coarsest, whole_scenes

NEIGHBOURS = (-1, 0, 1)


def split_blocks(
    grids: Sequence[Grid], *, blocks: int, share: float, seed: int, buffer: int = 0
) -> tuple[Areas, Areas]:
    """Split a region by a lattice of square blocks, some of which are validation's.

    The lattice lies on the ground and is one for all scenes: a block that several scenes show is
    of one part in all of them. It begins at the region's north-western corner. Its unit, a pixel,
    is the coarsest scene's. A pixel belongs to a part where it lies wholly on that part's ground.

    Validation's blocks are well spread: along a curve that visits neighbours together, a block
    is taken whenever the pixels taken fall behind the share. Its pixels, before those that edges
    cut, are the share of the region's to half of the fullest block.

    Training has the ground that lies `buffer` pixels or more from every block of validation, be it
    along rows or along columns.

    Args:
        grids: the pixels of each scene; north-up, in one CRS.
        blocks: side of a block, pixels.
        share: validation's part of the region's pixels, 0 up to but not including 1.
        seed: decides which blocks.
        buffer: pixels between training and validation, fewer than `blocks`.

    Returns:
        Training's and validation's areas of each scene, in the order of `grids`: rectangles that
        cover each part's pixels exactly once.

    Raises:
        ConfigError: for a share outside [0, 1), or a buffer outside [0, blocks).
        DataError: for scenes in several CRSs, scenes that are not north-up, or a part left without
            any pixel.
    """
    check_share(share)
    if not 0 <= buffer < blocks:
        raise ConfigError(f"a buffer is at least 0 and below 'blocks' ({blocks}), found {buffer}")
    if share == 0:
        return whole_scenes(grids)
    check_grids(grids)
    scenes = _scenes(grids)
    places, pixels = _filled(scenes, blocks)
    chosen = places[_spread(places, pixels, share, seed)]
    layout = _Layout(blocks, buffer, frozenset(map(tuple, chosen.tolist())))
    parts = [layout.areas(scene) for scene in scenes]
    training, validation = [part[0] for part in parts], [part[1] for part in parts]
    if not any(training) or not any(validation):
        raise DataError(
            f"a validation share of {share} in blocks of {blocks} pixels with a buffer of {buffer} "
            f"leaves training or validation without a pixel ({len(places)} blocks hold the region, "
            f"{len(chosen)} of them for validation); choose smaller 'blocks', a smaller 'buffer' "
            f"or another 'share'"
        )
    return training, validation


@dataclass(frozen=True)
class _Axis:
    """A scene's rows or columns in the lattice's unit, counted from its begin.

    Attributes:
        start: where the first begins.
        size: length of each, at most 1.
        count: how many there are.
    """

    start: float
    size: float
    count: int

    def edges(self) -> NDArray[np.float64]:
        """Where each begins, and the last ends [count + 1]."""
        return self.start + self.size * np.arange(self.count + 1, dtype=np.float64)

    def in_blocks(self, side: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The blocks it meets, and how many rows or columns lie in each."""
        first = math.floor(self.start / side)
        stop = self.start + self.size * self.count
        numbers = np.arange(first, max(first + 1, math.ceil(stop / side)))
        inside = np.minimum(stop, side * (numbers + 1)) - np.maximum(self.start, side * numbers)
        return numbers, inside / self.size


def _scenes(grids: Sequence[Grid]) -> list[tuple[_Axis, _Axis]]:
    """Rows and columns of every scene."""
    width, height = coarsest(grids)
    west = min(grid.transform.c for grid in grids)
    north = max(grid.transform.f for grid in grids)
    return [
        (
            _Axis((north - grid.transform.f) / height, -grid.transform.e / height, grid.height),
            _Axis((grid.transform.c - west) / width, grid.transform.a / width, grid.width),
        )
        for grid in grids
    ]


def _filled(
    scenes: Sequence[tuple[_Axis, _Axis]], side: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The blocks (row, column) [blocks, 2] that scenes meet, and the pixels of all in each."""
    places, pixels = [], []
    for axes in scenes:
        (rows, heights), (cols, widths) = (axis.in_blocks(side) for axis in axes)
        places.append(np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2))
        pixels.append(np.outer(heights, widths).ravel())
    found, inverse = np.unique(np.concatenate(places), axis=0, return_inverse=True)
    summed = np.zeros(len(found))
    np.add.at(summed, inverse.ravel(), np.concatenate(pixels))
    return found, summed


def _spread(
    places: NDArray[np.int64], pixels: NDArray[np.float64], share: float, seed: int
) -> NDArray[np.bool_]:
    """Which blocks are validation's [blocks].

    Blocks stand in Z-order (Morton 1966), shuffled among so many neighbours as hold about one
    block of the rarer part; along that order, what the share is behind by is carried on, so that
    it never exceeds half of the fullest block.
    """
    rank = np.empty(len(places), np.int64)
    rank[np.argsort(_interleaved(places))] = np.arange(len(places))
    run = math.ceil(1 / min(share, 1 - share))
    random = np.random.default_rng(seed).random(len(places))
    chosen = np.zeros(len(places), bool)
    behind = 0.0
    for number in np.lexsort((random, rank // run)):
        behind += share * pixels[number]
        if behind >= pixels[number] / 2:
            behind -= pixels[number]
            chosen[number] = True
    return chosen


def _interleaved(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bits of row and column taken in turn, by which near blocks get near numbers."""
    number = np.zeros(len(places), np.int64)
    for bit in range(31):
        for axis in (0, 1):
            number |= (places[:, axis] >> bit & 1) << (2 * bit + axis)
    return number


@dataclass(frozen=True)
class _Layout:
    """Which ground is whose.

    Every block is cut into cells at its buffers' edges, so that a cell is wholly training's,
    validation's or neither's.

    Attributes:
        side: of a block.
        buffer: between the parts.
        chosen: validation's blocks, (row, column).
    """

    side: int
    buffer: int
    chosen: frozenset[tuple[int, int]]

    def areas(self, scene: tuple[_Axis, _Axis]) -> tuple[list[Window], list[Window]]:
        """Training's and validation's rectangles of a scene."""
        rows, cols = (_Groups.of(axis, self._cells(axis)) for axis in scene)
        (up, row_reach), (left, col_reach) = (self._blocks(group.cells) for group in (rows, cols))
        taken = self._taken(up, left)
        near = np.zeros((len(row_reach), len(col_reach)), bool)
        for down in NEIGHBOURS:
            for right in NEIGHBOURS:
                there = taken[np.ix_(up - up[0] + 1 + down, left - left[0] + 1 + right)]
                near |= there & np.logical_and.outer(row_reach[:, down], col_reach[:, right])
        validation = taken[np.ix_(up - up[0] + 1, left - left[0] + 1)]
        return _rectangles(rows, cols, ~near), _rectangles(rows, cols, validation)

    def _offsets(self) -> NDArray[np.int64]:
        """Where the cells of a block begin in it."""
        return np.unique([0, self.buffer, (self.side - self.buffer) % self.side])

    def _cells(self, axis: _Axis) -> NDArray[np.int64]:
        """The first and the last cell that each row or column touches [count, 2]."""
        edges = axis.edges()
        slack = ROUNDING * axis.size
        touched = np.stack([edges[:-1] + slack, edges[1:] - slack], axis=1)
        block = np.floor(touched / self.side).astype(np.int64)
        offsets = self._offsets()
        inside = np.searchsorted(offsets, touched - block * self.side, side="right") - 1
        return block * len(offsets) + inside

    def _blocks(self, cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The block of each cell, and which blocks it lies nearer to than the buffer.

        The latter [cells, 3]: the block itself, the next and the one before.
        """
        offsets = self._offsets()
        block, inside = np.divmod(cells, len(offsets))
        stops = np.append(offsets[1:], self.side)
        near = [
            np.ones(len(cells), bool),
            stops[inside] > self.side - self.buffer,
            offsets[inside] < self.buffer,
        ]
        return block, np.stack(near, axis=1)

    def _taken(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether blocks are validation's, from one before the first to one after the last."""
        down = range(int(rows[0]) - 1, int(rows[-1]) + 2)
        right = range(int(cols[0]) - 1, int(cols[-1]) + 2)
        return np.array([[(row, col) in self.chosen for col in right] for row in down])


@dataclass(frozen=True)
class _Groups:
    """A scene's rows or columns, those that touch the same cells as one.

    Attributes:
        edges: where each group begins, and the last ends [groups + 1].
        touched: the first and the last cell of each, as positions in `cells` [groups, 2].
        cells: all cells from the first to the last.
    """

    edges: NDArray[np.int64]
    touched: NDArray[np.int64]
    cells: NDArray[np.int64]

    @classmethod
    def of(cls, axis: _Axis, touched: NDArray[np.int64]) -> _Groups:
        first, last = touched[0, 0], touched[-1, 1]
        begins = np.flatnonzero(np.any(np.diff(touched, axis=0), axis=1)) + 1
        edges = np.concatenate([[0], begins, [axis.count]])
        return cls(edges, touched[edges[:-1]] - first, np.arange(first, last + 1))

    def within(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether all cells that a group touches are set; `cells` [cells, any] -> [groups, any]."""
        first, last = self.touched.T
        whole: NDArray[np.bool_] = cells[first]
        for step in range(1, int(np.max(last - first)) + 1):
            whole = whole & cells[np.minimum(first + step, last)]
        return whole


def _rectangles(rows: _Groups, cols: _Groups, cells: NDArray[np.bool_]) -> list[Window]:
    """Cover the pixels that touch only cells that are set, each once.

    From the first pixel not yet covered the largest rectangle that begins there is taken.
    """
    free = cols.within(rows.within(cells).T).T.copy()
    windows = []
    for row in range(len(free)):
        while free[row].any():
            col = int(np.argmax(free[row]))
            widths = np.minimum.accumulate(_runs(free[row:, col:]))
            widths = widths[widths > 0]
            heights = rows.edges[row + 1 : row + 1 + len(widths)] - rows.edges[row]
            best = int(np.argmax(heights * (cols.edges[col + widths] - cols.edges[col])))
            stop = col + int(widths[best])
            free[row : row + best + 1, col:stop] = False
            top, left = int(rows.edges[row]), int(cols.edges[col])
            width = int(cols.edges[stop]) - left
            windows.append(Window(top, left, int(heights[best]), width))
    return windows


def _runs(free: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many are set from the beginning of each row on; no more than in the first row."""
    width = int(np.argmin(np.append(free[0], False)))
    ended = np.concatenate([~free[:, :width], np.ones((len(free), 1), bool)], axis=1)
    runs: NDArray[np.int64] = np.argmax(ended, axis=1)
    return runs
