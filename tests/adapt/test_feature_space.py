"""Feature-space adaptation against the step written out plainly."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.feature_space import FeatureSpace
from rsadapt.adapt.method import Parts
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.discriminator import Discriminator
from rsadapt.nets.small import SmallEncoder
from rsadapt.sample import Batch

SIZE = 32


def make(reductions):
    network = DeepLab(SmallEncoder(bands=2, width=2), bands=2, classes=3, levels=2, rates=[1])
    for parameter in network.head_parameters():
        nn.init.normal_(parameter)
    others = {
        f"discriminator_{n}": Discriminator(channels, width=2, reductions=reductions)
        for n, channels in enumerate(network.channels, start=1)
    }
    for module in (network, *others.values()):
        module.double().train()
    return Parts(network, network.upsample, DomainStatistics(network, "both"), others)


def make_batch(*, labelled):
    image = torch.randn(2, 2, SIZE, SIZE).double()
    label = torch.randint(0, 3, (2, SIZE, SIZE)) if labelled else None
    return Batch(image, torch.ones(2, SIZE, SIZE, dtype=torch.bool), label)


def slow_step(network, judges, source, target, *, upsampled):
    def see(image):
        logits, features = network(image, with_features=True)
        if upsampled:
            features = [network.upsample(value, (SIZE, SIZE)) for value in features]
        return [network.upsample(level, (SIZE, SIZE)) for level in logits], features

    logits, ours = see(source.image)
    for weight, level in zip((0.1, 1.0), logits, strict=True):
        (weight * functional.cross_entropy(level, source.label)).backward(retain_graph=True)
    _, theirs = see(target.image)
    game = functional.binary_cross_entropy_with_logits
    for weight, judge, seen in zip((0.3, 0.7), judges, theirs, strict=True):
        x = judge(seen)
        (weight * game(x, torch.zeros_like(x))).backward(retain_graph=True)
    for judge, one, other in zip(judges, ours, theirs, strict=True):
        judge.zero_grad()
        x, y = judge(one.detach()), judge(other.detach())
        ((game(x, torch.zeros_like(x)) + game(y, torch.ones_like(y))) / 2).backward()


@pytest.mark.parametrize(("upsampled", "reductions"), [(False, 2), (True, 5)])
def test_gradients_are_those_of_the_step_written_out(upsampled, reductions):
    parts = make(reductions)
    network, judges = copy.deepcopy(parts.network), copy.deepcopy(list(parts.others.values()))
    source, target = make_batch(labelled=True), make_batch(labelled=False)
    rule = FeatureSpace(
        [0.1, 1.0], [0.3, 0.7], discriminator_input="upsampled" if upsampled else "cells"
    )
    losses = rule.step(parts, source, target, lambda loss: loss.backward())
    slow_step(network, judges, source, target, upsampled=upsampled)
    for one, other in zip((parts.network, *parts.others.values()), (network, *judges), strict=True):
        for found, expected in zip(one.parameters(), other.parameters(), strict=True):
            assert expected.grad.any()
            torch.testing.assert_close(found.grad, expected.grad, rtol=1e-9, atol=1e-12)
    kinds = ("segmentation", "adversarial", "discriminator")
    assert list(losses) == [f"{kind}_{level}" for kind in kinds for level in (1, 2)]


def test_classifiers_learn_nothing_from_the_game():
    """Features lie before them: without a segmentation loss their gradient is nought."""
    parts = make(2)
    FeatureSpace([0.0, 0.0], [0.3, 0.7]).step(
        parts, make_batch(labelled=True), make_batch(labelled=False), lambda loss: loss.backward()
    )
    assert not any(p.grad.any() for p in parts.network.head_parameters())
    assert any(p.grad.any() for p in parts.network.encoder.parameters())
