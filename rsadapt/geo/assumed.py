"""Rasters that do not say where they lie, with what is assumed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import DatasetReader

from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.masked import MaskedRaster
from rsadapt.geo.raster import Raster
from rsadapt.geo.stack import StackedRaster
from rsadapt.geo.warp import WarpedRaster

SOMEWHERE = "+proj=aeqd +lon_0=0 +lat_0=0 +datum=WGS84 +units=m"
"""The CRS of rasters of which only the size of a pixel is assumed: metres on the ground about a
made-up place (Snyder 1987, chapter 25), true to 4e-6 over 30 km. It is written nowhere."""


class AssumedRaster(Raster):
    """A raster that lies where it is assumed to.

    Args:
        raster: the original.
        grid: its pixels, in the assumed place.

    Attributes:
        original: the raster as its file describes it.
    """

    def __init__(self, raster: Raster, grid: Grid) -> None:
        self.__dict__.update(raster.__dict__)
        self.original, self.grid = raster, grid

    def __repr__(self) -> str:
        return f"AssumedRaster({self.original!r}, {self.grid!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return AssumedRaster, (self.original, self.grid)

    @property
    def made_up(self) -> bool:
        """Whether only the size of a pixel is assumed, so that the place means nothing."""
        return _says_nothing(self.original)

    def _open(self) -> DatasetReader:
        return self.original._open()

    def _decode(
        self, dataset: DatasetReader, area: Window, bands: Sequence[int]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.original._decode(dataset, area, bands)


def assumed(raster: Raster, *, crs: CRS | None = None, pixel: float | None = None) -> Raster:
    """A raster with what is assumed of its place; itself where it says it or nothing is assumed.

    Args:
        raster: the original.
        crs: of a raster with a transform and no CRS.
        pixel: metres on the ground of a pixel's side, of a raster without either.
    """
    if raster.grid.crs is not None or raster.control:
        return raster
    if not _says_nothing(raster):
        return raster if crs is None else AssumedRaster(raster, replace(raster.grid, crs=crs))
    if pixel is None:
        return raster
    corner = Affine(pixel, 0.0, 0.0, 0.0, -pixel, 0.0)
    return AssumedRaster(raster, replace(raster.grid, transform=corner, crs=_somewhere()))


def on_its_scene(label: Raster, scene: Raster) -> Raster:
    """Labels that do not say where they lie, in the place of a scene of their size.

    They are pixels beside pixels then. Others are returned as they are.
    """
    alike = label.grid.shape == scene.grid.shape and not label.grid.matches(scene.grid)
    return AssumedRaster(label, scene.grid) if alike and _says_nothing(label) else label


def assumption(raster: Raster) -> AssumedRaster | None:
    """The raster whose place is assumed, among a raster and what it is warped from."""
    if isinstance(raster, MaskedRaster):
        raster = raster.original
    if isinstance(raster, StackedRaster):
        raster = raster.parts[0]
    if isinstance(raster, WarpedRaster):
        raster = raster.original
    return raster if isinstance(raster, AssumedRaster) else None


def stated_grid(raster: Raster) -> Grid:
    """The raster's grid without what is assumed of its place, as it may be written.

    Where its file has a transform and no CRS, coordinates are the file's own; where it has
    neither, they are its pixels' columns and rows.
    """
    found = assumption(raster)
    if found is None:
        return raster.grid
    if found is raster:
        return found.original.grid
    grid = raster.grid
    back = _after(~found.grid.transform, found.original.grid.transform)
    return Grid(grid.height, grid.width, _after(grid.transform, back))


@cache
def _somewhere() -> CRS:
    return CRS.from_proj4(SOMEWHERE)


def _says_nothing(raster: Raster) -> bool:
    """Tell whether a raster has no CRS, no transform and no control points."""
    return (
        raster.grid.crs is None
        and not raster.control
        and raster.grid.transform == Affine.identity()
    )


def _after(first: Affine, then: Affine) -> Affine:
    """One transform after another; written out because affine 2 has only `*`, affine 3 `@`."""
    f, t = first, then
    return Affine(
        t.a * f.a + t.b * f.d,
        t.a * f.b + t.b * f.e,
        t.a * f.c + t.b * f.f + t.c,
        t.d * f.a + t.e * f.d,
        t.d * f.b + t.e * f.e,
        t.d * f.c + t.e * f.f + t.f,
    )
