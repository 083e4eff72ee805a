"""The decoder of SegFormer against its own two layers, and in a network of several levels."""

import torch
from torch import nn
from torch.nn import functional

from rsadapt.nets.cells import brought_to
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.encoder import Encoder
from rsadapt.nets.fusion import Fusion

WIDTH = 6


def test_one_layer_a_stage_and_a_sum_are_the_papers_two():
    channels, sizes = (2, 3, 4), ((9, 7), (5, 4), (3, 2))
    features = [
        torch.randn(2, count, *size, dtype=torch.float64)
        for count, size in zip(channels, sizes, strict=True)
    ]
    own = [nn.Conv2d(count, 5, 1).double() for count in channels]
    joint = nn.Conv2d(15, WIDTH, 1).double()
    seen = [
        brought_to(layer(value), 2**stage, sizes[0], "first")
        for stage, (layer, value) in enumerate(zip(own, features, strict=True))
    ]
    expected = joint(torch.cat(seen, 1))
    expected = (
        functional.layer_norm(expected.permute(0, 2, 3, 1), [WIDTH]).permute(0, 3, 1, 2).relu()
    )
    fusion = Fusion(channels, WIDTH, "first").double()
    parts = [part[..., 0, 0] for part in joint.weight.split(5, 1)]
    with torch.no_grad():
        for layer, first, part in zip(fusion.layers, own, parts, strict=True):
            layer.weight.copy_((part @ first.weight[..., 0, 0])[..., None, None])
        biases = (part @ first.bias for first, part in zip(own, parts, strict=True))
        fusion.layers[0].bias.copy_(sum(biases) + joint.bias)
    torch.testing.assert_close(fusion(features), expected)


class Halving(Encoder):
    """Four stages at strides of 4, 8, 16 and 32."""

    def __init__(self):
        stages = [nn.Conv2d(3, 2, 5, 4, 2), *(nn.Conv2d(2, 2, 3, 2, 1) for _ in range(3))]
        super().__init__(nn.Sequential(), stages, channels=(2, 2, 2, 2), stride=4, period=32)


def test_each_level_sees_one_stage_more():
    net = DeepLab(Halving(), bands=3, classes=5, levels=2, fused=WIDTH)
    logits, features = net(torch.randn(1, 3, 65, 40), with_features=True)
    assert [tuple(level.shape) for level in logits] == [(1, 5, 17, 10)] * 2
    assert [tuple(value.shape) for value in features] == [(1, WIDTH, 17, 10)] * 2
    assert net.channels == (WIDTH, WIDTH)
    logits[0].sum().backward(retain_graph=True)
    reached = [any(p.grad is not None for p in stage.parameters()) for stage in net.encoder.stages]
    assert reached == [True, True, True, False]
    logits[1].sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert {*net.head_parameters(), *net.encoder.parameters()} == {*net.parameters()}
    auxiliary = [name for name in net.state_dict() if net.is_auxiliary(name)]
    assert {name.rpartition(".")[0].split(".")[0] for name in auxiliary} == {
        "fusions",
        "classifiers",
    }
    assert all(name.split(".")[1] == "0" for name in auxiliary)


def test_a_cell_knows_nothing_of_the_rest_of_its_batch():
    fusion = Fusion((2,), WIDTH, "middle").train()
    values = torch.randn(3, 2, 4, 4)
    torch.testing.assert_close(fusion([values])[1:2], fusion([values[1:2]]))
