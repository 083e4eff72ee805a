"""A raster seen on another grid: warped as it is read, window by window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Interleaving, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject
from rasterio.windows import Window as RasterioWindow

from rsadapt.errors import DataError
from rsadapt.geo.grid import SAME_PLACE, Grid, Window
from rsadapt.geo.harmonise import ground_pixel
from rsadapt.geo.place import own_crs, place
from rsadapt.geo.raster import GDAL_ERRORS, Raster, open_raster, reason
from rsadapt.geo.stack import StackedRaster

ResamplingName = Literal["nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average"]

BLOCK = (128, 512)
"""Rows and columns that GDAL warps at a time, fixed by its warped VRT."""

CONTROL_BLOCK = (128, 128)
"""The same for a raster that control points place, whose blocks GDAL does not keep."""


REACH: dict[ResamplingName, int] = {
    "nearest": 0,
    "bilinear": 1,
    "average": 1,
    "cubic": 2,
    "cubic_spline": 2,
    "lanczos": 3,
}
"""Pixels, of the original or of the grid, whichever are larger, up to which a pixel's value comes
from: the radius of each kernel."""

NET = np.linspace(0, 1, 5)
"""Where along its sides a block of the original is placed to find what it becomes."""


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
        self._margin = REACH[resampling] * max(1.0, across, down)
        self._absent: NDArray[np.int64] | None = None

    def __repr__(self) -> str:
        return f"WarpedRaster({self.original!r}, {self.grid!r}, {self.resampling!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return WarpedRaster, (self.original, self.grid, self.resampling)

    def _open(self) -> DatasetReader:
        source = open_raster(self.path)
        if self._absent is None:
            self._absent = self._find_absent(source)
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
        self._check_absent(area, bands)
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

    def _find_absent(self, source: DatasetReader) -> NDArray[np.int64]:
        """Where blocks that the original does not hold come to lie.

        Returns:
            Of each [blocks, 7] its band, 0 for all of them, its row and column among the blocks,
            and the first row and column of the grid that it may reach, and those beyond its last.
        """
        blocks = np.array(self.original.absent_blocks(source), np.int64).reshape(-1, 3)
        if not len(blocks):
            return np.empty((0, 7), np.int64)
        height, width = self.original.block_shape
        rows, cols = np.broadcast_arrays(
            (blocks[:, 1, None, None] + NET[:, None]) * height,
            (blocks[:, 2, None, None] + NET[None, :]) * width,
        )
        rows = np.minimum(rows, self.original.grid.height)
        cols = np.minimum(cols, self.original.grid.width)
        xs, ys = place(self.original, cols.ravel(), rows.ravel(), self.grid.crs)
        t = ~self.grid.transform
        row = (t.d * xs + t.e * ys + t.f).reshape(len(blocks), -1)
        col = (t.a * xs + t.b * ys + t.c).reshape(len(blocks), -1)
        first = np.ceil(np.stack([row.min(1), col.min(1)], 1) - self._margin - 0.5)
        stop = np.ceil(np.stack([row.max(1), col.max(1)], 1) + self._margin - 0.5)
        if source.interleaving == Interleaving.pixel:
            blocks[:, 0] = 0
        return np.concatenate([blocks, first.astype(np.int64), stop.astype(np.int64)], axis=1)

    def _check_absent(self, area: Window, bands: Sequence[int]) -> None:
        """Refuse a window that a block reaches which the original does not hold.

        Raises:
            DataError: naming the block.
        """
        absent = np.empty((0, 7), np.int64) if self._absent is None else self._absent
        touched = (absent[:, 3] < area.row_stop) & (absent[:, 5] > area.row)
        touched &= (absent[:, 4] < area.col_stop) & (absent[:, 6] > area.col)
        touched &= np.isin(absent[:, 0], [0, *bands])
        if touched.any():
            band, row, col = map(int, absent[touched][0][:3])
            raise self.original.lacking(band or bands[0], row, col)

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

    Of a stack each part is warped, and once only: as it is stored.

    Raises:
        DataError: as `WarpedRaster`.
    """
    if raster.grid.matches(grid):
        return raster
    if isinstance(raster, StackedRaster):
        parts = [part.original if isinstance(part, WarpedRaster) else part for part in raster.parts]
        return StackedRaster(
            [warped(part, grid, resampling) for part in parts], raster.descriptions, raster.path
        )
    return WarpedRaster(raster, grid, "nearest" if raster.coded else resampling)


def aligned(rasters: Sequence[Raster], resampling: ResamplingName) -> list[Raster]:
    """Rasters on the grid of the finest of them, in the same order; itself where all share one.

    Raises:
        DataError: for rasters of different grids that cannot be placed.
    """
    first = rasters[0].grid
    if all(raster.grid.matches(first) for raster in rasters):
        return list(rasters)
    finest = min(rasters, key=ground_pixel)
    return [warped(raster, finest.grid, resampling) for raster in rasters]


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
