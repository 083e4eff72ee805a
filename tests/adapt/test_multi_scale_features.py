"""FCAN's representation adaptation against the step written out plainly."""

import copy

import torch
from slow_game import gradients, make, make_batch
from torch.nn import functional

from rsadapt.adapt.multi_scale_features import MultiScaleFeatures
from rsadapt.nets.pyramid_discriminator import PyramidDiscriminator


def slow_step(network, judges, source, target, rule):
    levels, ours = network(source.image, with_features=True)
    for weight, cells in zip(rule.segmentation, levels, strict=True):
        logits = network.upsample(cells, source.image.shape[-2:])
        loss = functional.cross_entropy(logits, source.label, ignore_index=255)
        (weight * loss).backward(retain_graph=True)
    _, theirs = network(target.image, with_features=True)

    def game(judge, features, batch, answer):
        size = batch.image.shape[-1] // features.shape[-1]
        share = functional.avg_pool2d(batch.valid[:, None].double(), size)
        p = torch.sigmoid(judge(features * share))
        return (-torch.log(p if answer else 1 - p) * share).sum() / share.sum()

    for weight, judge, seen in zip(rule.adversarial, judges, theirs, strict=True):
        (weight * game(judge, seen, target, 0)).backward(retain_graph=True)
    for judge, one, other in zip(judges, ours, theirs, strict=True):
        judge.zero_grad()
        loss = game(judge, one.detach(), source, 0) + game(judge, other.detach(), target, 1)
        (loss / 2).backward()


def test_gradients_are_those_of_the_step_written_out():
    parts = make(2)
    for level, channels in enumerate(parts.network.channels, start=1):
        judge = PyramidDiscriminator(channels, width=2, rates=[1, 3]).double()
        parts.others[f"discriminator_{level}"] = judge
    network, judges = copy.deepcopy(parts.network), copy.deepcopy(list(parts.others.values()))
    source, target = make_batch(labelled=True), make_batch(labelled=False)
    rule = MultiScaleFeatures([0.1, 1.0], [0.3, 0.7])
    rule.step(parts, source, target, lambda loss: loss.backward())
    slow_step(network, judges, source, target, rule)
    for ours, theirs in zip(
        (parts.network, *parts.others.values()), (network, *judges), strict=True
    ):
        for found, expected in zip(gradients(ours), gradients(theirs), strict=True):
            assert expected.any()
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
