"""How much of a map each class takes, as tables for spreadsheets (CSV) and programs (JSON)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from rsadapt.classes import ClassScheme
from rsadapt.geo.strata import Strata

SQUARE_METRES_A_HECTARE = 10_000


@dataclass(frozen=True)
class ClassArea:
    """How much of a map a class takes.

    Attributes:
        name: of the class.
        code: its code in the map.
        pixels: that have it.
        area_m2: square metres; None for a map without a place on Earth.
        hectares: the same in hectares.
        share: of the area of all classes, 0..1, or of their pixels where there is no area; None
            for a map without a class.
    """

    name: str
    code: int
    pixels: int
    area_m2: float | None
    hectares: float | None
    share: float | None


def class_areas(scheme: ClassScheme, strata: Strata) -> tuple[ClassArea, ...]:
    """How much each class of a table takes, also those that a map does not show.

    Args:
        scheme: the class table.
        strata: what was counted of the map.
    """
    placed = all(map(math.isfinite, strata.areas))
    amounts = strata.areas if placed else strata.pixels
    total = math.fsum(amounts)
    return tuple(
        ClassArea(
            name,
            code,
            pixels,
            area if placed else None,
            area / SQUARE_METRES_A_HECTARE if placed else None,
            amount / total if total else None,
        )
        for name, code, pixels, area, amount in zip(
            scheme.names, scheme.codes, strata.pixels, strata.areas, amounts, strict=True
        )
    )


def areas_csv(areas: Sequence[ClassArea]) -> str:
    """A table of comma-separated values, a class a row; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(ClassArea))
    writer.writerows(map(astuple, areas))
    return text.getvalue()


def areas_json(areas: Sequence[ClassArea], *, shown: Path, started: str | None) -> str:
    """The same as JSON, with what it is of.

    Args:
        areas: of the classes.
        shown: the map, of which the name is told.
        started: when its prediction began, ISO 8601, or None where that is not known.
    """
    names = [field.name for field in fields(ClassArea)]
    known = [area.area_m2 for area in areas if area.area_m2 is not None]
    values = {
        "map": shown.name,
        "started": started,
        "pixels": sum(area.pixels for area in areas),
        "area_m2": math.fsum(known) if len(known) == len(areas) else None,
        "classes": [dict(zip(names, astuple(area), strict=True)) for area in areas],
    }
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
