"""A small encoder for demonstrations, tests and two slow cores."""

from __future__ import annotations

from torch import Tensor, nn

from rsadapt.nets.encoder import Encoder


class SmallEncoder(Encoder):
    """Three dilated stages at an output stride of 4: about a hundredth of a ResNet-18's work.

    Args:
        bands: bands of the image.
        width: channels of the stem; the stages have 2, 3 and 4 times as many.
    """

    def __init__(self, *, bands: int = 3, width: int = 16) -> None:
        first, second, third = 2 * width, 3 * width, 4 * width
        super().__init__(
            _layer(bands, width, stride=2),
            [
                nn.Sequential(_layer(width, first, stride=2), _Residual(first)),
                nn.Sequential(_layer(first, second, dilation=2), _Residual(second, dilation=2)),
                nn.Sequential(_layer(second, third, dilation=4), _Residual(third, dilation=4)),
            ],
            channels=(first, second, third),
            stride=4,
        )


class _Residual(nn.Module):
    """A 3x3 layer whose input is added to its output."""

    def __init__(self, channels: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.layer = _layer(channels, channels, dilation=dilation)

    def forward(self, value: Tensor) -> Tensor:
        out: Tensor = value + self.layer(value)
        return out


def _layer(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False
        ),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
