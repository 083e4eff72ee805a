"""Features of stages of several strides as one: the decoder of SegFormer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from rsadapt.nets.cells import Anchor, brought_to


class Fusion(nn.Module):
    """All but the last layer of SegFormer's all-MLP decoder (Xie et al. 2021, section 3.2).

    There every stage goes through a linear layer, is brought to the finest stage's cells, and all
    together go through another. Nothing bends between the two, and what is linear in a cell's
    channels may as well come before interpolation: here they are one layer a stage, computed on the
    stage's own few cells, and a sum. Normalisation is by cell instead of by batch, so that a cell
    knows neither the batch nor pixels without data elsewhere in it.

    Args:
        channels: of each stage, finest first; each has half the resolution of that before it.
        width: channels of the result.
        anchor: where in its stride a cell is centred.
    """

    def __init__(self, channels: Sequence[int], width: int, anchor: Anchor) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(each, width, 1, bias=stage == 0) for stage, each in enumerate(channels)
        )
        self.norm = nn.LayerNorm(width)
        self.anchor = anchor

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Turn the stages' features [N, channels, h, w] into one [N, width, h, w] of the finest.

        Args:
            features: of at least as many stages as it has layers for; later ones are not looked at.
        """
        height, width = features[0].shape[-2:]
        total = self.layers[0](features[0])
        for number, layer in enumerate(self.layers):
            if number > 0:
                value = layer(features[number])
                total = total + brought_to(value, 2**number, (height, width), self.anchor)
        normal: Tensor = self.norm(total.permute(0, 2, 3, 1))
        return functional.relu(normal).permute(0, 3, 1, 2)


class Pointwise(nn.Module):
    """A linear classifier of cells, called in weight files as a pyramid's only branch is.

    Args:
        channels: channels of the features.
        classes: classes to tell apart.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layer = nn.Conv2d(channels, classes, 1)
        nn.init.normal_(layer.weight, std=0.01)  # as a pyramid's branches start
        layer.bias = nn.Parameter(layer.weight.new_zeros(classes))
        self.branches = nn.ModuleList([layer])

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [N, channels, h, w] into logits [N, classes, h, w]."""
        logits: Tensor = self.branches[0](features)
        return logits
