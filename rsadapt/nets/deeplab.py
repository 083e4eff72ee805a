"""DeepLab-v2: an encoder with an atrous classifier on each of its last stages; or with fusions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from rsadapt.errors import ShapeError
from rsadapt.nets.cells import brought_to
from rsadapt.nets.encoder import Encoder
from rsadapt.nets.fusion import Fusion, Pointwise

Upsampling = Literal["cells", "corners"]
Pyramid = Literal["all", "first_two"]
Affine = Literal["trained", "frozen"]


class AtrousPyramid(nn.Module):
    """A classifier: 3x3 convolutions of several dilations, summed (Chen et al. 2018, section 3.2).

    Args:
        channels: channels of the features.
        classes: classes to tell apart.
        rates: the dilations.
        pyramid: which branches are summed. "first_two" is what the published multi-level and VGG
            networks do: the others are kept, so that their weight files fit, and never used, so
            that they get no gradient.
    """

    def __init__(
        self, channels: int, classes: int, rates: Sequence[int], pyramid: Pyramid = "all"
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_branch(channels, classes, rate) for rate in rates)
        self.used = len(self.branches) if pyramid == "all" else 2
        self.rates = list(rates)[: self.used]

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [N, channels, h, w] into logits [N, classes, h, w]."""
        branches = self.branches[: self.used]
        if self.training:
            weights, biases = (
                [branch.get_parameter(name) for branch in branches] for name in ("weight", "bias")
            )
            return _summed(features, weights, biases, self.rates)
        return torch.stack([branch(features) for branch in branches]).sum(0)


