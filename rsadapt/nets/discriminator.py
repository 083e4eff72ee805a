"""The fully convolutional domain discriminator of AdaptSegNet."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from rsadapt.errors import ShapeError


class Discriminator(nn.Module):
    """Five convolutions with leaky ReLU between (Tsai et al. 2018, section 4.3).

    Args:
        channels: channels of what it judges; the number of classes for output space.
        width: channels of the first layer; the next three double it. 64 is the published one.
        reductions: how many of the layers, 0..5, halve their input: the first ones, by 4x4
            convolutions of stride 2. The others are 3x3 of stride 1. All five halve in the
            published one; features, which are at stride 8 already, leave room for two.

    Attributes:
        stride: pixels between neighbouring outputs, and the least size of what it judges.
    """

    def __init__(self, channels: int, *, width: int = 64, reductions: int = 5) -> None:
        super().__init__()
        self.stride = 2**reductions
        widths = [channels, width, 2 * width, 4 * width, 8 * width, 1]
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise(widths)):
            layers += [
                _layer(inputs, outputs, halve=number < reductions),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers[:-1])  # the last judges; nothing bends its logits

    def forward(self, maps: Tensor) -> Tensor:
        """Judge maps [N, channels, H, W]; logits [N, 1, H // stride, W // stride], low for source.

        Raises:
            ShapeError: for maps smaller than the stride.
        """
        if min(maps.shape[-2:]) < self.stride:
            raise ShapeError(
                f"the discriminator needs maps of at least {self.stride} x {self.stride}, found "
                f"{maps.shape[-2]} x {maps.shape[-1]}; use larger images"
            )
        out: Tensor = self.layers(maps)
        return out


def _layer(inputs: int, outputs: int, *, halve: bool) -> nn.Conv2d:
    if halve:
        return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
    return nn.Conv2d(inputs, outputs, 3, padding=1)
