"""The discriminator of CycleGAN: is each patch of an image real, or translated?"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from rsadapt.errors import ShapeError
from rsadapt.nets.generator import small_weights
from rsadapt.nets.instance_norm import instance_norm, seen_pixels

LEAST = 24
"""Pixels of a side that leave one cell to judge."""


class PatchDiscriminator(nn.Module):
    """Five 4x4 layers of which three halve, so that a cell sees 70 x 70 pixels (Isola et al. 2017).

    Leaky ReLU lies between them, instance norm before it but behind the first. Invalid pixels, 0 in
    every band, have no part in the norm.

    Args:
        bands: bands of the image.
        width: channels of the first layer; the next three double it. 64 is the published one.
    """

    def __init__(self, bands: int, *, width: int = 64) -> None:
        super().__init__()
        widths = [bands, width, 2 * width, 4 * width, 8 * width, 1]
        self.layers = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 4, stride=2 if number < 3 else 1, padding=1)
            for number, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.apply(small_weights)

    def forward(self, image: Tensor) -> Tensor:
        """Judge standardised images [N, bands, H, W]: [N, 1, H // 8 - 2, W // 8 - 2], no bounds.

        Raises:
            ShapeError: for images below 24 pixels a side.
        """
        if min(image.shape[-2:]) < LEAST:
            raise ShapeError(
                f"the patch discriminator needs images of at least {LEAST} x {LEAST} pixels, found "
                f"{image.shape[-2]} x {image.shape[-1]}; raise translation.tile"
            )
        seen = seen_pixels(image)
        first, *inner, last = self.layers
        value = functional.leaky_relu(first(image), 0.2)
        for layer in inner:
            value = functional.leaky_relu(instance_norm(layer(value), seen), 0.2)
        out: Tensor = last(value)
        return out
