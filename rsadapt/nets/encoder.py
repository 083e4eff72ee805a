"""What a segmentation network asks of an encoder: the features of its stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from rsadapt.nets.cells import Anchor


class Encoder(nn.Module):
    """A stem and stages, each of which hands its features to the next and to the caller.

    Cell (i, j) of every feature map that is used must be centred on pixel (stride * i + offset,
    stride * j + offset). Convolutions and pools of odd size with half of it as padding centre a
    cell on the first pixel of its stride; pools as wide as they stride centre it in the middle.

    Args:
        stem: turns images into the first stage's input.
        stages: in order.
        channels: channels of each stage's features.
        stride: pixels between neighbouring cells of the stages that are used.
        anchor: where in its stride a cell is centred.
        period: pixels by which an image must move for all features to move with it whole; the
            stride, unless stages between are coarser.
        least_side: of an image; a pixel more than the stride unless given.

    Attributes:
        recompute: forget what lies within stem and blocks and compute it again where gradients
            are taken: less memory for more time.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: list[nn.Module],
        *,
        channels: tuple[int, ...],
        stride: int,
        anchor: Anchor = "first",
        period: int | None = None,
        least_side: int | None = None,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.channels = channels
        self.stride = stride
        self.anchor: Anchor = anchor
        self.period = stride if period is None else period
        self.least_side = stride + 1 if least_side is None else least_side
        self.recompute = False

    @property
    def offset(self) -> float:
        """Pixels from the first pixel's centre to the first cell's."""
        return 0.0 if self.anchor == "first" else (self.stride - 1) / 2

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn images [N, bands, H, W] into the features of each stage, first stage first."""
        features = []
        value = self._run(self.stem, image)
        for stage in self.stages:
            for block in _blocks(stage):
                value = self._run(block, value)
            features.append(value)
        return features

    def _run(self, block: nn.Module, value: Tensor) -> Tensor:
        if self.recompute and self.training and torch.is_grad_enabled():
            return recomputed(block, value)
        out: Tensor = block(value)
        return out


def recomputed(block: nn.Module, value: Tensor) -> Tensor:
    """What a block makes of a value, of which it keeps nothing for its gradient but the value.

    The block runs again where the gradient is taken; its running statistics move the first time
    only.
    """
    out: Tensor = checkpoint(
        block,
        value,
        use_reentrant=False,
        preserve_rng_state=False,  # no block draws
        context_fn=lambda: (nullcontext(), _resting(block)),
    )
    return out


@contextmanager
def _resting(block: nn.Module) -> Iterator[None]:
    """Let running statistics stay as they are, by a weight of 0 of the batches that pass."""
    layers = [layer for layer in block.modules() if isinstance(layer, _BatchNorm)]
    before = [(layer.momentum, layer.num_batches_tracked) for layer in layers]
    for layer, (_, tracked) in zip(layers, before, strict=True):
        layer.momentum = 0.0
        if tracked is not None:  # a count to throw away: SyncBatchNorm does not do without one
            layer.num_batches_tracked = torch.zeros_like(tracked)
    try:
        yield
    finally:
        for layer, (momentum, tracked) in zip(layers, before, strict=True):
            layer.momentum, layer.num_batches_tracked = momentum, tracked


def _blocks(stage: nn.Module) -> list[nn.Module]:
    """The blocks of a stage; one of single layers, which work in place, is a block itself."""
    blocks = list(stage.children())
    return blocks if blocks and all(list(block.children()) for block in blocks) else [stage]


def for_bands(layer: nn.Conv2d, bands: int) -> nn.Conv2d:
    """Return a first layer for `bands` bands that starts from the weights of a three-band one.

    It repeats the weights of red, green and blue in turn, scaled to keep the size of the response.
    """
    if bands == layer.in_channels:
        return layer
    fresh = nn.Conv2d(
        bands,
        layer.out_channels,
        layer.kernel_size[0],
        stride=layer.stride[0],
        padding=int(layer.padding[0]),
        bias=layer.bias is not None,
    )
    with torch.no_grad():
        fresh.weight.copy_(spread(layer.weight, bands))
        if fresh.bias is not None and layer.bias is not None:
            fresh.bias.copy_(layer.bias)
    return fresh


def spread(weight: Tensor, bands: int) -> Tensor:
    """Kernels [channels, 3, h, w] for `bands` bands: repeated in turn, scaled by 3 / bands.

    A band then weighs as much less as there are more of them, so that bands alike (those of most
    imagery nearly are) give a response of the size that it had.
    """
    turns = torch.arange(bands, device=weight.device) % weight.shape[1]
    return weight[:, turns] * (weight.shape[1] / bands)


def imagenet_tensors(name: str) -> dict[str, Tensor]:
    """The ImageNet weights of a network of torchvision's, downloaded or from its cache.

    Left to itself torchvision runs what code stands in a cached file, of which it checks no digest.

    Raises:
        UnpicklingError: for a file that holds more than tensors.
    """
    weights = torchvision.models.get_model_weights(name).DEFAULT
    return dict(weights.get_state_dict(check_hash=True, weights_only=True))


def imagenet_url(name: str) -> str:
    """Where torchvision downloads the ImageNet weights of a network from, such as "resnet18"."""
    return str(torchvision.models.get_model_weights(name).DEFAULT.url)
