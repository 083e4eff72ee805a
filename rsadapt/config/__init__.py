"""The configuration: its fields, and how it is read from YAML."""

from rsadapt.config.datasets import DatasetSettings, load_dataset
from rsadapt.config.files import load_yaml, ready, recipe
from rsadapt.config.reading import assign, change, dump, parse, renewed
from rsadapt.config.schema import (
    AdaptedBatchNormSettings,
    AdversarialSettings,
    ClassSettings,
    Configuration,
    FeatureSpaceSettings,
    FolderSettings,
    NetworkSettings,
    PredictionSettings,
    Pyramid,
    RegionSettings,
    SizeSettings,
    SourceOnlySettings,
    SplitSettings,
)

__all__ = [
    "AdaptedBatchNormSettings",
    "AdversarialSettings",
    "ClassSettings",
    "Configuration",
    "DatasetSettings",
    "FeatureSpaceSettings",
    "FolderSettings",
    "NetworkSettings",
    "PredictionSettings",
    "Pyramid",
    "RegionSettings",
    "SizeSettings",
    "SourceOnlySettings",
    "SplitSettings",
    "assign",
    "change",
    "dump",
    "load_dataset",
    "load_yaml",
    "parse",
    "ready",
    "recipe",
    "renewed",
]