class DeepLab(nn.Module):
    """A segmentation network with one classifier a level, coarse level first, main level last.

    Args:
        encoder: gives the features; its last `levels` stages get a classifier each.
        bands: bands of the image.
        classes: classes to tell apart.
        levels: classifiers; 1 is plain DeepLab-v2, 2 the multi-level network of AdaptSegNet.
        rates: dilations of the classifiers.
        upsampling: how `upsample` places the logits, see there.
        pyramid: which of a classifier's branches are summed, see `AtrousPyramid`.
        batch_norm_affine: whether the encoder's batch norm learns its scale and shift; the
            published networks keep them.
        fused: channels of the features that a linear classifier sees in place of a pyramid: all
            stages as one for the main level, and one stage fewer for each level before; for
            encoders that hand out stages of several strides. None for pyramids.
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
        pyramid: Pyramid = "all",
        batch_norm_affine: Affine = "trained",
        fused: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.bands = bands
        self.classes = classes
        self.levels = levels
        self.stride = encoder.stride
        self.upsampling = upsampling
        self.fused = fused
        self.fusions = nn.ModuleList()
        if fused is not None:
            for later in reversed(range(levels)):
                stages = encoder.channels[: len(encoder.channels) - later]
                self.fusions.append(Fusion(stages, fused, encoder.anchor))
        self.classifiers = nn.ModuleList(
            AtrousPyramid(width, classes, rates, pyramid)
            if fused is None
            else Pointwise(width, classes)
            for width in self.channels
        )
        if batch_norm_affine == "frozen":
            _freeze_affine(encoder)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the features behind each classifier."""
        if self.fused is not None:
            return (self.fused,) * self.levels
        return self.encoder.channels[-self.levels :]

    def is_auxiliary(self, tensor: str) -> bool:
        """Whether a named tensor is of a classifier before the main level's, which only learns."""
        part, level = tensor.split(".")[:2]
        return part in ("classifiers", "fusions") and level != str(self.levels - 1)

    @overload
    def forward(self, image: Tensor, *, with_features: Literal[False] = False) -> list[Tensor]: ...

    @overload
    def forward(
        self, image: Tensor, *, with_features: Literal[True]
    ) -> tuple[list[Tensor], list[Tensor]]: ...

    def forward(
        self, image: Tensor, *, with_features: bool = False
    ) -> list[Tensor] | tuple[list[Tensor], list[Tensor]]:
        """Turn images into logits.

        Args:
            image: float [N, bands, H, W].
            with_features: whether to return what the classifiers saw as well.

        Returns:
            Logits [N, classes, h, w], one a level, main level last. With features, a pair of those
            and the features [N, channels, h, w] behind each, in the same order. h is what the
            encoder makes of H: ceil(H / stride) where its layers round as convolutions do,
            floor((H + 1) / 8) + 1 for a ResNet of the published layout, whose last cell may lie
            beyond the image, floor(H / 8) for VGG; w likewise.

        Raises:
            ShapeError: for another number of bands, or images too small for the encoder.
        """
        self._check(image)
        stages = self.encoder(image)
        features = [fusion(stages) for fusion in self.fusions] or stages[-self.levels :]
        logits = [head(value) for head, value in zip(self.classifiers, features, strict=True)]
        return (logits, features) if with_features else logits

    def upsample(
        self, logits: Tensor, size: tuple[int, int], image_size: tuple[int, int] | None = None
    ) -> Tensor:
        """Bring logits [N, classes, h, w] to a size (height, width), bilinearly.

        "cells" puts cell i where its receptive field is centred, at pixel stride * i plus the
        encoder's offset, so that an edge stays where it is whatever the tile's size. "corners"
        stretches the cells so that the first and last meet the corners, as the published
        AdaptSegNet does.

        Args:
            logits: of an image.
            size: wanted.
            image_size: of the image, where that is another one; the same ground is then shown in
                more or fewer pixels.
        """
        if self.upsampling == "corners":
            return functional.interpolate(logits, size, mode="bilinear", align_corners=True)
        shown = size if image_size is None else image_size
        full = brought_to(logits, self.stride, shown, self.encoder.anchor)
        return full if shown == size else functional.interpolate(full, size, mode="bilinear")

    def head_parameters(self) -> list[nn.Parameter]:
        """The parameters behind the encoder, which usually learn faster than its."""
        return [*self.fusions.parameters(), *self.classifiers.parameters()]

    def _check(self, image: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != self.bands:
            raise ShapeError(
                f"the network takes images [samples, {self.bands} bands, height, width], "
                f"found {list(image.shape)}"
            )
        least, enough = self.encoder.least_side, 2 * self.encoder.period
        if min(image.shape[-2:]) < least:
            raise ShapeError(
                f"the network needs images of at least {least} x {least} pixels, found "
                f"{image.shape[-2]} x {image.shape[-1]}; use tiles of {enough} or more"
            )


def _branch(channels: int, classes: int, rate: int) -> nn.Conv2d:
    branch = nn.Conv2d(channels, classes, 3, padding=rate, dilation=rate)
    nn.init.normal_(branch.weight, std=0.01)  # as DeepLab-v2's released models start
    branch.bias = nn.Parameter(torch.zeros(classes))
    return branch


def _summed(
    features: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], rates: Sequence[int]
) -> Tensor:
    """The sum of 3x3 branches by one product for all their taps, whose results are then moved.

    Few classes keep a convolution from its pace, and each branch reads all features again. On a CPU
    this takes a quarter of the time for 2,048 channels, half of it for 512.

    Args:
        features: [N, channels, h, w].
        weights: [classes, channels, 3, 3] of each branch.
        biases: [classes] of each branch.
        rates: dilation of each branch.
    """
    taps = [weight.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2) for weight in weights]
    # A bias goes with the middle tap, which is not moved. Added to the sum, all biases would have
    # one gradient in one memory, where a second batch's would be added once for each of them.
    middles = [functional.pad(bias[:, None], (4, 4)).flatten() for bias in biases]
    answers = functional.conv2d(features, torch.cat(taps)[..., None, None], torch.cat(middles))
    parts = answers.flatten(2).chunk(len(rates), dim=1)
    size = features.shape[-2:]
    moved = [
        functional.fold(part, size, 3, dilation=rate, padding=rate)
        for part, rate in zip(parts, rates, strict=True)
    ]
    return torch.stack(moved).sum(0)


def _freeze_affine(encoder: nn.Module) -> None:
    for layer in encoder.modules():
        if isinstance(layer, _BatchNorm):
            layer.requires_grad_(False)
