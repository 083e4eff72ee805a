"""Inspect: what both regions hold, side by side, and what it means, before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsadapt import build
from rsadapt import config as configurations
from rsadapt.classes import ClassScheme
from rsadapt.data.imagery import Places
from rsadapt.data.region import Region
from rsadapt.errors import DataError, LeftOutWarning
from rsadapt.inspection.examples import Example, draw_examples
from rsadapt.inspection.facts import Choices, Facts, Finding, RegionFacts
from rsadapt.inspection.findings import find
from rsadapt.inspection.survey import distances, survey
from rsadapt.progress import Progress


@dataclass(frozen=True)
class Inspection(Facts):
    """Both regions, and what there is to say about them.

    Attributes:
        findings: what may go wrong, most grave first, each with its cure.
    """

    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, ready for JSON."""
        return asdict(self)


def inspect(
    config: Path,
    assignments: Sequence[str] = (),
    *,
    html: Path | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Read both regions of a configuration: images, or a sample of them, and all labels.

    Args:
        config: the configuration, YAML.
        assignments: "dotted.key=value" changes to it.
        html: a page to write of it all, with figures and example windows; it needs no other file.
        progress: called with a task's name, blocks read and blocks in all.

    Raises:
        RsadaptError: for whatever training would refuse about the files.
    """
    settings = build.configuration(config, assignments)
    scheme = build.class_scheme(settings)
    places, left_out = _places(settings)
    source, target = (
        survey(
            place,
            scheme,
            pixels=settings.statistics.pixels,
            left_out=left_out[name],
            progress=progress,
        )
        for name, place in (("source", places.source), ("target", places.target))
    )
    facts = Facts(source, target, distances(source.bands, target.bands), _choices(settings))
    inspection = Inspection(
        facts.source, facts.target, facts.distances, facts.choices, findings=find(facts)
    )
    if html is not None:
        from rsadapt.inspection.page import page

        examples = {
            "source": _examples(places.source.training, scheme, source, facts.choices.tile),
            "target": _examples(places.target.training, scheme, target, facts.choices.tile),
        }
        html.write_text(
            page(inspection.to_dict(), examples, scheme, title=config.name), encoding="utf-8"
        )
    return inspection


def _places(settings: configurations.Configuration) -> tuple[Places[Region], dict[str, list[str]]]:
    """Both regions, and by region what was left out of them, which becomes a finding."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LeftOutWarning)
        places = build.geotiff_places(settings)
    left_out: dict[str, list[str]] = {"source": [], "target": []}
    for warning in caught:
        if isinstance(warning.message, LeftOutWarning):
            left_out[warning.message.region].append(str(warning.message))
        else:
            warnings.warn(warning.message, stacklevel=2)
    return places, left_out


def _examples(region: Region, scheme: ClassScheme, facts: RegionFacts, tile: int) -> list[Example]:
    """Example windows; none of a region where only specks are valid."""
    try:
        return draw_examples(region, scheme, facts.bands, size=min(tile, facts.holds))
    except DataError:
        return []


def _choices(settings: configurations.Configuration) -> Choices:
    return Choices(
        tile=settings.training.tile,
        least_valid=settings.training.least_valid,
        normalise_by=settings.normalise_by,
        batch_norm=settings.network.batch_norm,
        adapts=build.method(settings).uses_target,
    )
