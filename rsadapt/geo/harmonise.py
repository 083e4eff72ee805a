"""One lattice for the scenes of a region: the CRS and pixel size that all are brought to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from rsadapt.errors import ConfigError, DataError
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.place import covered, ground_length, nearly, own_crs, place, placed, same_size
from rsadapt.geo.raster import GDAL_ERRORS, Raster

ROUNDING = 1e-6
"""The part of a pixel by which floating point may misplace an edge."""

DEGREE = 1e-5
"""Degrees over which a geographic CRS is measured, about a metre."""

POLAR = 84, -80
"""Latitudes beyond which UTM ends and the polar stereographic projections of UPS begin."""

FINEST = 100
"""A pixel may be so many times smaller than the finest scene's: one of degrees would be 10^5."""


@dataclass(frozen=True)
class Lattice:
    """Pixels without end, of which scenes are parts.

    Attributes:
        crs: the coordinate reference system.
        pixel: (x, y): lengths of a pixel's sides in CRS units; 0, 0 is a pixel corner.
    """

    crs: CRS
    pixel: tuple[float, float]

    def grid(self, raster: Raster) -> Grid:
        """The pixels whose centres lie within a raster's bounds, north-up.

        Raises:
            DataError: for a raster without a place in the CRS, or smaller than a pixel.
        """
        left, bottom, right, top = covered(raster, self.crs)
        x, y = self.pixel
        first, stop = _index(left / x), _index(right / x)
        lowest, above = _index(bottom / y), _index(top / y)
        if min(stop - first, above - lowest) < 1:
            raise DataError(
                f"{raster.path}: expected a scene of at least one pixel of {x:g} x {y:g} in "
                f"{self.crs}, found one of {right - left:g} x {top - bottom:g}; choose a smaller "
                f"'pixel' or leave it out"
            )
        corner = Affine(x, 0.0, first * x, 0.0, -y, above * y)
        return Grid(above - lowest, stop - first, corner, self.crs)


def harmonise(
    rasters: Sequence[Raster], *, crs: CRS | None = None, pixel: float | None = None
) -> list[Grid]:
    """Choose one lattice for a region and say what each scene becomes on it.

    Args:
        rasters: the scenes, at least one.
        crs: of the lattice; unless given the scenes' own if it is projected and all share it, else
            the UTM zone of the region's centre.
        pixel: metres on the ground of a pixel's side; the coarsest scene's unless given.

    Returns:
        The grid of each scene, in their order.

    Raises:
        DataError: for a scene that cannot be placed, or is smaller than a pixel, and for a pixel
            that cannot be meant.
    """
    chosen = choose_lattice(rasters, crs=crs, pixel=pixel)
    return [chosen.grid(raster) for raster in rasters]


def choose_lattice(
    rasters: Sequence[Raster], *, crs: CRS | None = None, pixel: float | None = None
) -> Lattice:
    """Choose the lattice of a region; see `harmonise`.

    In a projected CRS pixels are squares, as many units long as make the metres at the region's
    centre: in EPSG:3857 the metres over the cosine of the latitude. In a geographic one their sides
    differ in degrees, so that they are squares on the ground.
    """
    own = [ground_pixel(raster) for raster in rasters]
    metres = pixel or max(own)
    if metres * FINEST < min(own):
        raise DataError(
            f"{rasters[0].path}: expected a 'pixel' in metres on the ground, at least 1/{FINEST} "
            f"of the scenes' own, found {metres:g} where the finest scene has {min(own):.4g}; "
            f"correct it or leave it out"
        )
    lon, lat = _centre(rasters)
    chosen = crs or _common_projection(rasters) or _utm(lon, lat)
    probe = _probe(chosen, lon, lat)
    length, sides = (None, None) if probe is None else (ground_length(probe), probe.ground_size())
    if probe is None or length is None or sides is None:
        raise DataError(
            f"{rasters[0].path}: expected a CRS in which the scene has a place, found {chosen}, in "
            f"which it has none; choose another with 'crs'"
        )
    if chosen.is_projected:
        return Lattice(chosen, (metres / length, metres / length))
    return Lattice(chosen, (metres * DEGREE / sides[0], metres * DEGREE / sides[1]))


