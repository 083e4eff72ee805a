"""What a segmentation network asks of an encoder: the features of its stages."""

from __future__ import annotations

from torch import Tensor, nn


class Encoder(nn.Module):
    """A stem and stages, each of which hands its features to the next and to the caller.

    Cell (i, j) of every feature map that is used must lie at pixel (stride * i, stride * j), which
    convolutions and pools of odd size with half of it as padding give.

    Args:
        stem: turns images into the first stage's input.
        stages: in order.
        channels: channels of each stage's features.
        stride: pixels between neighbouring cells of the stages that are used.
    """

    def __init__(
        self, stem: nn.Module, stages: list[nn.Module], *, channels: tuple[int, ...], stride: int
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.channels = channels
        self.stride = stride

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn images [N, bands, H, W] into the features of each stage, first stage first."""
        features = []
        value = self.stem(image)
        for stage in self.stages:
            value = stage(value)
            features.append(value)
        return features
