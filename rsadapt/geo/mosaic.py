"""Rasters that lie beside or over one another, seen as one: the text of a VRT."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError
from rsadapt.geo.grid import SAME_PLACE, Grid, Window
from rsadapt.geo.legend import add_classes

# GDAL's names of types (https://gdal.org/en/stable/drivers/raster/vrt.html) by NumPy's.
_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
}

LONGEST = 2**31 - 1
"""The most pixels along an axis of a raster that GDAL knows."""


def vrt_text(
    parts: Sequence[tuple[Path, Window]],
    grid: Grid,
    *,
    descriptions: Sequence[str],
    dtype: str,
    nodata: float,
    beside: Path,
    scale: float | None = None,
    scheme: ClassScheme | None = None,
    tags: Mapping[str, str] | None = None,
    overlapping: bool = False,
) -> str:
    """The text of a VRT that shows rasters at their places on a grid.

    Args:
        parts: files and the pixels of the grid that each holds, all of the same bands and type.
        grid: of the whole.
        descriptions: a name for each band.
        dtype: NumPy name of the values' type.
        nodata: what is seen where no part lies.
        beside: the folder that the VRT is written to, from which it names the parts.
        scale: what a stored value is multiplied with to give the quantity it stands for.
        scheme: the classes of a class map, whose palette, names and attribute table it gets.
        tags: further metadata.
        overlapping: whether later parts may lie over earlier ones; their nodata hides nothing.
    """
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        _add(root, "SRS", grid.crs.to_wkt())
    t = grid.transform
    _add(root, "GeoTransform", ", ".join(repr(float(v)) for v in (t.c, t.a, t.b, t.f, t.d, t.e)))
    metadata = ET.SubElement(root, "Metadata")
    for key, value in (tags or {}).items():
        ET.SubElement(metadata, "MDI", key=key).text = value
    for number, description in enumerate(descriptions, start=1):
        band = ET.SubElement(root, "VRTRasterBand", dataType=_TYPES[dtype], band=str(number))
        _add(band, "Description", description)
        _add(band, "NoDataValue", _text(nodata))
        if scheme is not None:
            _add_palette(band, scheme)
            add_classes(band, scheme)
        else:
            _add(band, "ColorInterp", "Gray" if number == 1 else "Undefined")
        if scale is not None:
            _add(band, "Scale", _text(scale))
        for path, window in parts:
            _add_part(
                band, os.path.relpath(path, beside), window, number, nodata if overlapping else None
            )
    return ET.tostring(root, encoding="unicode") + "\n"


def _add_part(
    band: ET.Element, file: str, window: Window, number: int, hidden: float | None
) -> None:
    """A band of a raster at its place; what is hidden lets earlier parts be seen."""
    source = ET.SubElement(band, "SimpleSource" if hidden is None else "ComplexSource")
    _add(source, "SourceFilename", file).set("relativeToVRT", "1")
    _add(source, "SourceBand", str(number))
    for tag, row, col in (("SrcRect", 0, 0), ("DstRect", window.row, window.col)):
        place = ET.SubElement(source, tag, xOff=str(col), yOff=str(row))
        place.set("xSize", str(window.width))
        place.set("ySize", str(window.height))
    if hidden is not None:
        _add(source, "NODATA", _text(hidden))


def _add_palette(band: ET.Element, scheme: ClassScheme) -> None:
    """The colours of codes, from 0 on; those of no class are black."""
    _add(band, "ColorInterp", "Palette")
    colours = dict(zip(scheme.codes, scheme.colours, strict=True))
    table = ET.SubElement(band, "ColorTable")
    for code in range(max(colours) + 1):
        entry = ET.SubElement(table, "Entry")
        for name, value in zip(("c1", "c2", "c3"), colours.get(code, (0, 0, 0)), strict=True):
            entry.set(name, str(value))
        entry.set("c4", "255")


def _add(parent: ET.Element, tag: str, text: str) -> ET.Element:
    element = ET.SubElement(parent, tag)
    element.text = text
    return element


def _text(number: float) -> str:
    return "nan" if math.isnan(number) else repr(float(number))


def common_grid(grids: Mapping[str, Grid]) -> tuple[Grid, list[Window]]:
    """The grid that holds all pixels of some grids, and where on it each lies.

    Args:
        grids: by the names of what lies on them, for messages; the first one decides the lattice.

    Raises:
        DataError: for grids that are not parts of one lattice of pixels, or lie so far apart that
            no raster holds them.
    """
    first = next(iter(grids))
    places = [_place(name, grid, first, grids[first]) for name, grid in grids.items()]
    top, left = (min(place[axis] for place in places) for axis in (0, 1))
    windows = [
        Window(row - top, col - left, *grid.shape)
        for (row, col), grid in zip(places, grids.values(), strict=True)
    ]
    height = max(window.row_stop for window in windows)
    width = max(window.col_stop for window in windows)
    if max(height, width) > LONGEST:
        raise DataError(
            f"a mosaic of {first} and {len(grids) - 1} more would be {height} x {width} pixels, "
            f"more than a raster can have; make several of scenes that lie closer together"
        )
    t = grids[first].transform
    x, y = t.a * left + t.b * top + t.c, t.d * left + t.e * top + t.f
    return Grid(height, width, type(t)(t.a, t.b, x, t.d, t.e, y), grids[first].crs), windows


def _place(name: str, grid: Grid, first: str, lattice: Grid) -> tuple[int, int]:
    """The row and column of a grid's first pixel on the lattice of another.

    Raises:
        DataError: where its pixels are not that lattice's.
    """
    if grid.crs is None:
        raise DataError(
            f"{name}: expected a scene that says where on Earth it lies, as a mosaic needs, found "
            f"no CRS; assign it (gdal_edit.py -a_srs), or leave the mosaic out"
        )
    if grid.crs != lattice.crs:
        raise DataError(
            f"{name}: expected a scene in {lattice.crs}, as {first} is, found {grid.crs}; warp it "
            f"there (gdalwarp -t_srs), or make a mosaic of each"
        )
    to_pixels, t = ~lattice.transform, grid.transform
    corners = [
        (t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f)
        for row, col in ((0, 0), (0, grid.width), (grid.height, 0))
    ]
    (col, row), right, below = (
        (to_pixels.a * x + to_pixels.b * y + to_pixels.c,
         to_pixels.d * x + to_pixels.e * y + to_pixels.f)
        for x, y in corners
    )  # fmt: skip
    if (
        math.dist(right, (col + grid.width, row)) > SAME_PLACE
        or math.dist(below, (col, row + grid.height)) > SAME_PLACE
    ):
        raise DataError(
            f"{name}: expected pixels of the size and direction of those of {first} "
            f"({_linear(lattice)}), found {_linear(grid)}; bring the scenes to one grid "
            f"(gdalwarp -tap -tr), or train with 'pixel' and predict does that"
        )
    if math.dist((col, row), (round(col), round(row))) > SAME_PLACE:
        raise DataError(
            f"{name}: expected pixels on the grid of {first}, found them shifted by "
            f"{col - math.floor(col):.2f} columns and {row - math.floor(row):.2f} rows beyond "
            f"whole pixels; bring the scenes to one grid (gdalwarp -tap -tr), or train with "
            f"'pixel' and predict does that"
        )
    return round(row), round(col)


def _linear(grid: Grid) -> str:
    t = grid.transform
    return ", ".join(f"{value:.10g}" for value in (t.a, t.b, t.d, t.e))
