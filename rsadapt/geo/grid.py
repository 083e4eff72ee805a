"""Where pixels lie: integer windows, the grid of a raster, and how it is tiled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS

SAME_PLACE = 0.01
"""How far the pixels of two grids may lie apart, in pixels, for the grids to be the same."""


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels.

    Attributes:
        row: first row, from 0.
        col: first column, from 0.
        height: rows, at least 1.
        width: columns, at least 1.

    Raises:
        ValueError: for a negative corner or no pixel.
    """

    row: int
    col: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.row, self.col) < 0 or min(self.height, self.width) < 1:
            raise ValueError(
                f"a window starts at 0 or later and holds at least one pixel, found {self}"
            )

    @property
    def row_stop(self) -> int:
        """The row after the last."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """The column after the last."""
        return self.col + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """The index of the window's pixels in an array [height, width]."""
        return slice(self.row, self.row_stop), slice(self.col, self.col_stop)

    def intersect(self, other: Window) -> Window | None:
        """Return the pixels that both windows hold, or None where there are none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.row_stop, other.row_stop) - row
        width = min(self.col_stop, other.col_stop) - col
        return Window(row, col, height, width) if min(height, width) > 0 else None

    def within(self, outer: Window) -> Window:
        """This window of an outer one's pixels, as a window of what the outer one is cut from."""
        return Window(self.row + outer.row, self.col + outer.col, self.height, self.width)

    def contains(self, other: Window) -> bool:
        """Tell whether every pixel of the other window lies in this one."""
        return self.intersect(other) == other


@dataclass(frozen=True)
class Grid:
    """The pixels of a raster and their place on the ground.

    Attributes:
        height: rows, at least 1.
        width: columns, at least 1.
        transform: from (column, row) to (x, y) in CRS units; whole numbers are pixel corners.
        crs: the coordinate reference system, or None where it is unknown.

    Raises:
        ValueError: for a grid without pixels, or whose pixels have no area.
    """

    height: int
    width: int
    transform: Affine
    crs: CRS | None = None

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ValueError(f"a grid holds at least one pixel, found {self.height}x{self.width}")
        if self.transform.is_degenerate:
            raise ValueError(
                f"pixels must have an area, found the transform {tuple(self.transform)[:6]}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """All pixels."""
        return Window(0, 0, self.height, self.width)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """(x, y): lengths of a pixel's sides in CRS units, which need not be metres."""
        t = self.transform
        return math.hypot(t.a, t.d), math.hypot(t.b, t.e)

    @property
    def north_up(self) -> bool:
        """Whether rows run from north to south and columns from west to east."""
        t = self.transform
        skew_x, skew_y = abs(t.b) * self.height, abs(t.d) * self.width
        return bool(skew_x < SAME_PLACE * t.a and skew_y < SAME_PLACE * -t.e)

    def crop(self, window: Window) -> Grid:
        """Return the grid of a window's pixels.

        Raises:
            ValueError: for a window that reaches outside.
        """
        if not self.window.contains(window):
            raise ValueError(
                f"a window must lie in the grid of {self.height}x{self.width}, found {window}"
            )
        t = self.transform
        x, y = _apply(t, window.col, window.row)
        moved = type(t)(t.a, t.b, x, t.d, t.e, y)
        return Grid(window.height, window.width, moved, self.crs)

    def ground_size(self) -> tuple[float, float] | None:
        """Measure the central pixel on the ground.

        The sides are transformed into an azimuthal equidistant projection about the grid's centre,
        in which distances from the centre are geodesic (Snyder 1987, chapter 25).

        Returns:
            (x, y): lengths of a pixel's sides in metres, or None where there is no CRS or it
            does not say where on Earth the centre lies.
        """
        if self.crs is None:
            return None
        from rasterio._err import CPLE_BaseError
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
        from rasterio.warp import transform

        col, row = self.width / 2, self.height / 2
        corners = [(col, row), (col + 1, row), (col, row + 1)]
        xs, ys = zip(*(_apply(self.transform, *corner) for corner in corners), strict=True)
        try:
            (lon,), (lat,) = transform(self.crs, CRS.from_epsg(4326), xs[:1], ys[:1])
            local = CRS.from_proj4(f"+proj=aeqd +lon_0={lon} +lat_0={lat} +datum=WGS84 +units=m")
            (x0, x1, x2), (y0, y1, y2) = transform(self.crs, local, xs, ys)
        except (CPLE_BaseError, CRSError):
            return None
        return math.hypot(x1 - x0, y1 - y0), math.hypot(x2 - x0, y2 - y0)

    def matches(self, other: Grid) -> bool:
        """Tell whether the pixels of both grids are the same, to a hundredth of a pixel."""
        if self.shape != other.shape or self.crs != other.crs:
            return False
        to_pixels = ~self.transform
        corners = [(0, 0), (self.width, 0), (0, self.height), (self.width, self.height)]
        return all(
            math.dist(corner, _apply(to_pixels, *_apply(other.transform, *corner))) <= SAME_PLACE
            for corner in corners
        )


def crs_of(epsg: int) -> CRS:
    """Return the coordinate reference system of an EPSG code."""
    from rasterio.crs import CRS

    return CRS.from_epsg(epsg)


def tile_starts(length: int, tile: int, stride: int) -> list[int]:
    """Return where tiles begin along one axis.

    Args:
        length: pixels to cover.
        tile: pixels of a tile.
        stride: pixels from one tile to the next, at most a tile.

    Returns:
        Ascending starts whose tiles cover [0, length) wholly; the last is moved back to end with
        the axis, and an axis shorter than a tile has the one start 0.

    Raises:
        ValueError: for a length below 1 or a stride outside 1..tile.
    """
    if length < 1 or not 1 <= stride <= tile:
        raise ValueError(
            f"expected length >= 1 and 1 <= stride <= tile, "
            f"found length {length}, stride {stride}, tile {tile}"
        )
    last = max(0, length - tile)
    return [*range(0, last, stride), last]


def tile_windows(area: Window, tile: int, stride: int) -> list[Window]:
    """Return the tiles of an area, row by row.

    Args:
        area: the pixels to cover.
        tile: pixels of a tile's side; tiles are cut where the area is smaller.
        stride: pixels from one tile to the next, at most a tile.

    Raises:
        ValueError: for a stride outside 1..tile.
    """
    height, width = min(tile, area.height), min(tile, area.width)
    return [
        Window(area.row + row, area.col + col, height, width)
        for row in tile_starts(area.height, tile, stride)
        for col in tile_starts(area.width, tile, stride)
    ]


def _apply(transform: Affine, col: float, row: float) -> tuple[float, float]:
    """Place a pixel corner; written out because affine 2 has only `*` and affine 3 prefers `@`."""
    t = transform
    return t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
