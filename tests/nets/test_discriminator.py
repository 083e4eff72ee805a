"""The domain discriminator."""

import pytest
import torch
from torch import nn

from rsadapt.errors import ShapeError
from rsadapt.nets.discriminator import Discriminator


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (63, 100)])
def test_one_judgement_for_every_stride(height, width):
    out = Discriminator(7, width=2)(torch.rand(3, 7, height, width))
    assert out.shape == (3, 1, height // 32, width // 32)


def test_layers_are_the_published_ones():
    layers = [layer for layer in Discriminator(19).layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [64, 128, 256, 512, 1]
    assert {(layer.kernel_size, layer.stride, layer.padding) for layer in layers} == {
        ((4, 4), (2, 2), (1, 1))
    }
    slopes = [x.negative_slope for x in Discriminator(19).layers if isinstance(x, nn.LeakyReLU)]
    assert slopes == [0.2] * 4


@pytest.mark.parametrize("reductions", range(6))
@pytest.mark.parametrize("more", [0, 1, 7])
def test_fewer_reductions_judge_on_a_finer_grid(reductions, more):
    judge = Discriminator(3, width=2, reductions=reductions)
    assert judge.stride == 2**reductions
    height, width = judge.stride + more, 2 * judge.stride + more
    out = judge(torch.rand(1, 3, height, width))
    assert out.shape == (1, 1, height // judge.stride, width // judge.stride)


def test_layers_that_do_not_halve_come_last():
    layers = Discriminator(3, width=2, reductions=2).layers
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [layer.stride[0] for layer in convolutions] == [2, 2, 1, 1, 1]
    assert [layer.kernel_size[0] for layer in convolutions] == [4, 4, 3, 3, 3]


@pytest.mark.parametrize("size", [(31, 64), (64, 31)])
def test_maps_too_small_to_judge_are_refused(size):
    judge = Discriminator(2, width=2)
    with pytest.raises(ShapeError, match=rf"found {size[0]} x {size[1]}; use larger images"):
        judge(torch.zeros(1, 2, *size))
    assert judge(torch.zeros(1, 2, 32, 32)).numel() == 1
