"""The generator of CycleGAN: an image of one domain in, its look in the other out."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from rsadapt.nets.instance_norm import instance_norm, seen_pixels

STRIDE = 4
"""Pixels of a cell of the blocks: two layers halve, two bring back."""

DEVIATION = 0.02
"""Of initial weights (Zhu et al. 2017, section 7.1)."""


class Generator(nn.Module):
    """Johnson's network with residual blocks (Zhu et al. 2017, section 7.2), for any bands.

    A 7x7 layer, two that halve, the blocks, two fractionally strided ones and a 7x7 layer; instance
    norm and ReLU behind all but the last, reflection at borders. The published one ends in tanh,
    since its images lie in -1..1; standardised bands have no bounds, so here nothing ends it.
    Pixels that are 0 in every band, as the normaliser leaves invalid ones, have no part in the
    norm.

    Args:
        bands: bands of the image.
        width: channels of the first layer; the next two double it. 64 is the published one.
        blocks: residual blocks; 9 is the published number for images of 256 pixels and more.
    """

    def __init__(self, bands: int, *, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        deep = 4 * width
        self.head = _reflecting(bands, width, 7)
        self.down = nn.ModuleList(
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
            for channels in (width, 2 * width)
        )
        self.blocks = nn.ModuleList(_Block(deep) for _ in range(blocks))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)
            for channels in (deep, deep // 2)
        )
        self.tail = _reflecting(width, bands, 7)
        self.apply(small_weights)

    def forward(self, image: Tensor) -> Tensor:
        """Translate standardised images [N, bands, H, W] of 8 pixels a side or more.

        Sides that are no multiple of `STRIDE` are reflected to the next and cut again.
        """
        height, width = image.shape[-2:]
        padded = functional.pad(image, (0, -width % STRIDE, 0, -height % STRIDE), mode="reflect")
        seen = seen_pixels(padded)
        value = functional.relu(instance_norm(self.head(padded), seen))
        for layer in self.down:
            value = functional.relu(instance_norm(layer(value), seen))
        for block in self.blocks:
            value = block(value, seen)
        for layer in self.up:
            value = functional.relu(instance_norm(layer(value), seen))
        out: Tensor = self.tail(value)
        return out[..., :height, :width]


class _Block(nn.Module):
    """Two 3x3 layers whose input is added to their output."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (_reflecting(channels, channels, 3) for _ in range(2))

    def forward(self, value: Tensor, seen: Tensor | None) -> Tensor:
        inner = functional.relu(instance_norm(self.first(value), seen))
        return value + instance_norm(self.second(inner), seen)


def _reflecting(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode="reflect")


def small_weights(layer: nn.Module) -> None:
    """Draw a convolution's weights from a Gaussian of deviation 0.02, and no bias."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, DEVIATION)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
