"""AdvEnt's step against the one written out plainly."""

import copy
import math

import pytest
import torch
from slow_game import gradients, make, make_batch, slow_step

from rsadapt.adapt.advent import Advent


def self_information(logits):
    p = logits.softmax(1)
    return -p * torch.log2(p + 1e-30) / math.log2(logits.shape[1])


@pytest.mark.parametrize("objective", ["bce", "least_squares"])
@pytest.mark.parametrize("levels", [1, 2])
def test_gradients_are_those_of_the_step_written_out(levels, objective):
    parts = make(levels)
    rule = Advent([0.1, 1.0][-levels:], [0.3, 0.7][-levels:], objective)
    network, others = copy.deepcopy(parts.network), copy.deepcopy(list(parts.others.values()))
    source, target = make_batch(labelled=True), make_batch(labelled=False)
    rule.step(parts, source, target, lambda loss: loss.backward())
    slow_step(network, others, source, target, rule, show=self_information)
    for ours, theirs in zip(
        (parts.network, *parts.others.values()), (network, *others), strict=True
    ):
        for found, expected in zip(gradients(ours), gradients(theirs), strict=True):
            assert expected.any()
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_defaults_are_the_published_ones():
    rule = Advent()
    assert (rule.segmentation, rule.adversarial) == ([0.1, 1.0], [0.0002, 0.001])
