"""ResNet encoders from torchvision's blocks, dilated to an output stride of 8."""

from __future__ import annotations

from typing import Literal

import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck

from rsadapt.nets.encoder import Encoder, for_bands, imagenet_tensors

ResNetName = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
Layout = Literal["torchvision", "published"]


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
        layout: "published" is the network of the published DeepLab-v2 and AdaptSegNet weights: a
            bottleneck reduces in its first 1x1 convolution, not in its 3x3 one (basic blocks reduce
            in their first convolution either way), and the max-pool rounds its size up. Names and
            shapes of tensors are alike, so that weights of either load into both; they are only
            worth what they were trained for in their own.

    Attributes:
        layout: see above.
    """

    def __init__(
        self,
        name: ResNetName,
        *,
        bands: int = 3,
        pretrained: bool = False,
        layout: Layout = "torchvision",
    ) -> None:
        net = torchvision.models.get_model(name, weights=None)
        if pretrained:
            net.load_state_dict(imagenet_tensors(name))
        if layout == "published":
            net.maxpool.ceil_mode = True
            _reduce_early(net.layer2)
        _dilate(net.layer3, 2)
        _dilate(net.layer4, 4)
        expansion = net.layer1[0].expansion
        super().__init__(
            nn.Sequential(for_bands(net.conv1, bands), net.bn1, net.relu, net.maxpool),
            [net.layer1, net.layer2, net.layer3, net.layer4],
            channels=tuple(expansion * width for width in (64, 128, 256, 512)),
            stride=8,
        )
        self.layout = layout


def _reduce_early(stage: nn.Module) -> None:
    """Move a stage's stride from the 3x3 convolution of its bottlenecks to the 1x1 before it."""
    for block in stage.modules():
        if isinstance(block, Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def _dilate(stage: nn.Module, dilation: int) -> None:
    """Remove a stage's stride and dilate its 3x3 convolutions."""
    for layer in stage.modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
            if layer.kernel_size == (3, 3):
                layer.dilation = layer.padding = (dilation, dilation)
