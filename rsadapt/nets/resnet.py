"""ResNet encoders from torchvision's blocks, dilated to an output stride of 8."""

from __future__ import annotations

from typing import Literal

import torch
import torchvision
from torch import nn

from rsadapt.nets.encoder import Encoder

ResNetName = Literal["resnet18", "resnet34", "resnet50", "resnet101"]


class ResNetEncoder(Encoder):
    """The convolutional part of a ResNet (He et al. 2016) without its two last reductions.

    The third and fourth stage keep the second's resolution and dilate their 3x3 convolutions by 2
    and 4 instead (DeepLab-v2, Chen et al. 2018, section 3.1). torchvision refuses to dilate the
    basic blocks of ResNet-18 and 34, so every depth is dilated here, after construction.

    Args:
        name: which ResNet.
        bands: bands of the image.
        pretrained: start from torchvision's ImageNet weights, which it downloads or finds in its
            cache. For other than three bands the first layer repeats the weights of red, green and
            blue in turn, scaled to keep the size of its response.
    """

    def __init__(self, name: ResNetName, *, bands: int = 3, pretrained: bool = False) -> None:
        net = torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None)
        _dilate(net.layer3, 2)
        _dilate(net.layer4, 4)
        expansion = net.layer1[0].expansion
        super().__init__(
            nn.Sequential(_first_layer(net.conv1, bands), net.bn1, net.relu, net.maxpool),
            [net.layer1, net.layer2, net.layer3, net.layer4],
            channels=tuple(expansion * width for width in (64, 128, 256, 512)),
            stride=8,
        )


def _dilate(stage: nn.Module, dilation: int) -> None:
    """Remove a stage's stride and dilate its 3x3 convolutions."""
    for layer in stage.modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
            if layer.kernel_size == (3, 3):
                layer.dilation = layer.padding = (dilation, dilation)


def _first_layer(layer: nn.Conv2d, bands: int) -> nn.Conv2d:
    """Return a first layer for `bands` bands that starts from the weights of a three-band one."""
    if bands == layer.in_channels:
        return layer
    fresh = nn.Conv2d(bands, layer.out_channels, 7, stride=2, padding=3, bias=False)
    with torch.no_grad():
        turns = torch.arange(bands) % layer.in_channels
        fresh.weight.copy_(layer.weight[:, turns] * (layer.in_channels / bands))
    return fresh
