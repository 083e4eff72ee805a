"""The VGG-16 encoder of DeepLab: two pools left out, its last layers dilated and convolutional."""

from __future__ import annotations

from itertools import pairwise

import torchvision
from torch import nn

from rsadapt.nets.encoder import Encoder, for_bands, imagenet_tensors


class VggEncoder(Encoder):
    """VGG-16 (Simonyan and Zisserman 2015) at an output stride of 8, without batch norm.

    The fourth and fifth pool are left out and the convolutions behind them dilated by 2 and 4
    instead; two 3x3 convolutions of 1024 channels stand for the fully connected layers (DeepLab's
    LargeFOV, Chen et al. 2018, section 4.1). The stages are conv4, conv5 and those two. The three
    2x2 pools that stay centre cell i on pixel 8 * i + 3.5; an image has floor(size / 8) cells.

    Args:
        bands: bands of the image.
        pretrained: start the thirteen convolutions of VGG-16 from torchvision's ImageNet weights,
            which it downloads or finds in its cache; the two last layers start at random. For
            other than three bands see `encoder.for_bands`.
    """

    def __init__(self, *, bands: int = 3, pretrained: bool = False) -> None:
        stem = nn.Sequential(
            *_convolutions(bands, 64, 64),
            nn.MaxPool2d(2),
            *_convolutions(64, 128, 128),
            nn.MaxPool2d(2),
            *_convolutions(128, 256, 256, 256),
            nn.MaxPool2d(2),
        )
        stages: list[nn.Module] = [
            nn.Sequential(*_convolutions(256, 512, 512, 512)),
            nn.Sequential(*_convolutions(512, 512, 512, 512, dilation=2)),
            nn.Sequential(*_convolutions(512, 1024, 1024, dilation=4)),
        ]
        super().__init__(stem, stages, channels=(512, 512, 1024), stride=8, anchor="middle")
        if pretrained:
            net = torchvision.models.vgg16(init_weights=False)
            net.load_state_dict(imagenet_tensors("vgg16"))
            self._start_from(net.features)

    def _start_from(self, features: nn.Module) -> None:
        """Copy the convolutions of torchvision's VGG-16, which come first and in this order."""
        theirs = [layer for layer in features.modules() if isinstance(layer, nn.Conv2d)]
        ours = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]
        theirs[0] = for_bands(theirs[0], ours[0].in_channels)
        for layer, given in zip(ours, theirs, strict=False):  # ours are two more
            layer.load_state_dict(given.state_dict())


def _convolutions(*widths: int, dilation: int = 1) -> list[nn.Module]:
    """3x3 convolutions from each width to the next, each with a ReLU behind it."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layer = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
        # He et al. 2015, equation 10: fifteen layers without batch norm keep the signal's size.
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layer.bias = nn.Parameter(layer.weight.new_zeros(outputs))
        layers += [layer, nn.ReLU(inplace=True)]
    return layers
