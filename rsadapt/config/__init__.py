"""The configuration: its fields, and how it is read from YAML."""

from rsadapt.config.datasets import DatasetSettings, load_dataset
from rsadapt.config.files import load_yaml, ready, recipe
from rsadapt.config.reading import assign, change, dump, parse, renewed
from rsadapt.config.schema import (
    ClassSettings,
    Configuration,
    FolderSettings,
    NetworkSettings,
    PredictionSettings,
    Pyramid,
    RegionSettings,
    SizeSettings,
    SplitSettings,
)

__all__ = [
    "ClassSettings",
    "Configuration",
    "DatasetSettings",
    "FolderSettings",
    "NetworkSettings",
    "PredictionSettings",
    "Pyramid",
    "RegionSettings",
    "SizeSettings",
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
