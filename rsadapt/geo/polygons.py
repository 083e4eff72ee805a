"""Class maps as polygons: outlined without seams, sieved, simplified without gaps, measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import sieve
from rasterio.warp import transform

from rsadapt.classes import CONFIDENCE_STEPS, ClassScheme
from rsadapt.errors import ConfigError, DataError
from rsadapt.geo.grid import Grid, Window, crs_of
from rsadapt.geo.outlines import Outlines, trace
from rsadapt.geo.place import ground_length
from rsadapt.geo.raster import BLOCK_PIXELS, Raster, open_raster
from rsadapt.geo.writer import BLOCK, write_scratch

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

ROWS = 64
"""Rows of confidence that are summed at a time."""

BENT = 16
"""Pixels beyond which an edge is measured in pieces: it may be bent in another projection."""

MEASURED = 20_000
"""Polygons that are measured at a time."""

Blocks = Iterator[tuple[Window, NDArray[np.uint8]]]
"""Windows of a raster and what it holds there [height, width]."""

Watch = Callable[[str, Sequence[Window]], Iterator[Window]]
"""Goes over the windows of a named task, telling how far it is."""


@dataclass(frozen=True)
class ClassPolygons:
    """The polygons of a class map.

    Attributes:
        table: a polygon a row: `class` (its code), `name`, `area_m2`, `confidence` and geometry.
        note: what the user should know of them, or nothing.
    """

    table: GeoDataFrame
    note: str


def class_polygons(
    raster: Raster,
    scheme: ClassScheme,
    *,
    folder: Path,
    smallest_area: float = 0.0,
    simplify: float = 0.0,
    only: Sequence[str] = (),
    confidence: Raster | None = None,
    watch: Watch = lambda _, windows: iter(windows),
) -> ClassPolygons:
    """Turn a class map into polygons: one for all pixels of a class that touch by their sides.

    Unsimplified they cover exactly the map's pixels. Wherever outlines meet, all of them have a
    node, so that neighbours share whole edges; simplified, they still leave no gap and do not
    overlap.

    `area_m2` is that of the polygon as written, in Lambert's azimuthal equal-area projection about
    the map's centre (WGS 84); a pixel of nominally 100 m2 in UTM measures 99.8 to 100.1 there. It
    is empty for a map that does not say where on Earth it lies. `confidence` is the mean
    probability of the polygon's pixels as the map's network gave it, those that were taken over
    from smaller pieces among them; empty without a confidence map.

    Memory grows with the outlines, not with the map: 160 bytes a corner, which made 2.0 GB for 12
    million corners of 270,000 polygons in 10,000 x 10,000 pixels.

    Args:
        raster: the class map; what is not valid in it or ignored by the table stays empty.
        scheme: its class table.
        folder: where a temporary raster of the map's size may be written.
        smallest_area: square metres, by the ground size of the map's central pixel. Smaller pieces
            are given to their largest neighbour (GDAL's sieve, until nothing changes); one that
            has no neighbour of that size stays, and the note counts them. This holds about three
            bytes a pixel in memory.
        simplify: metres. Corners are removed whose triangle with their neighbours is smaller than
            a square of this side (Visvalingam and Whyatt 1993, "Line generalisation by repeated
            elimination of points"), from shared lines once for both sides; 0 keeps all.
        only: names of the classes to outline; all by default.
        confidence: the map's confidence, as `predict` writes it.
        watch: goes over the windows that are read.

    Raises:
        ConfigError: for a negative number or a class that the table does not have.
        DataError: for codes that the table does not know, a confidence map on another grid, or
            metres asked of a map that does not say how large its pixels are.
    """
    wanted = _wanted(scheme, only)
    side = pixel_side(raster.grid, smallest_area, simplify, where=raster.path)
    smallest = math.ceil(smallest_area / side**2 - 1e-9) if side else 0
    if confidence is not None and not confidence.grid.matches(raster.grid):
        raise DataError(
            f"{confidence.path}: expected the confidence on the grid of {raster.path.name}, found "
            f"another; predict the scene again, or move the file away"
        )
    with TemporaryDirectory(prefix=".rsadapt-", dir=folder) as scratch:
        values = _values(raster, scheme, watch)
        path = Path(scratch) / "classes.tif"
        outlines = _outlines(path, raster.grid.shape, values, smallest, wanted).noded()
    table = _table(raster.grid, outlines, scheme, simplify / side if side else 0.0)
    table.insert(3, "confidence", _mean(outlines, confidence, watch))
    return ClassPolygons(table, _note(outlines, side, smallest, smallest_area))


def _wanted(scheme: ClassScheme, only: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each train id + 1 is to be outlined, bool [256]."""
    for name in only:
        if name not in scheme.names:
            raise ConfigError(f"expected classes among {', '.join(scheme.names)}, found '{name}'")
    wanted = np.zeros(256, bool)
    wanted[[scheme.names.index(name) + 1 for name in only or scheme.names]] = True
    return wanted


def pixel_side(grid: Grid, smallest_area: float, simplify: float, *, where: object) -> float | None:
    """Metres of a pixel's side, None where nothing is asked that needs it and it is unknown.

    Args:
        grid: of a class map.
        smallest_area: as `class_polygons` takes it.
        simplify: likewise.
        where: the map, for messages.

    Raises:
        ConfigError: for a negative number.
        DataError: for metres asked of a map that does not say how large its pixels are.
    """
    if not (0 <= smallest_area < math.inf and 0 <= simplify < math.inf):
        raise ConfigError(
            f"expected a smallest area and a simplification of 0 or more, found {smallest_area} "
            f"and {simplify}"
        )
    side = ground_length(grid)
    if side is None and (smallest_area or simplify):
        raise DataError(
            f"{where}: expected a map with a place on Earth, where a smallest area or a "
            f"simplification in metres is asked for, found the CRS {grid.crs}; assign it "
            f"(gdal_edit.py -a_srs), or leave them out"
        )
    return side


def _outlines(
    path: Path,
    shape: tuple[int, int],
    values: Blocks,
    smallest: int,
    wanted: NDArray[np.bool_],
) -> Outlines:
    """Outline what is wanted of a map, through a temporary raster."""
    kept = np.where(wanted, np.arange(256), 0).astype(np.uint8)
    if smallest > 1:
        write_scratch(path, shape, values)
        values = _rows(_sieved(path, min(smallest, math.prod(shape))))
    write_scratch(path, shape, ((window, kept[block]) for window, block in values))
    return trace(path)


def _values(raster: Raster, scheme: ClassScheme, watch: Watch) -> Blocks:
    """A map as train ids + 1, in which 0 is empty."""
    for window in watch("read the map", list(raster.blocks())):
        values, valid = raster.read(window, [1])
        train_ids = scheme.encode(values[0], valid, where=raster.path)
        yield window, train_ids + np.uint8(1)  # 255, what is unlabelled or invalid, becomes 0


def _sieved(path: Path, smallest: int) -> NDArray[np.uint8]:
    """Give pieces of fewer pixels to their largest neighbour, until nothing changes.

    Once is not enough where small pieces lie among small ones. What is empty takes no part.

    Returns:
        The sieved raster; the file holds the same.
    """
    before: NDArray[np.uint8] | None = None
    while True:
        with open_raster(path) as dataset:
            band = rasterio.band(dataset, 1)
            found: NDArray[np.uint8] = sieve(band, smallest, mask=band)
        if before is not None and np.array_equal(before, found):
            return found
        write_scratch(path, found.shape, _rows(found))
        before = found


def _rows(values: NDArray[np.uint8]) -> Blocks:
    for row in range(0, len(values), BLOCK):
        part = values[row : row + BLOCK]
        yield Window(row, 0, *part.shape), part


def _table(grid: Grid, outlines: Outlines, scheme: ClassScheme, tolerance: float) -> GeoDataFrame:
    """The polygons on the ground, with their class and area.

    They are simplified in pixels: what is removed is decided by areas alone, whose ratios no affine
    transform changes, and between whole numbers no rounding makes lines cross.
    """
    import shapely
    from geopandas import GeoDataFrame

    polygons = outlines.geometries()
    if tolerance and len(polygons):
        polygons = shapely.coverage_simplify(polygons, tolerance)
    t = grid.transform

    def to_ground(corners: NDArray[np.float64]) -> NDArray[np.float64]:
        col, row = corners.T
        return np.stack([t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f], axis=1)

    train_ids = outlines.values.astype(np.int64) - 1
    table = GeoDataFrame(
        {
            "class": np.array(scheme.codes, np.int32)[train_ids],
            "name": np.array(scheme.names, object)[train_ids],
        },
        geometry=shapely.transform(polygons, to_ground),
        crs=None if grid.crs is None else grid.crs.to_wkt(),
    )
    table.insert(2, "area_m2", _areas(table, grid))
    return table


def _areas(table: GeoDataFrame, grid: Grid) -> NDArray[np.float64]:
    """Square metres of each polygon, NaN where the CRS does not say."""
    areas = np.full(len(table), np.nan)
    if grid.crs is None or ground_length(grid) is None:
        return areas
    t, col, row = grid.transform, grid.width / 2, grid.height / 2
    x, y = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
    (lon,), (lat,) = transform(grid.crs, crs_of(4326), [x], [y])
    equal_area = f"+proj=laea +lon_0={lon} +lat_0={lat} +datum=WGS84 +units=m"
    for first in range(0, len(table), MEASURED):
        part = slice(first, first + MEASURED)
        bent = table.geometry.iloc[part].segmentize(BENT * max(grid.pixel_size))
        areas[part] = bent.to_crs(equal_area).area
    return np.where(np.isfinite(areas), areas, np.nan)


def _mean(outlines: Outlines, confidence: Raster | None, watch: Watch) -> NDArray[np.float64]:
    """Mean probability of each polygon's pixels, NaN where there is none."""
    if confidence is None:
        return np.full(len(outlines), np.nan)
    total, pixels = outlines.sums(_strips(confidence, watch))
    mean: NDArray[np.float64] = np.full(len(outlines), np.nan)
    np.divide(total, pixels, out=mean, where=pixels > 0)
    return mean


def _strips(confidence: Raster, watch: Watch) -> Iterator[NDArray[np.float64]]:
    """Probabilities and 1, or 0 and 0 where invalid, [2, h, width], from the top to the bottom."""
    (height, width), rows = confidence.grid.shape, confidence.block_shape[0]
    step = max(1, BLOCK_PIXELS // (width * rows)) * rows
    windows = [Window(row, 0, min(step, height - row), width) for row in range(0, height, step)]
    for window in watch("read the confidence", windows):
        (values,), valid = confidence.read(window, [1])
        for row in range(0, window.height, ROWS):
            known = valid[row : row + ROWS]
            yield np.stack([np.where(known, _probability(values[row : row + ROWS]), 0.0), known])


def _probability(values: NDArray[Any]) -> NDArray[np.float64]:
    """Stored confidence as probability: steps where it is whole numbers."""
    return np.asarray(values / (CONFIDENCE_STEPS if values.dtype.kind in "iu" else 1.0))


def _note(outlines: Outlines, side: float | None, smallest: int, smallest_area: float) -> str:
    if side is None:
        return "without areas: the map does not say where on Earth it lies"
    small = int((outlines.pixels() < smallest).sum())
    if not small:
        return ""
    return f"pieces below {smallest_area:g} m2 that no neighbour could take over stay: {small}"
