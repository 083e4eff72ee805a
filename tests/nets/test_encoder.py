"""Encoders that compute again what they did not keep."""

import copy

import pytest
import torch

from rsadapt.nets.resnet import ResNetEncoder
from rsadapt.nets.small import SmallEncoder
from rsadapt.nets.vgg import VggEncoder

ENCODERS = {
    "resnet18": lambda: ResNetEncoder("resnet18", bands=2),
    "small": lambda: SmallEncoder(bands=2, width=2),
    "vgg16": lambda: VggEncoder(bands=2),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_recomputing_changes_no_bit(name, batch_norm):
    plain = ENCODERS[name]()
    for layer in plain.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.train(batch_norm)
    thrifty = copy.deepcopy(plain)
    thrifty.recompute = True
    for _ in range(2):
        image = torch.randn(2, 2, 32, 32)
        for encoder in (plain, thrifty):
            sum(value.square().mean() for value in encoder(image)).backward()
    assert equal(plain.state_dict(), thrifty.state_dict())
    assert equal(*(dict(enumerate(p.grad for p in e.parameters())) for e in (plain, thrifty)))


def test_what_lies_within_blocks_is_not_kept():
    """Of tensors that autograd keeps, those that were made on the way."""

    def kept(recompute):
        encoder, sizes = ENCODERS["resnet18"](), []
        encoder.recompute = recompute
        image = torch.randn(2, 2, 64, 64)
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: (sizes.append(tensor.numel()), tensor)[1], lambda tensor: tensor
        )
        with hooks:
            features = encoder(image)
        assert features
        return sum(sizes)

    assert kept(True) < kept(False) / 4


def equal(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
