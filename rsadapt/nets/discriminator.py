"""The fully convolutional domain discriminator of AdaptSegNet."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from rsadapt.errors import ShapeError


class Discriminator(nn.Module):
    """Five 4x4 convolutions of stride 2 with leaky ReLU between (Tsai et al. 2018, section 4.3).

    Args:
        channels: channels of what it judges; the number of classes for output space.
        width: channels of the first layer; the next three double it. 64 is the published one.

    Attributes:
        stride: pixels between neighbouring outputs, and the least image size.
    """

    stride = 32

    def __init__(self, channels: int, *, width: int = 64) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride=2, padding=1),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, stride=2, padding=1))

    def forward(self, maps: Tensor) -> Tensor:
        """Judge maps [N, channels, H, W]; logits [N, 1, H // 32, W // 32], low for source.

        Raises:
            ShapeError: for maps smaller than the stride.
        """
        if min(maps.shape[-2:]) < self.stride:
            raise ShapeError(
                f"the discriminator needs at least {self.stride} x {self.stride} pixels, found "
                f"{maps.shape[-2]} x {maps.shape[-1]}; use tiles of {self.stride} or more"
            )
        out: Tensor = self.layers(maps)
        return out
