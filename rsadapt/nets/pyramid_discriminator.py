"""The domain discriminator of FCAN, which judges every location at several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PyramidDiscriminator(nn.Module):
    """Dilated branches that each judge every location; their answers are averaged.

    That is atrous spatial pyramid pooling (Chen et al. 2018, section 3.2) as a discriminator
    (Zhang et al. 2018, FCAN, section 3.3).

    Args:
        channels: channels of the features that it judges.
        width: channels of each branch.
        rates: the branches' dilations, in cells of the features.
    """

    def __init__(self, channels: int, *, width: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, width, 3, padding=rate, dilation=rate),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(width, 1, 1),
            )
            for rate in rates
        )

    def forward(self, features: Tensor) -> Tensor:
        """Judge features [N, channels, h, w]; logits [N, 1, h, w]."""
        return torch.stack([branch(features) for branch in self.branches]).mean(0)
