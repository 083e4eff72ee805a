"""What the scenes of a region cover on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.raster import GDAL_ERRORS

Corners = tuple[tuple[float, float], ...]
"""The corners of a scene, around it."""


@dataclass(frozen=True)
class Coverage:
    """The ground that scenes show.

    Attributes:
        area: square metres, of places that several scenes show once.
        repeated: share of the scenes' pixels that show what another pixel shows, 0..1.
    """

    area: float
    repeated: float


def coverage(grids: Sequence[Grid]) -> Coverage | None:
    """Measure the ground that scenes show.

    Args:
        grids: the scenes' pixels, in one CRS.

    Returns:
        None where a place is not known, scenes are in several CRSs, or there are none.
    """
    import shapely

    sizes = [grid.ground_size() for grid in grids]
    known = [size for size in sizes if size is not None and np.isfinite(size).all()]
    if not grids or len(known) < len(grids) or any(grid.crs != grids[0].crs for grid in grids):
        return None
    outlines = [shapely.Polygon(_corners(grid)) for grid in grids]
    single = shapely.unary_union(outlines).area / sum(outline.area for outline in outlines)
    shown = sum(
        grid.height * grid.width * width * height
        for grid, (width, height) in zip(grids, known, strict=True)
    )
    return Coverage(area=float(shown * single), repeated=max(0.0, float(1 - single)))


def footprint(grid: Grid) -> Corners | None:
    """The corners of a scene as (longitude, latitude), WGS 84; None where they are not known."""
    from rasterio.warp import transform

    if grid.crs is None:
        return None
    xs, ys = zip(*_corners(grid), strict=True)
    try:
        lon, lat = transform(grid.crs, crs_of(4326), xs, ys)
    except GDAL_ERRORS:
        return None
    return tuple(zip(lon, lat, strict=True)) if np.isfinite([lon, lat]).all() else None


def _corners(grid: Grid) -> Corners:
    """The corners of a grid in CRS units."""
    t = grid.transform
    ends = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return tuple((t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f) for x, y in ends)
