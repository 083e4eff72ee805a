"""A page about both regions: one HTML file that needs no other, no script and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rsadapt import report
from rsadapt.classes import ClassScheme
from rsadapt.inspection.examples import Example

TEMPLATE = "page.html"
"""Beside this file."""

Values = Mapping[str, Any]


def page(
    inspection: Values,
    examples: Mapping[str, Sequence[Example]],
    scheme: ClassScheme,
    *,
    title: str,
) -> str:
    """Compose the page.

    Args:
        inspection: of `Inspection.to_dict`.
        examples: example windows of each region; none of one that cannot hold any.
        scheme: the class table.
        title: of the page, such as the configuration's name.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names of files, bands and classes are the user's
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "percent": _percent,
        "span": _span,
        "area": _area,
        "name": lambda path: Path(path).name,
    }
    regions = {name: inspection[name] for name in ("source", "target")}
    return environment.get_template(TEMPLATE).render(
        title=title,
        regions=regions,
        bands=[_pair(pair) for pair in zip(*(r["bands"] for r in regions.values()), strict=True)],
        distances=inspection["distances"],
        findings=inspection["findings"],
        choices=inspection["choices"],
        classes=_classes(scheme),
        colours=report.REGION_COLOURS,
        figures=_figures(regions, examples),
        examples=examples,
    )


def _figures(regions: Values, examples: Mapping[str, Sequence[Example]]) -> dict[str, str]:
    """PNGs as data URIs, by what they show."""
    bands = zip(*(region["bands"] for region in regions.values()), strict=True)
    drawn = {"histograms": report.band_histograms(list(map(_curves, bands)))}
    shares = {name: _shares(region) for name, region in regions.items()}
    known = {name: found for name, found in shares.items() if found is not None}
    if known:
        drawn["classes"] = report.class_shares(known)
    for name, windows in examples.items():
        if windows:
            pictures = [window.picture for window in windows]
            drawn[name] = report.windows(pictures, [window.label for window in windows])
    places = {
        name: [scene["footprint"] for scene in region["scenes"] if scene["footprint"] is not None]
        for name, region in regions.items()
    }
    if all(places.values()):
        drawn["footprints"] = report.footprints(places)
    return {
        name: f"data:image/png;base64,{base64.b64encode(png).decode()}"
        for name, png in drawn.items()
    }


def _pair(bands: Sequence[Values]) -> dict[str, Any]:
    """The bands of both regions that belong together."""
    names = dict.fromkeys(str(band["name"]) for band in bands)
    return {"name": " / ".join(names), "source": bands[0], "target": bands[1]}


def _curves(bands: Sequence[Values]) -> tuple[str, dict[str, report.Curve]]:
    pair = _pair(bands)
    return pair["name"], {
        region: (pair[region]["histogram"]["edges"], pair[region]["histogram"]["counts"])
        for region in ("source", "target")
    }


def _shares(region: Values) -> dict[str, float] | None:
    """Of the training part's classes, else of the validation part's."""
    parts = [region["training"], region["validation"]]
    found = [part["classes"] for part in parts if part is not None and part["classes"] is not None]
    return found[0] if found else None


def _classes(scheme: ClassScheme) -> list[tuple[str, str]]:
    """Name and colour of each class."""
    return [
        (name, f"#{red:02x}{green:02x}{blue:02x}")
        for name, (red, green, blue) in zip(scheme.names, scheme.colours, strict=True)
    ]


# Cells


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _span(pairs: Sequence[Sequence[float]] | None) -> str:
    """The least and greatest of pairs of lengths, as one pair where they are one."""
    if pairs is None:
        return "-"
    ends = [
        sorted({f"{side:.4g}" for side in sides}, key=float) for sides in zip(*pairs, strict=True)
    ]
    return " x ".join(" to ".join(sides) for sides in ends)


def _area(coverage: Values | None) -> str:
    if coverage is None:
        return "unknown"
    square_metres = coverage["area"]
    if square_metres >= 1e6:
        return f"{square_metres / 1e6:.4g} km²"
    return f"{square_metres / 1e4:.4g} ha"
