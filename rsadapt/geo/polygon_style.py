"""How QGIS shows polygons of classes: a style file (QML) with the class table's colours."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from rsadapt.classes import Colour

OUTLINE = 0.05
"""Millimetres of a polygon's outline, in its own colour: without one, seams of the background shine
through between neighbours where edges are smoothed."""


def style(classes: Sequence[tuple[int, str, Colour]], field: str) -> str:
    """A QGIS layer style (QML): one filled category a class.

    Args:
        classes: the code, name and colour of each, in the order of the legend.
        field: the field that holds the code.
    """
    root = ElementTree.Element("qgis", version="3.22.0", styleCategories="Symbology")
    renderer = ElementTree.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr=field, symbollevels="0"
    )
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for number, (code, name, colour) in enumerate(classes):
        ElementTree.SubElement(
            categories,
            "category",
            symbol=str(number),
            value=str(code),
            type="long",
            label=name,
            render="true",
        )
        _add_symbol(symbols, number, colour)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}\n"


def _add_symbol(symbols: ElementTree.Element, number: int, colour: Colour) -> None:
    symbol = ElementTree.SubElement(symbols, "symbol", type="fill", name=str(number), alpha="1")
    layer = ElementTree.SubElement(
        symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
    )
    options = ElementTree.SubElement(layer, "Option", type="Map")
    painted = ",".join(map(str, (*colour, 255)))
    for name, value in {
        "color": painted,
        "style": "solid",
        "outline_color": painted,
        "outline_style": "solid",
        "outline_width": str(OUTLINE),
        "outline_width_unit": "MM",
    }.items():
        ElementTree.SubElement(options, "Option", name=name, type="QString", value=value)
