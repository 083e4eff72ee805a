"""A scene's maps as a STAC item: where they lie, of when they are, what they mean, what made them.

SpatioTemporal Asset Catalogs, version 1.1.0 (https://github.com/radiantearth/stac-spec), with the
extensions projection, raster and classification 2.0.0 and processing 1.2.0.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.warp import transform

from rsadapt.classes import ClassScheme
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.legend import hexadecimal
from rsadapt.geo.place import ground_length
from rsadapt.geo.raster import GDAL_ERRORS

_SCHEMA = "https://stac-extensions.github.io/{}/schema.json"
EXTENSIONS = tuple(
    _SCHEMA.format(name)
    for name in ("projection/v2.0.0", "raster/v2.0.0", "classification/v2.0.0", "processing/v1.2.0")
)

MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".fgb": "application/vnd.flatgeobuf",
    ".csv": "text/csv",
    ".json": "application/json",
    ".xml": "application/xml",
    ".qml": "application/xml",
}
"""Of the files that a prediction writes, by the end of their names."""

TIMES = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATETIME",
    "PRODUCT_START_TIME",
    "SENSING_TIME",
    "ACQUISITION_DATE",
    "TIFFTAG_DATETIME",
)
"""Tags that tell when a scene was taken, as GDAL's drivers and common products write them; the last
one, of TIFF, is strictly of the file."""

SIDE = 16
"""Pieces of an outline's side that are placed on Earth: it may be bent there."""

BENT = 1e-6
"""Degrees by which an outline may leave its edge, a tenth of a metre."""

DIGITS = 7
"""Decimal places of degrees, a centimetre (RFC 7946, section 11.2)."""


