"""DeepLab-v2: an encoder with an atrous classifier on each of its last stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsadapt.errors import ShapeError
from rsadapt.nets.encoder import Encoder

Upsampling = Literal["cells", "corners"]


class AtrousPyramid(nn.Module):
    """A classifier: 3x3 convolutions of several dilations, summed (Chen et al. 2018, section 3.2).

    Args:
        channels: channels of the features.
        classes: classes to tell apart.
        rates: the dilations.
    """

    def __init__(self, channels: int, classes: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_branch(channels, classes, rate) for rate in rates)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [N, channels, h, w] into logits [N, classes, h, w]."""
        return torch.stack([branch(features) for branch in self.branches]).sum(0)


class DeepLab(nn.Module):
    """A segmentation network with one classifier a level, coarse level first, main level last.

    Args:
        encoder: gives the features; its last `levels` stages get a classifier each.
        bands: bands of the image.
        classes: classes to tell apart.
        levels: classifiers; 1 is plain DeepLab-v2, 2 the multi-level network of AdaptSegNet.
        rates: dilations of the classifiers.
        upsampling: how `upsample` places the logits, see there.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        bands: int,
        classes: int,
        levels: int = 2,
        rates: Sequence[int] = (6, 12, 18, 24),
        upsampling: Upsampling = "cells",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.bands = bands
        self.levels = levels
        self.stride = encoder.stride
        self.upsampling = upsampling
        self.classifiers = nn.ModuleList(
            AtrousPyramid(width, classes, rates) for width in encoder.channels[-levels:]
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn images into logits.

        Args:
            image: float [N, bands, H, W].

        Returns:
            One [N, classes, ceil(H / stride), ceil(W / stride)] a level, main level last.

        Raises:
            ShapeError: for another number of bands, or images of less than two cells.
        """
        self._check(image)
        features = self.encoder(image)[-self.levels :]
        return [head(value) for head, value in zip(self.classifiers, features, strict=True)]

    def upsample(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Bring logits [N, classes, h, w] to image size (height, width), bilinearly.

        "cells" puts cell i where its receptive field is centred, at pixel stride * i, so that an
        edge stays where it is whatever the tile's size. "corners" stretches the cells so that the
        first and last meet the image's corners, as the published AdaptSegNet does.
        """
        if self.upsampling == "corners":
            return functional.interpolate(logits, size, mode="bilinear", align_corners=True)
        height, width = size
        reach = [self.stride * cells + 1 for cells in logits.shape[-2:]]
        padded = functional.pad(logits, (0, 1, 0, 1), mode="replicate")
        full = functional.interpolate(padded, reach, mode="bilinear", align_corners=True)
        return full[..., :height, :width]

    def head_parameters(self) -> list[nn.Parameter]:
        """The classifiers' parameters, which usually learn faster than the encoder's."""
        return list(self.classifiers.parameters())

    def _check(self, image: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != self.bands:
            raise ShapeError(
                f"the network takes images [samples, {self.bands} bands, height, width], "
                f"found {list(image.shape)}"
            )
        least = self.stride + 1
        if min(image.shape[-2:]) < least:
            raise ShapeError(
                f"the network needs images of at least {least} x {least} pixels, found "
                f"{image.shape[-2]} x {image.shape[-1]}; use tiles of {2 * self.stride} or more"
            )


def _branch(channels: int, classes: int, rate: int) -> nn.Conv2d:
    branch = nn.Conv2d(channels, classes, 3, padding=rate, dilation=rate)
    nn.init.normal_(branch.weight, std=0.01)  # as DeepLab-v2's released models start
    branch.bias = nn.Parameter(torch.zeros(classes))
    return branch
