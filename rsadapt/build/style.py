"""From a style's settings to what gives samples of the source the look of the target."""

from __future__ import annotations

from functools import partial

from rsadapt import config
from rsadapt.data.stream import SampleSource
from rsadapt.data.style import (
    Fit,
    fit_covariance,
    fit_histogram,
    fit_moments,
    match,
    match_spectrum,
)
from rsadapt.data.styling import LikeDomain, LikeSample, OfSome, Restyle, Styling, in_units, pool
from rsadapt.geo.normalise import Normaliser


def styling(
    style: config.StyleSettings,
    ours: SampleSource,
    looks: SampleSource,
    *,
    source: Normaliser,
    target: Normaliser,
    seed: int,
) -> Styling:
    """What gives samples of the source the look of the target.

    Args:
        style: the settings.
        ours: samples of the source as files hold them, without labels.
        looks: samples of the target, likewise.
        source: how the source is standardised.
        target: how the target is.
        seed: of the draw of samples, where not all are changed.
    """
    restyle: Restyle
    if isinstance(style, config.FdaSettings):
        restyle = LikeSample(looks, partial(match_spectrum, beta=style.beta))
    elif style.scope == "sample":
        restyle = LikeSample(looks, partial(match, fit=_fit(style)))
    else:
        pixels = in_units(pool(ours), source, target)
        restyle = LikeDomain(_fit(style)(pixels, pool(looks)))
    if style.share < 1:
        restyle = OfSome(restyle, style.share, seed)
    return Styling(restyle, source=source, target=target)


def _fit(style: config.HistogramSettings | config.ReinhardSettings) -> Fit:
    if isinstance(style, config.HistogramSettings):
        return fit_histogram
    return fit_moments if style.match == "bands" else fit_covariance