def stac_item(
    identifier: str,
    grid: Grid,
    *,
    times: Mapping[str, str | None],
    assets: Mapping[str, Mapping[str, Any]],
    links: Sequence[Mapping[str, str]],
    properties: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe maps on one grid as a STAC item, JSON-ready.

    Args:
        identifier: of the item.
        grid: of the maps; without a CRS the item has no geometry.
        times: `datetime` and what goes with it, as `times_of` tells.
        assets: what `asset` tells of each file, by a key.
        links: to what the maps were made of and by.
        properties: further ones.
    """
    placed = _outline(grid)
    geometry = {} if placed is None else {"bbox": placed[1]}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": identifier,
        "geometry": None if placed is None else placed[0],
        **geometry,
        "properties": {**times, **properties, **_projection(grid)},
        "links": [dict(link) for link in links],
        "assets": {key: dict(value) for key, value in assets.items()},
    }


def asset(file: str, title: str, *roles: str) -> dict[str, Any]:
    """A file beside the item.

    Args:
        file: its name.
        title: what it shows.
        roles: what it is good for, such as "data" or "metadata".
    """
    suffix = f".{file.rpartition('.')[2]}"
    return {
        "href": f"./{file}",
        "type": MEDIA_TYPES[suffix],
        "title": title,
        "roles": list(roles),
    }


def raster_facts(
    grid: Grid,
    *,
    descriptions: Sequence[str],
    dtype: str,
    nodata: float,
    scale: float | None = None,
    scheme: ClassScheme | None = None,
) -> dict[str, Any]:
    """What an asset says of its bands, and of the classes that a class map's codes stand for."""
    stored: dict[str, Any] = {
        "data_type": dtype,
        "nodata": "nan" if math.isnan(nodata) else int(nodata),
    }
    if scale is not None:
        stored |= {"raster:scale": scale, "raster:offset": 0}
    side = ground_length(grid)
    if side is not None:
        stored["raster:spatial_resolution"] = side
    facts: dict[str, Any] = {"bands": [{"name": name, **stored} for name in descriptions]}
    if scheme is not None:
        facts["classification:classes"] = _classes(scheme)
    return facts


def _classes(scheme: ClassScheme) -> list[dict[str, Any]]:
    """The classes of a table, by short names of letters, digits, - and _, as the extension asks."""
    short = [re.sub(r"[^0-9A-Za-z_-]+", "-", name).strip("-") for name in scheme.names]
    return [
        {
            "value": code,
            "name": word if word and short.count(word) == 1 else f"class-{code}",
            "title": name,
            "description": name,
            "color_hint": hexadecimal(colour).removeprefix("#"),
        }
        for code, name, word, colour in zip(
            scheme.codes, scheme.names, short, scheme.colours, strict=True
        )
    ]


def times_of(
    item: Mapping[str, Any], tags: Mapping[str, str], otherwise: str
) -> dict[str, str | None]:
    """When a scene was taken: by its STAC item, by its tags, or else the time that is given.

    Args:
        item: properties of the scene's own STAC item, if it has one.
        tags: of its file.
        otherwise: ISO 8601.
    """
    known = {name: item.get(name) for name in ("datetime", "start_datetime", "end_datetime")}
    if known["datetime"] or (known["start_datetime"] and known["end_datetime"]):
        return {name: value for name, value in known.items() if value or name == "datetime"}
    told = [_time(tags[name]) for name in TIMES if name in tags]
    return {"datetime": next((time for time in told if time), None) or utc(otherwise)}


def utc(text: str) -> str:
    """A time of ISO 8601 as RFC 3339 has it, in UTC, which is taken for granted where none is told.

    Raises:
        ValueError: for text that is no time.
    """
    time = datetime.fromisoformat(text)
    known = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return known.isoformat().replace("+00:00", "Z")


def _time(text: str) -> str | None:
    """A tag's time, which TIFF writes as 2020:06:05 10:11:12; None for what is none."""
    try:
        return utc(re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", text.strip()))
    except ValueError:
        return None


def _projection(grid: Grid) -> dict[str, Any]:
    """Fields of the projection extension."""
    t = grid.transform
    facts: dict[str, Any] = {"proj:code": None}
    if grid.crs is not None:
        facts = _system(grid.crs)
    return {
        **facts,
        "proj:shape": list(grid.shape),
        "proj:transform": [float(value) for value in (t.a, t.b, t.c, t.d, t.e, t.f)],
    }


def _system(crs: CRS) -> dict[str, Any]:
    """The code of a CRS, or its text where no authority has exactly it."""
    authority = crs.to_authority(confidence_threshold=100)
    if authority is not None:
        return {"proj:code": ":".join(authority)}
    return {"proj:code": None, "proj:wkt2": crs.to_wkt(version="WKT2_2019")}


def _outline(grid: Grid) -> tuple[dict[str, Any], list[float]] | None:
    """GeoJSON geometry and bounding box in WGS 84 (RFC 7946), None where the place is not known.

    What crosses the 180th meridian is cut there, and the box's west is then greater than its east.
    A scene with a pole inside has its box as geometry.
    """
    import shapely
    from shapely.affinity import translate

    corners = _placed_outline(grid)
    if corners is None:
        return None
    lon, lat = corners[0], np.round(corners[1], DIGITS)
    lon = np.unwrap(lon, period=360)
    lon = np.round(lon - np.floor((lon.min() + 180) / 360) * 360, DIGITS)
    west, south, east, north = map(float, (lon.min(), lat.min(), lon.max(), lat.max()))
    if abs(lon[-1] - lon[0]) > 180:  # once around
        box = [-180.0, south, 180.0, 90.0] if north > -south else [-180.0, -90.0, 180.0, north]
        return _geojson(shapely.box(*box)), box
    outline = shapely.Polygon(np.stack([lon, lat], axis=1)).simplify(BENT)
    if east <= 180:
        return _geojson(outline), [west, south, east, north]
    world = shapely.box(-180, -90, 180, 90)
    halves = [shapely.intersection(translate(outline, -shift), world) for shift in (0, 360)]
    return _geojson(shapely.union_all(halves)), [west, south, round(east - 360, DIGITS), north]


def _geojson(shape: Any) -> dict[str, Any]:
    """Of a shape whose outer rings run counterclockwise."""
    import shapely

    geometry: dict[str, Any] = json.loads(shapely.to_geojson(shapely.orient_polygons(shape)))
    return geometry


def _placed_outline(grid: Grid) -> tuple[Any, Any] | None:
    """Longitudes and latitudes of points around a grid, of which the last is the first."""
    if grid.crs is None:
        return None
    steps, (height, width) = np.linspace(0, 1, SIDE, endpoint=False), grid.shape
    none, whole = np.zeros(SIDE), np.ones(SIDE)
    col = width * np.concatenate([steps, whole, 1 - steps, none, [0]])
    row = height * np.concatenate([none, steps, whole, 1 - steps, [0]])
    t = grid.transform
    xs, ys = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
    try:
        lon, lat = (np.asarray(part) for part in transform(grid.crs, crs_of(4326), xs, ys))
    except GDAL_ERRORS:
        return None
    return (lon, lat) if np.isfinite([lon, lat]).all() else None
