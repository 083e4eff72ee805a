"""The configuration: its fields, and how it is read from YAML."""

from rsadapt.config.datasets import DatasetSettings, load_dataset
from rsadapt.config.encoders import Anchor, encoder_family, has_batch_norm
from rsadapt.config.files import load_yaml, ready, recipe
from rsadapt.config.reading import assign, change, dump, parse, renewed
from rsadapt.config.schema import (
    ClassSettings,
    Configuration,
    FdaSettings,
    FolderSettings,
    HistogramSettings,
    NetworkSettings,
    PredictionSettings,
    Pyramid,
    RegionSettings,
    ReinhardSettings,
    SizeSettings,
    SplitSettings,
    StyleSettings,
)

__all__ = [
    "Anchor",
    "ClassSettings",
    "Configuration",
    "DatasetSettings",
    "FdaSettings",
    "FolderSettings",
    "HistogramSettings",
    "NetworkSettings",
    "PredictionSettings",
    "Pyramid",
    "RegionSettings",
    "ReinhardSettings",
    "SizeSettings",
    "SplitSettings",
    "StyleSettings",
    "assign",
    "change",
    "dump",
    "encoder_family",
    "has_batch_norm",
    "load_dataset",
    "load_yaml",
    "parse",
    "ready",
    "recipe",
    "renewed",
]
