"""White or black that runs in from the edges of scenes: borders that are not flagged as missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.geo.grid import Window
from rsadapt.geo.raster import Raster

EDGE = 256
"""Pixels of a side of the windows that are looked at along the edges of a large scene."""

MOST_SCENES = 64
"""Scenes that are looked at, evenly spaced among all."""

WIDE = 0.1
"""Share of a scene's pixels from which a border is one by any measure."""

NEARLY = 12
"""How far 8-bit values may lie from pure white or black, since JPEG blurs them; where a
scene flags missing pixels by a nodata value, dark ones beside them are meant."""


@dataclass(frozen=True)
class Border:
    """What runs in from the scenes' edges in one colour.

    Attributes:
        share: of the valid pixels that were looked at, 0..1.
        scenes: how many scenes have a border of `WIDE` or more.
    """

    share: float
    scenes: int


@dataclass(frozen=True)
class Borders:
    """Borders that are not flagged as missing.

    Attributes:
        white: of values at the type's upper end in all bands.
        black: of values of 0 in all bands.
        scenes: how many scenes were looked at.
    """

    white: Border
    black: Border
    scenes: int


def borders(scenes: Iterable[tuple[Raster, Sequence[int]]]) -> Borders:
    """Look at windows along the edges of some scenes.

    Args:
        scenes: each with the 1-based bands to look at.

    Raises:
        DataError: for a scene that cannot be read.
    """
    every = list(scenes)
    spaced = np.linspace(0, len(every) - 1, min(MOST_SCENES, len(every))).round().astype(int)
    counts = np.array([_count(*every[number]) for number in spaced.tolist()])
    seen, white, black = counts.T
    return Borders(_border(white, seen), _border(black, seen), len(spaced))


def _border(found: NDArray[np.int64], seen: NDArray[np.int64]) -> Border:
    wide = found >= WIDE * np.maximum(seen, 1)
    return Border(float(found.sum() / max(seen.sum(), 1)), int(wide.sum()))


def _count(raster: Raster, bands: Sequence[int]) -> tuple[int, int, int]:
    """Valid pixels along a scene's edges: all, and those that run in white or black."""
    seen, white, black = 0, 0, 0
    for window in edge_windows(raster.grid.window):
        values, valid = raster.read(window, bands)
        sides = _outer_sides(window, raster.grid.window)
        seen += int(valid.sum())
        slack = NEARLY if values.dtype == np.uint8 and raster.nodata is None else 0
        whites, blacks = (_of_colour(values, slack, upper=upper) for upper in (True, False))
        white += int((running_in(whites | ~valid, sides) & valid).sum())
        black += int((running_in(blacks | ~valid, sides) & valid).sum())
    return seen, white, black


def edge_windows(area: Window) -> list[Window]:
    """Windows at the corners and the middles of the edges of an area; all of a small one."""
    if max(area.height, area.width) <= 2 * EDGE:
        return [area]
    windows = [
        Window(row, col, min(EDGE, area.height), min(EDGE, area.width))
        for row in _thirds(area.height)
        for col in _thirds(area.width)
    ]
    return [window for window in windows if any(_outer_sides(window, area))]


def running_in(same: NDArray[np.bool_], sides: tuple[bool, bool, bool, bool]) -> NDArray[np.bool_]:
    """Which pixels a straight line reaches from a side over pixels that are all the same.

    Args:
        same: bool [height, width].
        sides: whether to start at the top, bottom, left and right.
    """
    reached = np.zeros_like(same)
    for wanted, (axis, turn) in zip(sides, [(0, 1), (0, -1), (1, 1), (1, -1)], strict=True):
        if wanted:
            way = np.s_[::turn] if axis == 0 else np.s_[:, ::turn]
            reached[way] |= np.logical_and.accumulate(same[way], axis=axis)
    return reached


def _of_colour(values: NDArray[Any], slack: int, *, upper: bool) -> NDArray[np.bool_]:
    """Where all bands are white (the type's upper end; floats have none) or black."""
    if not upper:
        found = (values <= slack) & (values >= 0)
    elif values.dtype.kind in "iu":
        found = values >= np.iinfo(values.dtype).max - slack
    else:
        found = np.zeros(values.shape, bool)
    return np.asarray(found.all(axis=0))


def _outer_sides(window: Window, whole: Window) -> tuple[bool, bool, bool, bool]:
    return (
        window.row == whole.row,
        window.row_stop == whole.row_stop,
        window.col == whole.col,
        window.col_stop == whole.col_stop,
    )


def _thirds(length: int) -> list[int]:
    """Where windows start at the beginning, in the middle and at the end of a length."""
    last = max(0, length - EDGE)
    return sorted({0, last // 2, last})
