"""Where training windows lie: anywhere, at pixels of rare classes, or at labelled pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import DataError
from rsadapt.geo.grid import Window

SamplingName = Literal["uniform", "class_rarity", "label_presence"]

CELL = 64
"""Pixels of the side of a cell in which labels are counted, in regions of usual size."""

MOST_CELLS = 2**20
"""Above these a cell's side is doubled: with three classes in each they take 60 MiB."""


class Sampling(Protocol):
    """A way to draw windows."""

    def places(self, random: np.random.Generator) -> Iterator[tuple[int, Window]]:
        """Yield windows for one sample without end, each with the number of its area."""
        ...


class Uniform:
    """Windows anywhere: an area is drawn in proportion to its pixels, then a window in it.

    Args:
        areas: where windows lie; those too small for one are passed over.
        size: height and width of a window, pixels.

    Raises:
        DataError: where no area holds a window.
    """

    def __init__(self, areas: Sequence[Window], size: int) -> None:
        self.areas, self.size = areas, size
        self._numbers = [n for n, area in enumerate(areas) if _holds(area, size)]
        if not self._numbers:
            widest = max(areas, key=lambda area: min(area.height, area.width))
            raise DataError(
                f"no training area (at most {widest.height} x {widest.width} pixels) holds a "
                f"window of {size} x {size}; choose a smaller 'training.tile' (of a "
                f"translator 'translation.tile') or validation share, or larger validation blocks"
            )
        pixels = np.array([areas[n].height * areas[n].width for n in self._numbers], dtype=float)
        self._share = pixels / pixels.sum()

    def places(self, random: np.random.Generator) -> Iterator[tuple[int, Window]]:
        """Yield windows for one sample without end, each with the number of its area."""
        while True:
            number = self._numbers[int(random.choice(len(self._numbers), p=self._share))]
            area = self.areas[number]
            row = area.row + int(random.integers(area.height - self.size + 1))
            col = area.col + int(random.integers(area.width - self.size + 1))
            yield number, Window(row, col, self.size, self.size)


@dataclass(frozen=True)
class LabelCells:
    """How many labelled valid pixels of each class lie in square cells of each area.

    Cells begin at the image's first row and column and end with the area. Only cells that have
    pixels of a class are listed, in the order of the classes.

    Attributes:
        side: of a cell, pixels.
        totals: pixels of each class, and unlabelled ones as a last entry; int64 [classes + 1].
        places: number of the area, row and column of the cell; int32 [cells, 3].
        classes: train ids; uint8 [cells].
        pixels: how many; int64 [cells].
    """

    side: int
    totals: NDArray[np.int64]
    places: NDArray[np.int32]
    classes: NDArray[np.uint8]
    pixels: NDArray[np.int64]


def cell_side(pixels: int) -> int:
    """The side of the cells of a region of so many pixels: of at most `MOST_CELLS` cells."""
    side = CELL
    while pixels > MOST_CELLS * side**2:
        side *= 2
    return side


def count_cells(
    blocks: Iterable[tuple[int, Window, NDArray[np.uint8], NDArray[np.bool_]]],
    *,
    classes: int,
    side: int,
) -> LabelCells:
    """Count labels cell by cell, in the memory of one block.

    Args:
        blocks: number of the area, window, train ids [height, width], `IGNORE_INDEX` where
            unlabelled, and validity [height, width].
        classes: how many there are.
        side: of a cell, pixels.
    """
    totals = np.zeros(classes + 1, np.int64)
    found = [np.zeros((0, 5), np.int64)]
    for number, window, label, valid in blocks:
        counts = _in_block(window, label, valid, side, classes)
        totals += counts.sum(axis=(0, 1))
        row, col, index = np.nonzero(counts[:, :, :classes])
        area = np.full(len(row), number)
        down, right = window.row // side, window.col // side
        found.append(
            np.stack([index, area, row + down, col + right, counts[row, col, index]], axis=1)
        )
    listed = np.concatenate(found)
    extent = listed[:, :4].max(axis=0, initial=0) + 1
    keys, inverse = np.unique(np.ravel_multi_index(listed.T[:4], extent), return_inverse=True)
    pixels = np.zeros(len(keys), np.int64)
    np.add.at(pixels, inverse, listed[:, 4])  # blocks may cut a cell
    index, *place = np.unravel_index(keys, extent)
    places = np.stack(place, axis=1).astype(np.int32)
    return LabelCells(side, totals, places, index.astype(np.uint8), pixels)


