"""VGG-16 as DeepLab has it; no test downloads weights."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.models import vgg

from rsadapt.nets.vgg import VggEncoder

PLAN = [64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512]
"""Configuration D of Simonyan and Zisserman 2015, table 1, up to conv4."""


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_stages_have_the_promised_channels_and_stride(bands):
    with torch.device("meta"):
        encoder = VggEncoder(bands=bands)
        features = encoder(torch.zeros(2, bands, 65, 103))
    assert [tuple(stage.shape) for stage in features] == [
        (2, channels, 8, 12) for channels in encoder.channels
    ]
    assert encoder.channels == (512, 512, 1024)


def test_features_equal_the_layers_written_out():
    encoder = VggEncoder().double()
    layers = (layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d))

    def convolution(value, dilation=1):
        weight, bias = next(layers).parameters()
        assert weight.shape[-2:] == (3, 3)
        return functional.conv2d(value, weight, bias, padding=dilation, dilation=dilation).relu()

    image = torch.rand(1, 3, 33, 40, dtype=torch.float64)
    value, expected = image, []
    for width in PLAN:
        value = functional.max_pool2d(value, 2) if width == "pool" else convolution(value)
        assert width in ("pool", value.shape[1])
    for dilations in ((), (2, 2, 2), (4, 4)):
        for dilation in dilations:
            value = convolution(value, dilation)
        expected.append(value)
    for found, wanted in zip(encoder(image), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
        assert found.std() > 0.01  # the signal does not fade without batch norm


def test_cells_lie_in_the_middle_of_their_stride():
    """Under mirrored kernels, mirroring whole strides mirrors the cells exactly."""
    encoder = VggEncoder().double()
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = (layer.weight.data + layer.weight.data.flip(2, 3)) / 2
    image = torch.rand(1, 3, 40, 40, dtype=torch.float64)
    for plain, turned in zip(encoder(image), encoder(image.flip(2, 3)), strict=True):
        torch.testing.assert_close(turned, plain.flip(2, 3), rtol=1e-9, atol=1e-12)
    assert encoder.offset == 3.5


@pytest.mark.parametrize("bands", [3, 4])
def test_pretrained_convolutions_arrive_and_the_last_two_are_fresh(monkeypatch, bands):
    features = vgg.make_layers(vgg.cfgs["D"])  # in the place of a download
    tensors = nn.ModuleDict({"features": features}).state_dict()
    monkeypatch.setattr("rsadapt.nets.vgg.imagenet_tensors", {"vgg16": tensors}.get)

    def without_its_classifier(*, init_weights):
        assert not init_weights
        net = nn.Module()
        net.features = vgg.make_layers(vgg.cfgs["D"])
        return net

    monkeypatch.setattr(torchvision.models, "vgg16", without_its_classifier)
    encoder = VggEncoder(bands=bands, pretrained=True)
    ours = [layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d)]
    given = [layer for layer in features if isinstance(layer, nn.Conv2d)]
    assert len(ours) == len(given) + 2
    for band in range(bands):
        torch.testing.assert_close(
            ours[0].weight[:, band], given[0].weight[:, band % 3] * 3 / bands
        )
    assert torch.equal(ours[0].bias, given[0].bias)
    for layer, start in zip(ours[1:], given[1:], strict=False):
        assert torch.equal(layer.weight, start.weight)
        assert torch.equal(layer.bias, start.bias)
