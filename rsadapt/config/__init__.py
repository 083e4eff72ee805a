"""The configuration: its fields, and how it is read from YAML."""

from rsadapt.config.reading import assign, change, dump, load_yaml, parse, recipe
from rsadapt.config.schema import (
    AdaptedBatchNormSettings,
    AdversarialSettings,
    Configuration,
    FeatureSpaceSettings,
    FolderSettings,
    NetworkSettings,
    Pyramid,
    RegionSettings,
    SizeSettings,
    SourceOnlySettings,
    SplitSettings,
)

__all__ = [
    "AdaptedBatchNormSettings",
    "AdversarialSettings",
    "Configuration",
    "FeatureSpaceSettings",
    "FolderSettings",
    "NetworkSettings",
    "Pyramid",
    "RegionSettings",
    "SizeSettings",
    "SourceOnlySettings",
    "SplitSettings",
    "assign",
    "change",
    "dump",
    "load_yaml",
    "parse",
    "recipe",
]
