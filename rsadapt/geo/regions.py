"""Split a region in two so that scenes that overlap on the ground cannot leak across."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rsadapt.errors import ConfigError, DataError
from rsadapt.geo.grid import Grid, Window

Side = Literal["north", "south", "east", "west"]
Areas = list[list[Window]]
"""For each scene the rectangles of one part that together hold its pixels, each once."""

ROUNDING = 1e-6
"""The part of a pixel by which floating point may misplace the line."""


def split_areas(
    grids: Sequence[Grid], *, share: float, side: Side, buffer: int = 0
) -> tuple[Areas, Areas]:
    """Split a region by one straight line on the ground.

    The line has one CRS coordinate for all scenes. Pixels that it cuts belong to neither part, so
    a place that several scenes show is on one side in all of them.

    Args:
        grids: the pixels of each scene; north-up, in one CRS.
        share: validation's part of the region's pixels, 0 up to but not including 1.
        side: where validation lies, seen from the line.
        buffer: pixels of the coarsest scene that training keeps away from the line.

    Returns:
        Training's and validation's areas of each scene, in the order of `grids`; none where a
        scene has no pixel of a part.

    Raises:
        ConfigError: for a share outside [0, 1).
        DataError: for scenes in several CRSs, scenes that are not north-up, or a part left without
            any pixel.
    """
    check_share(share)
    if share == 0:
        return whole_scenes(grids)
    check_grids(grids)
    extents = [_extent(grid, side) for grid in grids]
    line = _line(extents, 1 - share)
    away = line - buffer * max(extent.size for extent in extents)
    training = [extent.before(away) for extent in extents]
    validation = [extent.beyond(line) for extent in extents]
    if not any(training) or not any(validation):
        raise DataError(
            f"a validation share of {share} with a buffer of {buffer} pixels leaves training or "
            f"validation without a pixel; choose another share or buffer, or give validation "
            f"scenes of their own"
        )
    return training, validation


def check_share(share: float) -> None:
    """Refuse a share outside [0, 1).

    Raises:
        ConfigError: for such a share.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"validation's share must be at least 0 and below 1, found {share}")


def whole_scenes(grids: Sequence[Grid]) -> tuple[Areas, Areas]:
    """All pixels of every scene for training, none for validation."""
    return [[grid.window] for grid in grids], [[] for _ in grids]


def coarsest(grids: Sequence[Grid]) -> tuple[float, float]:
    """The greatest (width, height) of a pixel of any scene, in CRS units."""
    sizes = [grid.pixel_size for grid in grids]
    return max(width for width, _ in sizes), max(height for _, height in sizes)


@dataclass(frozen=True)
class _Extent:
    """A scene along the axis that points to validation's side.

    Attributes:
        window: all of the scene's pixels.
        start: where the scene begins, in CRS units.
        size: length of a pixel, in CRS units.
        vertical: whether the axis runs along rows rather than columns.
        forward: whether it runs with their numbers rather than against them.
    """

    window: Window
    start: float
    size: float
    vertical: bool
    forward: bool

    @property
    def pixels(self) -> int:
        """Pixels along the axis."""
        return self.window.height if self.vertical else self.window.width

    @property
    def stop(self) -> float:
        """Where the scene ends, in CRS units."""
        return self.start + self.pixels * self.size

    def before(self, line: float) -> list[Window]:
        """The pixels that lie wholly before a line."""
        return self._cut(line - self.start, from_first=self.forward)

    def beyond(self, line: float) -> list[Window]:
        """The pixels that lie wholly beyond a line."""
        return self._cut(self.stop - line, from_first=not self.forward)

    def _cut(self, length: float, *, from_first: bool) -> list[Window]:
        """Whole pixels in a length, from the first row or column or else up to the last."""
        count = min(self.pixels, math.floor(length / self.size + ROUNDING))
        if count < 1:
            return []
        first = 0 if from_first else self.pixels - count
        if self.vertical:
            return [Window(first, 0, count, self.window.width)]
        return [Window(0, first, self.window.height, count)]


def _extent(grid: Grid, side: Side) -> _Extent:
    t = grid.transform
    left, top = t.c, t.f
    right, bottom = left + grid.width * t.a, top + grid.height * t.e
    start = {"east": left, "west": -right, "north": bottom, "south": -top}[side]
    vertical = side in ("north", "south")
    size = -t.e if vertical else t.a
    return _Extent(grid.window, start, size, vertical, forward=side in ("east", "south"))


def _line(extents: Sequence[_Extent], share: float) -> float:
    """Where a share of all pixels is passed: their number along the axis is piecewise linear."""
    starts = np.array([extent.start for extent in extents])
    stops = np.array([extent.stop for extent in extents])
    pixels = np.array([extent.window.height * extent.window.width for extent in extents])
    edges = np.union1d(starts, stops)
    passed = np.clip((edges[:, np.newaxis] - starts) / (stops - starts), 0, 1) @ pixels
    return float(np.interp(share * pixels.sum(), passed, edges))


def check_grids(grids: Sequence[Grid]) -> None:
    """Refuse scenes that no straight lines on the ground can split alike.

    Raises:
        DataError: for scenes in several CRSs, or scenes that are not north-up.
    """
    if any(grid.crs != grids[0].crs for grid in grids):
        raise DataError(
            f"the scenes of a region must share one CRS to be split, found "
            f"{', '.join(sorted({str(grid.crs) for grid in grids}))}; warp them to one, or give "
            f"validation scenes of their own"
        )
    for number, grid in enumerate(grids, start=1):
        if not grid.north_up:
            raise DataError(
                f"the scenes of a region must be north-up to be split, found the "
                f"transform {tuple(grid.transform)[:6]} (scene {number} of {len(grids)}); warp it "
                f"(gdalwarp), or give validation scenes of their own"
            )
