"""Adapted batch norm: the target's statistics move, and nothing else."""

import copy

import pytest
import torch

from rsadapt.adapt.adapted_batch_norm import AdaptedBatchNorm
from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.method import Parts
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.small import SmallEncoder
from rsadapt.sample import Batch


@pytest.fixture
def parts():
    network = DeepLab(SmallEncoder(bands=2, width=2), bands=2, classes=3, levels=1, rates=[1])
    return Parts(network, network.upsample, DomainStatistics(network, "per_domain", momentum=1.0))


def batch():
    return Batch(5 + torch.randn(2, 2, 16, 16), torch.ones(2, 16, 16, dtype=torch.bool))


def test_only_the_targets_statistics_move(parts):
    before = copy.deepcopy(parts.network.state_dict())
    target = batch()
    parts.train()

    def fail(loss):
        raise AssertionError("there is nothing to differentiate")

    assert AdaptedBatchNorm().step(parts, batch(), target, fail) == {}
    after = parts.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in parts.network.parameters())
    first = parts.network.encoder.stem
    with parts.statistics.evaluating("target"):
        torch.testing.assert_close(
            first[1].running_mean, first[0](target.image).mean((0, 2, 3)).detach()
        )


def test_target_is_needed(parts):
    assert AdaptedBatchNorm().uses_target
    with pytest.raises(ValueError, match="learns from target batches"):
        AdaptedBatchNorm().step(parts, batch(), None, lambda _: None)