def _in_block(
    window: Window, label: NDArray[np.uint8], valid: NDArray[np.bool_], side: int, classes: int
) -> NDArray[np.int64]:
    """Valid pixels by cell and class, unlabelled ones last [cell rows, cell columns, classes + 1].

    One row of cells after another, whose keys stay in the processor's cache: half the time of all.
    """
    cells = (window.col_stop - 1) // side - window.col // side + 1
    beyond = cells * (classes + 1)
    cols = np.arange(window.col, window.col_stop) // side - window.col // side
    rows = []
    for start in range(window.row // side * side, window.row_stop, side):
        part = slice(max(0, start - window.row), start + side - window.row)
        keys = cols * (classes + 1) + np.minimum(label[part], classes)
        keys[~valid[part]] = beyond
        rows.append(np.bincount(keys.ravel(), minlength=beyond + 1)[:beyond])
    return np.stack(rows).reshape(len(rows), cells, classes + 1)


class AtLabels:
    """Windows that hold a labelled pixel: a class is drawn, then a cell, then a window over it.

    A cell is drawn in proportion to its pixels of the class, a window evenly among those of the
    area that hold the cell's part of the area wholly.

    Args:
        cells: labels counted in cells no larger than a window.
        areas: where windows lie; those too small for one are passed over.
        size: height and width of a window, pixels.
        temperature: a class is drawn in proportion to exp((1 - f) / temperature), f its share of
            the labelled pixels (rare class sampling: Hoyer et al. 2022, "DAFormer", section 3.3,
            equations 3 and 4); by its share itself where None, that is every labelled pixel alike.

    Raises:
        DataError: where no labelled pixel lies in an area that holds a window.
    """

    def __init__(
        self, cells: LabelCells, areas: Sequence[Window], size: int, temperature: float | None
    ) -> None:
        self.areas, self.size, self.side = areas, size, cells.side
        holding = np.array([_holds(area, size) for area in areas])
        kept = holding[cells.places[:, 0]]
        self.places_of_cells, classes = cells.places[kept], cells.classes[kept]
        self._passed = np.cumsum(cells.pixels[kept])
        if not kept.any():
            raise DataError(
                f"no labelled valid pixel lies in a training area that holds a window of {size} x "
                f"{size}; choose a smaller 'training.tile' or 'training.sampling: uniform'"
            )
        stops = np.searchsorted(classes, np.arange(len(cells.totals)))
        self._bounds = np.concatenate([[0], self._passed])[stops]
        self.chances = _chances(np.diff(self._bounds), temperature)

    def places(self, random: np.random.Generator) -> Iterator[tuple[int, Window]]:
        """Yield windows for one sample without end, each with the number of its area.

        All hold a pixel of one class.
        """
        chosen = int(random.choice(len(self.chances), p=self.chances))
        while True:
            pixel = random.integers(self._bounds[chosen], self._bounds[chosen + 1])
            number, row, col = self.places_of_cells[np.searchsorted(self._passed, pixel, "right")]
            area = self.areas[number]
            yield (
                int(number),
                Window(
                    self._start(int(row), area.row, area.row_stop, random),
                    self._start(int(col), area.col, area.col_stop, random),
                    self.size,
                    self.size,
                ),
            )

    def _start(self, cell: int, start: int, stop: int, random: np.random.Generator) -> int:
        """Where a window over a cell begins along one axis of an area [start, stop)."""
        first, last = max(start, cell * self.side), min(stop, (cell + 1) * self.side)
        lowest, highest = max(start, last - self.size), min(first, stop - self.size)
        return int(random.integers(lowest, highest + 1))


def _chances(pixels: NDArray[np.int64], temperature: float | None) -> NDArray[np.float64]:
    """How likely each class is drawn [classes]; never one without a pixel."""
    shares = pixels / pixels.sum()
    if temperature is None:
        return np.asarray(shares)
    rarity = np.where(pixels > 0, (1 - shares) / temperature, -np.inf)
    weights = np.exp(rarity - rarity.max())
    return np.asarray(weights / weights.sum())


def _holds(area: Window, size: int) -> bool:
    return min(area.height, area.width) >= size
