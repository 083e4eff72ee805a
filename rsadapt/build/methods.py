"""Every method by its name: the one line that a new one needs besides its file."""

from __future__ import annotations

from importlib import import_module

from rsadapt.adapt.method import Method

PLACES = (
    "source_only.SourceOnly",
    "adapted_batch_norm.AdaptedBatchNorm",
    "output_space.OutputSpace",
    "feature_space.FeatureSpace",
    "advent.Advent",
    "min_ent.MinEnt",
    "clan.Clan",
    "multi_scale_features.MultiScaleFeatures",
    "cbst.Cbst",
    "iast.Iast",
    "mean_teacher.MeanTeacher",
    "dacs.Dacs",
    "daformer.Daformer",
    "mic.Mic",
)
"""Files of `rsadapt.adapt` and the classes in them, as tables list them."""


def _method(place: str) -> type[Method]:
    file, _, name = place.partition(".")
    found: type[Method] = getattr(import_module(f"rsadapt.adapt.{file}"), name)
    return found


METHODS: dict[str, type[Method]] = {found.name: found for found in map(_method, PLACES)}
