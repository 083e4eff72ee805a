"""MinEnt's step against the one written out plainly."""

import copy
import math

import pytest
import torch
from slow_game import SIZE, gradients, make, make_batch
from torch.nn import functional

from rsadapt.adapt.min_ent import MinEnt


def slow_step(network, source, target, rule):
    levels = [network.upsample(cells, (SIZE, SIZE)) for cells in network(source.image)]
    for weight, logits in zip(rule.segmentation, levels, strict=True):
        loss = functional.cross_entropy(logits, source.label, ignore_index=255)
        (weight * loss).backward(retain_graph=True)
    levels = [network.upsample(cells, (SIZE, SIZE)) for cells in network(target.image)]
    for weight, logits in zip(rule.entropy, levels, strict=True):
        p = logits.softmax(1)
        entropy = -(p * torch.log2(p)).sum(1) / math.log2(3)
        if rule.penalty == "charbonnier":
            entropy = (entropy**2 + 1e-6) ** rule.eta
        (weight * entropy[target.valid].mean()).backward(retain_graph=True)


@pytest.mark.parametrize(
    "rule", [MinEnt([0.1, 1.0], [0.3, 0.7]), MinEnt([0, 1.0], [0, 0.5], "charbonnier", 1.5)]
)
def test_gradients_are_those_of_the_step_written_out(rule):
    parts = make(2)
    network = copy.deepcopy(parts.network)
    source, target = make_batch(labelled=True), make_batch(labelled=False)
    losses = rule.step(parts, source, target, lambda loss: loss.backward())
    slow_step(network, source, target, rule)
    for found, expected in zip(gradients(parts.network), gradients(network), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert list(losses) == ["segmentation_1", "segmentation_2", "entropy_1", "entropy_2"]
    assert 0 < losses["entropy_2"] < 1


def test_what_is_sure_costs_nothing_and_what_is_not_costs_one():
    entropy = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    assert MinEnt().penalised(entropy).tolist() == [0, 0.5, 1]
    found = MinEnt(penalty="charbonnier").penalised(entropy)
    torch.testing.assert_close(found, entropy**4, rtol=0, atol=3e-6)


def test_watched_steps_tell_shares_of_classes():
    parts = make(1)
    parts.watched = True
    batches = make_batch(labelled=True), make_batch(labelled=False)
    said = MinEnt([1.0], [0.1]).step(parts, *batches, lambda loss: loss.backward())
    for domain in ("source", "target"):
        assert said[f"share_{domain}"].sum().item() == pytest.approx(1)
