"""The class table as GIS programs read it beside a map: names, colours and an attribute table."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from rsadapt.classes import ClassScheme, Colour

# GDAL's numbers for the type of a column of an attribute table and for what it is used
# (https://gdal.org/doxygen/gdal_8h.html: GDALRATFieldType, GDALRATFieldUsage).
_INTEGER, _TEXT = "0", "2"
_COLUMNS = (
    ("Value", _INTEGER, "5"),
    ("Class", _TEXT, "2"),
    ("Red", _INTEGER, "6"),
    ("Green", _INTEGER, "7"),
    ("Blue", _INTEGER, "8"),
)


def auxiliary_xml(scheme: ClassScheme) -> str:
    """The text of a map's `.aux.xml`: category names and an attribute table of its classes alone.

    GDAL and QGIS read both; ArcGIS reads the attribute table.
    """
    root = ET.Element("PAMDataset")
    add_classes(ET.SubElement(root, "PAMRasterBand", band="1"), scheme)
    return _text(root)


def add_classes(band: ET.Element, scheme: ClassScheme) -> None:
    """Add category names and an attribute table to what describes a band to GDAL."""
    names = dict(zip(scheme.codes, scheme.names, strict=True))
    categories = ET.SubElement(band, "CategoryNames")
    for code in range(max(names) + 1):
        ET.SubElement(categories, "Category").text = names.get(code, "")
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        for tag, text in (("Name", name), ("Type", kind), ("Usage", usage)):
            ET.SubElement(column, tag).text = text
    for index, (code, name, colour) in enumerate(_rows(scheme)):
        row = ET.SubElement(table, "Row", index=str(index))
        for value in (code, name, *colour):
            ET.SubElement(row, "F").text = str(value)


def raster_style(scheme: ClassScheme) -> str:
    """The text of a `.qml` by which QGIS shows a map in its classes' colours and names.

    It carries all that the palette shows, since it takes the palette's place.
    """
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1"
    )
    palette = ET.SubElement(renderer, "colorPalette")
    for code, name, colour in _rows(scheme):
        ET.SubElement(
            palette,
            "paletteEntry",
            value=str(code),
            label=name,
            color=hexadecimal(colour),
            alpha="255",
        )
    return _text(root)


def hexadecimal(colour: Colour) -> str:
    """A colour as #rrggbb."""
    red, green, blue = colour
    return f"#{red:02x}{green:02x}{blue:02x}"


def _rows(scheme: ClassScheme) -> list[tuple[int, str, Colour]]:
    return list(zip(scheme.codes, scheme.names, scheme.colours, strict=True))


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
