"""A raster seen on another grid: warped as it is read, window by window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject
from rasterio.windows import Window as RasterioWindow

from rsadapt.errors import DataError
from rsadapt.geo.grid import SAME_PLACE, Grid, Window
from rsadapt.geo.place import own_crs, place
from rsadapt.geo.raster import GDAL_ERRORS, Raster, open_raster, reason

ResamplingName = Literal["nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average"]

BLOCK = (128, 512)
"""Rows and columns that GDAL warps at a time, fixed by its warped VRT."""

CONTROL_BLOCK = (128, 128)
"""The same for a raster that control points place, whose blocks GDAL does not keep."""


class WarpedRaster(Raster):
    """A raster whose pixels are those of another grid.

    It is read like any `Raster`: a window holds the same pixels whatever is read around it, and
    each thread and process has a handle of its own. A valid pixel's value is made of valid pixels
    alone. By "nearest" a pixel is valid where its centre lies in a valid pixel of the original; by
    others it may also be where their reach meets one.

    Args:
        raster: the original.
        grid: the grid to see it on, with a CRS.
        resampling: how values between pixels are found; "nearest" for labels. Where pixels become
            larger, all but "nearest" take in all that a pixel covers.

    Attributes:
        original: the raster as it is stored.
        resampling: as given.

    Raises:
        DataError: for an original or a grid without a CRS, or an original without a place in it.
    """

    def __init__(self, raster: Raster, grid: Grid, resampling: ResamplingName = "nearest") -> None:
        if grid.crs is None:
            raise DataError(
                f"{raster.path}: cannot be warped onto a grid without a coordinate reference "
                f"system; give the scene one, or give labels on the scene's own grid"
            )
        self.original, self.grid, self.resampling = raster, grid, resampling
        self.path, self.count, self.dtype = raster.path, raster.count, raster.dtype
        self.stored, self.scales, self.offsets = raster.stored, raster.scales, raster.offsets
        self.nodata, self.descriptions, self.tags = raster.nodata, raster.descriptions, raster.tags
        self.coded, self.colours = raster.coded, raster.colours
        self.control, self.control_crs = (), None
        block = CONTROL_BLOCK if raster.control else BLOCK
        self.block_shape = min(block[0], grid.height), min(block[1], grid.width)
        self._filler = _filler(raster)
        across, down = _scale(raster, grid)
        self._options = {
            "src_crs": own_crs(raster),
            "src_nodata": self._filler,
            "resampling": Resampling[resampling],
            "UNIFIED_SRC_NODATA": "NO",  # else a value missing in one band alone is taken for one
            "XSCALE": across,  # else measured in each block anew, so that blocks differ
            "YSCALE": down,
        }

    def __repr__(self) -> str:
        return f"WarpedRaster({self.original!r}, {self.grid!r}, {self.resampling!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return WarpedRaster, (self.original, self.grid, self.resampling)

    def _open(self) -> DatasetReader:
        source = open_raster(self.path)
        if self.original.control:
            return source
        try:
            return WarpedVRT(
                source,
                src_transform=self.original.grid.transform,  # it may be assumed, as the CRS may
                crs=self.grid.crs,
                transform=self.grid.transform,
                width=self.grid.width,
                height=self.grid.height,
                tolerance=SAME_PLACE,
                nodata=self._filler,
                add_alpha=self._filler is None and ColorInterp.alpha not in source.colorinterp,
                **self._options,
            )
        except GDAL_ERRORS as error:
            raise DataError(
                f"{self.path}: cannot be warped to {self.grid.crs} ({reason(error)}); correct its "
                f"georeference, or choose another CRS with 'crs'"
            ) from error

    def _decode(
        self, dataset: DatasetReader, area: Window, bands: Sequence[int]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        by_alpha = int(self._filler is None)
        read = np.empty((len(bands) + by_alpha, area.height, area.width), self.stored)
        for block in self._blocks_of(area):
            part = area.intersect(block) or block
            rows = slice(part.row - area.row, part.row_stop - area.row)
            cols = slice(part.col - area.col, part.col_stop - area.col)
            if self.original.control:
                read[:, rows, cols] = self._warp(dataset, bands, block, part)
            else:
                alpha = [dataset.colorinterp.index(ColorInterp.alpha) + 1] if by_alpha else []
                place = RasterioWindow(part.col, part.row, part.width, part.height)
                read[:, rows, cols] = dataset.read([*bands, *alpha], window=place)
        return (read[:-1], read[-1:] != 0) if by_alpha else (read, read != self._filler)

    def _blocks_of(self, area: Window) -> Iterator[Window]:
        """The blocks that a window touches, whole.

        They are warped one by one: GDAL approximates within what it warps together, so that pixels
        would else depend on the window.
        """
        rows, cols = self.block_shape
        for row in range(area.row // rows * rows, area.row_stop, rows):
            for col in range(area.col // cols * cols, area.col_stop, cols):
                height = min(rows, self.grid.height - row)
                yield Window(row, col, height, min(cols, self.grid.width - col))

    def _warp(
        self, source: DatasetReader, bands: Sequence[int], block: Window, part: Window
    ) -> NDArray[Any]:
        """Part of a block, through control points: a warped VRT of a given grid knows none.

        All bands are warped, since rasterio puts those of a selection into the wrong places.
        """
        by_alpha = self._filler is None
        warped = np.zeros((self.count + by_alpha, block.height, block.width), self.stored)
        own = source.colorinterp
        reproject(
            rasterio.band(source, list(source.indexes)),
            warped,
            dst_transform=self.grid.crop(block).transform,
            dst_crs=self.grid.crs,
            dst_nodata=self._filler,
            src_alpha=own.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in own else 0,
            dst_alpha=self.count + 1 if by_alpha else 0,
            **self._options,
        )
        row, col = part.row - block.row, part.col - block.col
        planes = [band - 1 for band in bands] + [self.count] * by_alpha
        return warped[planes, row : row + part.height, col : col + part.width]


def warped(raster: Raster, grid: Grid, resampling: ResamplingName) -> Raster:
    """The raster itself where the grid is its own, else the raster warped.

    Raises:
        DataError: as `WarpedRaster`.
    """
    if raster.grid.matches(grid):
        return raster
    return WarpedRaster(raster, grid, "nearest" if raster.coded else resampling)


def _scale(raster: Raster, grid: Grid) -> tuple[float, float]:
    """Pixels of the grid along a column step and a row step of the original, at its centre."""
    col, row = raster.grid.width / 2, raster.grid.height / 2
    xs, ys = place(raster, [col, col + 1, col], [row, row, row + 1], grid.crs)
    t = ~grid.transform
    steps = [(xs[i] - xs[0], ys[i] - ys[0]) for i in (1, 2)]
    across, down = (math.hypot(t.a * x + t.b * y, t.d * x + t.e * y) for x, y in steps)
    return across, down


def _filler(raster: Raster) -> float | None:
    """What invalid pixels hold while warping: nodata, NaN of floats, or nothing: alpha tells."""
    if np.dtype(raster.stored).kind == "f":
        return math.nan if raster.nodata is None else raster.nodata
    if np.dtype(raster.stored).kind == "c" or raster.nodata is None:
        return None
    low, high = np.iinfo(raster.stored).min, np.iinfo(raster.stored).max
    return raster.nodata if low <= raster.nodata <= high else None