def _probe(crs: CRS, lon: float, lat: float) -> Grid | None:
    """A pixel of one unit of a CRS, or a small part of a degree, about a place; None outside it."""
    try:
        (x,), (y,) = transform(crs_of(4326), crs, [lon], [lat])
    except GDAL_ERRORS:
        return None
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    unit = 1.0 if crs.is_projected else DEGREE
    return Grid(1, 1, Affine(unit, 0.0, x - unit / 2, 0.0, -unit, y + unit / 2), crs)


def alike(rasters: Sequence[Raster]) -> bool:
    """Tell whether scenes need no lattice: one CRS, one pixel size, all north-up.

    Scenes of which none says where it lies are alike too: there is nothing to warp them by.
    """
    if not any(map(placed, rasters)):
        return True
    first = rasters[0].grid
    return all(
        raster.grid.crs is not None
        and raster.grid.crs == first.crs
        and raster.grid.north_up
        and all(map(same_size, raster.grid.pixel_size, first.pixel_size))
        for raster in rasters
    )


def ground_pixel(raster: Raster) -> float:
    """The side of a raster's central pixel on the ground, metres; of a square as large.

    Raises:
        DataError: for a raster that has no place on Earth.
    """
    own_crs(raster)
    length = ground_length(nearly(raster))
    if length is None:
        raise DataError(
            f"{raster.path}: expected a place on Earth, found the CRS {own_crs(raster)} and the "
            f"transform {tuple(raster.grid.transform)[:6]}, which give none; correct its "
            f"georeference"
        )
    return length


def read_crs(text: str, field: str = "crs") -> CRS:
    """The CRS that a user names in a field of the configuration.

    Raises:
        ConfigError: for text that names none.
    """
    try:
        crs = CRS.from_user_input(text)
    except (CRSError, ValueError) as error:
        raise ConfigError(
            f"'{field}': expected a coordinate reference system such as EPSG:32636, "
            f"found '{text}'; look its code up at https://epsg.io"
        ) from error
    if not (crs.is_projected or crs.is_geographic):
        raise ConfigError(
            f"'{field}': expected a projected or geographic coordinate reference system such as "
            f"EPSG:32636, found '{text}', which is neither"
        )
    return crs


def _index(position: float) -> int:
    """The first pixel of an axis whose centre lies at a position, in pixels, or beyond."""
    return math.ceil(position - 0.5 - ROUNDING)


def _centre(rasters: Sequence[Raster]) -> tuple[float, float]:
    """Longitude and latitude of the mean of the scenes' centres, also across the date line."""
    degrees = []
    for raster in rasters:
        col, row = raster.grid.width / 2, raster.grid.height / 2
        (lon,), (lat,) = place(raster, [col], [row], crs_of(4326))
        degrees.append((lon, lat))
    lon, lat = np.radians(degrees).T
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    across = math.atan2(y.mean(), x.mean())
    up = math.atan2(z.mean(), math.hypot(x.mean(), y.mean()))
    return math.degrees(across), math.degrees(up)


def _common_projection(rasters: Sequence[Raster]) -> CRS | None:
    found = own_crs(rasters[0])
    others = [own_crs(raster) for raster in rasters[1:]]
    return found if found.is_projected and all(crs == found for crs in others) else None


def _utm(lon: float, lat: float) -> CRS:
    """The UTM zone of a place (WGS 84), or UPS near the poles; EPSG numbers them in order."""
    north, south = POLAR
    if not south <= lat <= north:
        return crs_of(32661 if lat > 0 else 32761)
    zone = min(60, int((lon + 180) // 6) + 1)
    return crs_of((32600 if lat >= 0 else 32700) + zone)
