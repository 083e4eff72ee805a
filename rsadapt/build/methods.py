"""Every method by its name: the one line that a new one needs besides its file."""

from __future__ import annotations

from rsadapt.adapt.adapted_batch_norm import AdaptedBatchNorm
from rsadapt.adapt.feature_space import FeatureSpace
from rsadapt.adapt.method import Method
from rsadapt.adapt.output_space import OutputSpace
from rsadapt.adapt.source_only import SourceOnly

METHODS: dict[str, type[Method]] = {
    "source_only": SourceOnly,
    "adapted_batch_norm": AdaptedBatchNorm,
    "output_space": OutputSpace,
    "feature_space": FeatureSpace,
}
