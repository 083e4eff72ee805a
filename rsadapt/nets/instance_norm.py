"""Instance normalisation that valid pixels alone decide."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-5
"""Added to variances, as PyTorch does."""


def seen_pixels(image: Tensor) -> Tensor | None:
    """Which pixels of standardised images count: those that are not 0 in every band.

    That is how the normaliser leaves invalid pixels, and hardly any other.

    Args:
        image: float [N, bands, H, W].

    Returns:
        [N, 1, H, W] of the same dtype, 1 where a pixel counts; None where all do.
    """
    seen = (image != 0).any(1, keepdim=True)
    return None if bool(seen.all()) else seen.to(image.dtype)


def instance_norm(features: Tensor, seen: Tensor | None) -> Tensor:
    """Bring each channel of each image to mean 0 and variance 1 over what counts.

    A cell counts by the share of its pixels that do. With all of them this is Ulyanov et al. 2016,
    equation 4; where none does, features are only brought near 0.

    Args:
        features: float [N, channels, h, w].
        seen: see `seen_pixels`.
    """
    if seen is None:
        return functional.instance_norm(features, eps=EPSILON)
    rows, cols = features.shape[-2:]
    wide = torch.promote_types(features.dtype, torch.float32)  # half precision sums too coarsely
    kind, features = features.dtype, features.to(wide)
    weight = functional.adaptive_avg_pool2d(seen.to(wide), (rows, cols))
    total = weight.sum((2, 3), keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
    mean = (features * weight).sum((2, 3), keepdim=True) / total
    centred = features - mean
    variance = (centred.square() * weight).sum((2, 3), keepdim=True) / total
    return (centred * (variance + EPSILON).rsqrt()).to(kind)
