"""Rasters that lie beside one another, seen as one: the text of a VRT."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from rsadapt.geo.grid import Grid, Window

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


def vrt_text(
    parts: Sequence[tuple[Path, Window]],
    grid: Grid,
    *,
    bands: int,
    dtype: str,
    nodata: float | None,
    beside: Path,
) -> str:
    """The text of a VRT that shows rasters at their places on a grid.

    Args:
        parts: files and the pixels of the grid that each holds, all of the same bands and type.
        grid: of the whole.
        bands: how many each has.
        dtype: NumPy name of their values' type.
        nodata: what is seen where no part lies.
        beside: the folder that the VRT is written to, from which it names the parts.
    """
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        ET.SubElement(root, "SRS").text = grid.crs.to_wkt()
    t = grid.transform
    ET.SubElement(root, "GeoTransform").text = ", ".join(
        repr(float(value)) for value in (t.c, t.a, t.b, t.f, t.d, t.e)
    )
    for number in range(1, bands + 1):
        band = ET.SubElement(root, "VRTRasterBand", dataType=_TYPES[dtype], band=str(number))
        if nodata is not None:
            text = "nan" if math.isnan(nodata) else repr(float(nodata))
            ET.SubElement(band, "NoDataValue").text = text
        for path, window in parts:
            source = ET.SubElement(band, "SimpleSource")
            name = ET.SubElement(source, "SourceFilename", relativeToVRT="1")
            name.text = os.path.relpath(path, beside)
            ET.SubElement(source, "SourceBand").text = str(number)
            for tag, row, col in (("SrcRect", 0, 0), ("DstRect", window.row, window.col)):
                place = ET.SubElement(source, tag, xOff=str(col), yOff=str(row))
                place.set("xSize", str(window.width))
                place.set("ySize", str(window.height))
    return ET.tostring(root, encoding="unicode") + "\n"
