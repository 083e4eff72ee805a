"""Statistics of both domains' bands: taken where they are needed, once, and kept."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsadapt import config
from rsadapt.adapt.batch_norm import Domain
from rsadapt.data.imagery import Imagery, Places
from rsadapt.geo.statistics import BandStatistics, constant_bands
from rsadapt.progress import Progress

Known = Mapping[str, BandStatistics]
"""Statistics by the fingerprint of what they were taken of."""


@dataclass(frozen=True)
class Taken:
    """Statistics of a domain.

    Attributes:
        fingerprint: of the imagery that they were taken of, and of how much of it.
        statistics: what was found.
    """

    fingerprint: str
    statistics: BandStatistics

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, ready for JSON, with `basis` for readers."""
        found = self.statistics
        return {"fingerprint": self.fingerprint, "basis": found.basis, **found.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Taken:
        """Rebuild from `to_dict`.

        Raises:
            KeyError, TypeError: for values that are none.
        """
        return cls(values["fingerprint"], BandStatistics.from_dict(values))


def take_statistics(
    settings: config.Configuration,
    both: Places[Imagery],
    *,
    settled: bool = False,
    known: Known | None = None,
    progress: Progress | None = None,
) -> dict[Domain, Taken]:
    """Take the statistics that images are standardised by.

    A warning names bands of one value. Of a domain whose statistics nothing needs they are only
    returned where they are known.

    Args:
        settings: the configuration.
        both: the imagery.
        settled: whether a trained network settled how the source is standardised.
        known: what need not be taken again.
        progress: is told of what is read.

    Raises:
        DataError: for imagery without a valid pixel, or that cannot be read.
    """
    kept, pixels = dict(known or {}), settings.statistics.pixels
    needed = _needed(settings, settled=settled)
    domains: dict[Domain, Imagery] = {
        "source": both.source.training,
        "target": both.target.training,
    }
    taken: dict[Domain, Taken] = {}
    for domain, imagery in domains.items():
        if domain not in needed and not kept:
            continue
        mark = imagery.fingerprint(pixels=pixels)
        if domain in needed and mark not in kept:
            kept[mark] = imagery.statistics(progress, pixels=pixels)
        if mark in kept:
            taken[domain] = Taken(mark, kept[mark])
            _warn_of_constant_bands(imagery, kept[mark])
    return taken


def read_statistics(file: Path) -> Known:
    """The statistics that a file keeps; none where it is not there or holds something else."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8")).values()
        taken = [Taken.from_dict(entry) for entry in entries]
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return {}  # they are only kept to spare reading, and are taken again
    return {entry.fingerprint: entry.statistics for entry in taken}


def keep_statistics(file: Path, taken: Mapping[Domain, Taken]) -> None:
    """Add statistics to those that a file keeps, by fingerprint."""
    kept = read_statistics(file)
    new = {entry.fingerprint: entry.statistics for entry in taken.values()}
    if new.keys() <= kept.keys():
        return
    entries = {mark: Taken(mark, found).to_dict() for mark, found in {**kept, **new}.items()}
    part = file.with_suffix(".part")
    part.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    part.replace(file)


def _needed(settings: config.Configuration, *, settled: bool) -> set[Domain]:
    """The domains whose statistics decide how images are standardised."""
    if settings.normalise_by == "given":
        return set()
    needed: set[Domain] = set() if settled else {"source"}
    return needed | {"target"} if settings.normalise_by == "region" else needed


def _warn_of_constant_bands(imagery: Imagery, statistics: BandStatistics) -> None:
    for place in constant_bands(statistics):
        warnings.warn(
            f"{imagery.name}: band {imagery.bands[place]} is {statistics.mean[place]:g} in every "
            f"valid pixel ({statistics.basis}); it is centred and not scaled, and teaches nothing: "
            f"check the files, or choose other bands with 'bands'",
            stacklevel=3,
        )
