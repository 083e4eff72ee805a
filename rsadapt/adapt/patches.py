"""Images hidden in whole square patches (Hoyer et al. 2023, MIC, equations 5 and 6)."""

from __future__ import annotations

import torch
from torch import Tensor


def kept_patches(
    shape: tuple[int, int, int], *, patch: int, ratio: float, random: torch.Generator
) -> Tensor:
    """Which pixels are left when patches of a grid are hidden.

    Of each image the same number is hidden, the nearest to the ratio; the paper hides every patch
    by itself with that chance, by which few patches may all go, or none.

    Args:
        shape: images, height and width. Patches at the lower and right edge may be cut off.
        patch: height and width of a patch in pixels.
        ratio: of patches that are hidden.
        random: on the CPU.

    Returns:
        bool [N, H, W] on the CPU.
    """
    number, height, width = shape
    rows, cols = -(-height // patch), -(-width // patch)
    order = torch.rand((number, rows * cols), generator=random).argsort(1).argsort(1)
    kept = (order >= round(ratio * rows * cols)).view(number, rows, cols)
    grown = kept.repeat_interleave(patch, 1).repeat_interleave(patch, 2)
    return grown[:, :height, :width]
