"""Dilated ResNets; no test downloads weights."""

from pathlib import PurePath

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from rsadapt.nets.encoder import imagenet_url
from rsadapt.nets.resnet import ResNetEncoder

EVERY = pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])


@EVERY
@pytest.mark.parametrize("bands", [3, 5])
def test_stages_have_the_promised_channels_and_stride(name, bands):
    with torch.device("meta"):
        encoder = ResNetEncoder(name, bands=bands)
        features = encoder(torch.zeros(2, bands, 65, 100))
    sizes = [(17, 25), (9, 13), (9, 13), (9, 13)]
    assert [tuple(stage.shape) for stage in features] == [
        (2, channels, *size) for channels, size in zip(encoder.channels, sizes, strict=True)
    ]
    wide = 64 if name in ("resnet18", "resnet34") else 256
    assert encoder.channels == (wide, 2 * wide, 4 * wide, 8 * wide)


@EVERY
def test_last_stages_are_dilated_and_not_reduced(name):
    with torch.device("meta"):
        encoder = ResNetEncoder(name)
    for stage, dilation, strides in zip(
        encoder.stages, (1, 1, 2, 4), ({1}, {1, 2}, {1}, {1}), strict=True
    ):
        layers = [layer for layer in stage.modules() if isinstance(layer, nn.Conv2d)]
        assert {layer.stride[0] for layer in layers} == strides
        wide = [layer for layer in layers if layer.kernel_size == (3, 3)]
        assert {(layer.dilation[0], layer.padding[0]) for layer in wide} == {(dilation, dilation)}


LAYOUTS = pytest.mark.parametrize("layout", ["torchvision", "published"])


@LAYOUTS
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_cells_lie_at_multiples_of_the_stride(name, layout):
    """Under mirrored kernels, mirroring pixels 0..4 strides mirrors cells 0..4 exactly."""
    encoder = ResNetEncoder(name, layout=layout).double().eval()
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = (layer.weight.data + layer.weight.data.flip(2, 3)) / 2
    size = 4 * encoder.stride + 1
    image = torch.rand(1, 3, size, size, dtype=torch.float64)
    for plain, turned in zip(encoder(image), encoder(image.flip(2, 3)), strict=True):
        torch.testing.assert_close(turned, plain.flip(2, 3), rtol=1e-9, atol=1e-12)


@EVERY
def test_published_layout_reduces_early_under_the_same_names(name):
    with torch.device("meta"):
        ours, published = ResNetEncoder(name), ResNetEncoder(name, layout="published")
    shapes = [{key: v.shape for key, v in net.state_dict().items()} for net in (ours, published)]
    assert shapes[0] == shapes[1]
    block = published.stages[1][0]
    assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))
    assert block.downsample[0].stride == (2, 2)
    assert all(
        layer.stride == (1, 1)
        for layer in published.stages[1][1:].modules()
        if isinstance(layer, nn.Conv2d)
    )


@pytest.mark.parametrize("size", range(9, 50))
def test_published_layout_rounds_the_number_of_cells_up(size):
    with torch.device("meta"):
        ours, published = ResNetEncoder("resnet18"), ResNetEncoder("resnet18", layout="published")
        image = torch.zeros(1, 3, size, 9)
    assert ours(image)[-1].shape[2] == -(-size // 8)
    assert published(image)[-1].shape[2] == (size + 1) // 8 + 1


def bottleneck(tensors, value, *, stride, dilation):
    """A residual block as He et al. drew it (2016, figure 5), from named tensors."""

    def layer(value, number, norm=None, **settings):
        value = functional.conv2d(value, tensors[f"{number}.weight"], **settings)
        norm = norm or number.replace("conv", "bn")
        kinds = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(value, *(tensors[f"{norm}.{kind}"] for kind in kinds))

    skip = value
    if "downsample.0.weight" in tensors:
        skip = layer(value, "downsample.0", "downsample.1", stride=stride)
    out = layer(value, "conv1", stride=stride).relu()
    out = layer(out, "conv2", padding=dilation, dilation=dilation).relu()
    return (layer(out, "conv3") + skip).relu()


def test_published_layout_equals_blocks_written_out():
    encoder = ResNetEncoder("resnet50", layout="published").double().eval()
    for norm in encoder.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    image = torch.rand(1, 3, 40, 49, dtype=torch.float64)
    value = encoder.stem[:3](image)
    value = functional.max_pool2d(value, 3, stride=2, padding=1, ceil_mode=True)
    for stage, stride, dilation, found in zip(
        encoder.stages, (1, 2, 1, 1), (1, 1, 2, 4), encoder(image), strict=True
    ):
        for number, block in enumerate(stage):
            value = bottleneck(
                block.state_dict(), value, stride=1 if number else stride, dilation=dilation
            )
        torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-12)


@pytest.fixture
def weight_file(tmp_path, monkeypatch):
    """A file of weights in the place of torchvision's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / PurePath(imagenet_url("resnet18")).name
    path.parent.mkdir(parents=True)
    torch.save(torchvision.models.resnet18().state_dict(), path)
    return path


def test_pretrained_weights_arrive_unchanged(weight_file):
    published = torch.load(weight_file, weights_only=True)
    encoder = ResNetEncoder("resnet18", pretrained=True)
    assert torch.equal(encoder.stem[0].weight, published["conv1.weight"])
    assert torch.equal(encoder.stem[1].running_var, published["bn1.running_var"])
    assert torch.equal(encoder.stages[3][1].conv2.weight, published["layer4.1.conv2.weight"])


@pytest.mark.parametrize("bands", [1, 2, 4, 6, 7])
def test_first_layer_repeats_red_green_and_blue_and_keeps_its_response(weight_file, bands):
    published = torch.load(weight_file, weights_only=True)["conv1.weight"]
    weight = ResNetEncoder("resnet18", bands=bands, pretrained=True).stem[0].weight
    assert weight.shape == (64, bands, 7, 7)
    for band in range(bands):
        torch.testing.assert_close(weight[:, band], published[:, band % 3] * 3 / bands)
    if bands % 3 == 0:  # a grey image then gives what it gave
        torch.testing.assert_close(weight.sum(1), published.sum(1))
