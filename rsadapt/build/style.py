"""From a style's settings to the transform that they name."""

from __future__ import annotations

from functools import partial

from rsadapt import config
from rsadapt.data.style import (
    Transform,
    match_covariance,
    match_histogram,
    match_moments,
    match_spectrum,
)


def style_transform(style: config.StyleSettings) -> Transform:
    """What gives an image the look of another."""
    if isinstance(style, config.FdaSettings):
        return partial(match_spectrum, beta=style.beta)
    if isinstance(style, config.ReinhardSettings):
        return match_moments if style.match == "bands" else match_covariance
    return match_histogram
