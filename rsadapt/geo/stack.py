"""Several rasters of one grid seen as one: one file a band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import DataError
from rsadapt.geo.grid import Window
from rsadapt.geo.location import Location
from rsadapt.geo.raster import Raster


class StackedRaster(Raster):
    """Rasters of one band each, seen as one raster with a band of each.

    It is read like any `Raster`. A pixel is valid where every band read is. Values come in the
    smallest type that holds those of all bands exactly.

    Args:
        parts: the band rasters, at least one, on one grid, as `rsadapt.geo.warp.aligned` brings
            them there. Beside their band they may have alpha.
        names: of the bands, in the same order.
        path: what messages and maps call the scene; the first part's file unless given.

    Attributes:
        parts: as given.

    Raises:
        DataError: for parts of several bands, on different grids, or of types of which none holds
            both.
    """

    def __init__(
        self, parts: Sequence[Raster], names: Sequence[str | None], path: Location | None = None
    ) -> None:
        first = parts[0]
        self.parts = tuple(parts)
        self.path = first.path if path is None else path
        self.grid, self.count = first.grid, len(parts)
        self.descriptions: tuple[str | None, ...] = tuple(names)
        for part in parts:
            _check(part, first)
        self.dtype = self.stored = _common_type(parts)
        self.scales, self.offsets = (1.0,) * len(parts), (0.0,) * len(parts)  # applied by the parts
        nodata = {part.nodata for part in parts}
        self.nodata = first.nodata if len(nodata) == 1 else None
        self.block_shape = first.block_shape
        self.colours = tuple(part.colours[0] for part in parts)
        self.tags = first.tags
        self.coded = any(part.coded for part in parts)
        self.control, self.control_crs = first.control, first.control_crs

    def __repr__(self) -> str:
        return f"StackedRaster({list(self.parts)!r}, {list(self.descriptions)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return StackedRaster, (self.parts, self.descriptions, self.path)

    def read(
        self, window: Window | None = None, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read pixels and whether they are valid; see `Raster.read`."""
        area = window or self.grid.window
        numbers = list(range(1, self.count + 1) if bands is None else bands)
        self._check(area, numbers)
        values = np.empty((len(numbers), area.height, area.width), self.dtype)
        valid = np.ones((area.height, area.width), bool)
        for plane, number in zip(values, numbers, strict=True):
            (plane[:],), sound = self.parts[number - 1].read(area, [1])
            valid &= sound
        return values, valid


def _check(part: Raster, first: Raster) -> None:
    """Make sure that a part is one band, where the first is.

    Raises:
        DataError: where it is not.
    """
    if part.count - part.colours.count("alpha") != 1:
        raise DataError(
            f"{part.path}: expected the file of one band, found {part.count} bands; leave it out, "
            f"or join all bands to one raster (gdalbuildvrt -separate) and name that"
        )
    if not part.grid.matches(first.grid) or _points(part) != _points(first):
        raise DataError(
            f"{part.path}: expected the pixels of {first.path}, {_words(first)}, found "
            f"{_words(part)}; bring the bands of a scene to one grid (gdalwarp)"
        )


def _words(raster: Raster) -> str:
    """Where the pixels of a raster lie."""
    grid, (x, y) = raster.grid, raster.grid.pixel_size
    corner = f"{grid.transform.c:.10g}, {grid.transform.f:.10g}"
    return f"{grid.height} x {grid.width} of {x:g} x {y:g} from {corner}"


def _points(raster: Raster) -> list[tuple[float, ...]]:
    """The control points that place a raster."""
    return [(point.row, point.col, point.x, point.y) for point in raster.control]


def _common_type(parts: Sequence[Raster]) -> str:
    """The smallest type that holds the values of all parts.

    Raises:
        DataError: where there is none: NumPy would round large integers.
    """
    common = np.result_type(*(part.dtype for part in parts))
    for part in parts:
        own = np.dtype(part.dtype)
        if own.kind in "iu" and own.itemsize == 8 and own != common:
            listed = ", ".join(f"{other.path.name} {other.dtype}" for other in parts)
            raise DataError(
                f"{part.path}: expected types of bands that one type holds exactly, found "
                f"{listed}; convert them (gdal_translate -ot)"
            )
    return common.name
