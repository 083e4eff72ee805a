"""Where a raster's pixels lie on Earth, by its transform or by ground control points."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import GCPTransformer
from rasterio.warp import transform

from rsadapt.errors import DataError
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.raster import GDAL_ERRORS, Raster

POINTS = 33
"""Points along each axis that are placed to find what a raster covers in another CRS."""

TRUE_TO_SCALE = 0.005
"""How far a projection's lengths may be off for it to count as true: UTM's are by 0.0004 to 0.001
in its zone. Pixel sizes that differ by less count as one."""

SIZES_DIFFER = 1.1
"""Ground sizes of a pixel that differ by more than this factor make objects look of other sizes."""

Bounds = tuple[float, float, float, float]
"""(left, bottom, right, top)."""


def own_crs(raster: Raster) -> CRS:
    """The CRS in which a raster is placed: its own, or that of its ground control points.

    Raises:
        DataError: for a raster that says nowhere where it lies.
    """
    crs = raster.grid.crs or raster.control_crs
    if crs is not None:
        return crs
    if raster.control:
        raise DataError(
            f"{raster.path}: expected a coordinate reference system, found "
            f"{len(raster.control)} ground control points without one; leave it out, or name it, "
            f"as with: gdal_translate -a_srs EPSG:4326 {shlex.quote(raster.path.name)} placed.tif"
        )
    raise DataError(
        f"{raster.path}: expected a coordinate reference system, found none and no ground control "
        f"points, so it cannot be warped; leave it out, or name it, as with: gdal_edit.py -a_srs "
        f"EPSG:32633 {shlex.quote(raster.path.name)}"
    )


def placed(raster: Raster) -> bool:
    """Tell whether a raster says where it lies."""
    return raster.grid.crs is not None or raster.control_crs is not None


def place(
    raster: Raster, cols: Sequence[float], rows: Sequence[float], crs: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place pixel corners in a CRS.

    Args:
        raster: whose pixels they are.
        cols: columns; whole numbers are pixel corners.
        rows: rows, likewise.
        crs: the CRS to place them in.

    Returns:
        x and y of each, in CRS units.

    Raises:
        DataError: for a raster without a CRS, or one that has no place in `crs`.
    """
    own = own_crs(raster)
    try:
        xs, ys = transform(own, crs, *_own_place(raster, cols, rows))
    except GDAL_ERRORS as error:
        raise DataError(_nowhere(raster, crs)) from error
    x, y = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError(_nowhere(raster, crs))
    return x, y


def covered(raster: Raster, crs: CRS) -> Bounds:
    """The bounds of a raster in a CRS, in which its edges may be bent: of a net of points.

    Raises:
        DataError: as `place`.
    """
    height, width = raster.grid.shape
    cols, rows = np.meshgrid(np.linspace(0, width, POINTS), np.linspace(0, height, POINTS))
    xs, ys = place(raster, cols.ravel().tolist(), rows.ravel().tolist(), crs)
    return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())


def overlapping(rasters: Sequence[Raster], others: Sequence[Raster]) -> list[int]:
    """The positions of those among the others that show ground that one of the rasters shows.

    Bounds are compared: a scene that is rotated may count that only comes close. Edges that meet do
    not. The rasters, and the others, have a CRS.

    Raises:
        DataError: as `place`.
    """
    if not rasters or not others:
        return []
    systems = {raster.grid.crs for raster in (*rasters, *others)}
    crs = systems.pop() if len(systems) == 1 else crs_of(4326)
    slack = 0.0 if systems else min(others[0].grid.pixel_size) / 2  # lattices round edges
    left, bottom, right, top = np.array([covered(raster, crs) for raster in rasters]).T
    found = []
    for number, other in enumerate(others):
        bounds = covered(other, crs)
        width = np.minimum(right, bounds[2]) - np.maximum(left, bounds[0])
        height = np.minimum(top, bounds[3]) - np.maximum(bottom, bounds[1])
        if (np.minimum(width, height) > slack).any():
            found.append(number)
    return found


def nearly(raster: Raster) -> Grid:
    """The raster's grid, or for control points the one that is theirs at its centre.

    Raises:
        DataError: for control points that span no area.
    """
    if not raster.control or raster.control_crs is None:
        return raster.grid
    height, width = raster.grid.shape
    col, row = width / 2, height / 2
    xs, ys = _own_place(raster, [col, col + 1, col], [row, row, row + 1])
    a, b, d, e = xs[1] - xs[0], xs[2] - xs[0], ys[1] - ys[0], ys[2] - ys[0]
    corner = Affine(a, b, xs[0] - a * col - b * row, d, e, ys[0] - d * col - e * row)
    try:
        return Grid(height, width, corner, raster.control_crs)
    except ValueError as error:
        raise DataError(f"{raster.path}: its ground control points span no area") from error


def ground_length(grid: Grid) -> float | None:
    """The side of a square as large on the ground as the central pixel, in metres.

    In a projection that is true to scale, lengths are taken as they stand: a pixel of 10 m in UTM
    is one of 10 m, not of 9.997 m.

    Returns:
        Metres, or None where the CRS does not say.
    """
    sides = grid.ground_size()
    if sides is None or grid.crs is None or not np.isfinite(sides).all():
        return None
    length = math.sqrt(sides[0] * sides[1])
    if not grid.crs.is_projected:
        return length
    stated = math.sqrt(math.prod(grid.pixel_size)) * grid.crs.linear_units_factor[1]
    return float(stated) if same_size(stated, length) else length


def same_size(one: float, other: float) -> bool:
    """Tell whether two lengths are one, to half a percent."""
    return abs(one - other) <= TRUE_TO_SCALE * max(one, other)


def sizes_differ(one: float, other: float) -> bool:
    """Tell whether things of one kind look of other sizes in pixels of two ground sizes."""
    return max(one, other) > SIZES_DIFFER * min(one, other)


def _own_place(
    raster: Raster, cols: Sequence[float], rows: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Place pixel corners in the raster's own CRS."""
    if raster.control and raster.grid.crs is None:
        with GCPTransformer(list(raster.control)) as transformer:
            xs, ys = transformer.xy(list(rows), list(cols), offset="ul")
        return list(xs), list(ys)
    t = raster.grid.transform
    x = [t.a * col + t.b * row + t.c for col, row in zip(cols, rows, strict=True)]
    y = [t.d * col + t.e * row + t.f for col, row in zip(cols, rows, strict=True)]
    return x, y


def _nowhere(raster: Raster, crs: CRS) -> str:
    return (
        f"{raster.path}: expected a scene that has a place in {crs}, found one that does not "
        f"(its CRS {own_crs(raster)}, its transform {tuple(raster.grid.transform)[:6]}); correct "
        f"its georeference, or choose another CRS with 'crs'"
    )
