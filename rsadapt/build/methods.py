"""Every method by its name: the one line that a new one needs besides its file."""

from __future__ import annotations

from rsadapt.adapt.adapted_batch_norm import AdaptedBatchNorm
from rsadapt.adapt.advent import Advent
from rsadapt.adapt.cbst import Cbst
from rsadapt.adapt.clan import Clan
from rsadapt.adapt.dacs import Dacs
from rsadapt.adapt.daformer import Daformer
from rsadapt.adapt.feature_space import FeatureSpace
from rsadapt.adapt.iast import Iast
from rsadapt.adapt.mean_teacher import MeanTeacher
from rsadapt.adapt.method import Method
from rsadapt.adapt.mic import Mic
from rsadapt.adapt.min_ent import MinEnt
from rsadapt.adapt.multi_scale_features import MultiScaleFeatures
from rsadapt.adapt.output_space import OutputSpace
from rsadapt.adapt.source_only import SourceOnly

METHODS: dict[str, type[Method]] = {
    "source_only": SourceOnly,
    "adapted_batch_norm": AdaptedBatchNorm,
    "output_space": OutputSpace,
    "feature_space": FeatureSpace,
    "advent": Advent,
    "min_ent": MinEnt,
    "clan": Clan,
    "multi_scale_features": MultiScaleFeatures,
    "cbst": Cbst,
    "iast": Iast,
    "mean_teacher": MeanTeacher,
    "dacs": Dacs,
    "daformer": Daformer,
    "mic": Mic,
}
