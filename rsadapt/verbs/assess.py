"""Assess: an interpreted sample in, area-adjusted accuracies and class areas out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any


def assess(sample: Path) -> dict[str, Any]:
    """Estimate a map's accuracy and the areas of its classes from a sample of `draw_sample`.

    Args:
        sample: the GeoPackage whose points were given a reference.

    Returns:
        What `rsadapt.infer.accuracy.Assessment` holds, as plain values ready for JSON (areas in
        square metres, margins of 95 %), and "open", the points that have no reference and are
        left out; "unweighted" is the report that `evaluate` would give of the points alone.

    Raises:
        MissingFileError: for a file that is not there.
        DataError: for a file that is no such sample, references that are no class, or a class of
            the map with fewer than two interpreted points.
    """
    from rsadapt.geo.reference import read_sample
    from rsadapt.infer import accuracy
    from rsadapt.infer.metrics import ConfusionMatrix

    found = read_sample(sample)
    assessment = accuracy.assess(found.names, found.counts, found.areas)
    plain = ConfusionMatrix(len(found.names))
    plain.counts += found.counts.T
    return asdict(assessment) | {
        "open": found.open,
        "unweighted": plain.to_dict(found.names),
    }
