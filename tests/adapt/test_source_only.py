"""Supervised training on the source alone."""

import copy

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.losses import segmentation_loss
from rsadapt.adapt.method import Parts
from rsadapt.adapt.source_only import SourceOnly
from rsadapt.adapt.trainer import Learner, Schedule, train
from rsadapt.errors import ShapeError
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.small import SmallEncoder
from rsadapt.sample import Batch


@pytest.fixture
def parts():
    network = DeepLab(SmallEncoder(bands=2, width=2), bands=2, classes=3, levels=2, rates=[1])
    network.double().train()
    return Parts(network, network.upsample, DomainStatistics(network, "both"))


def batch(*, labelled=True):
    label = torch.randint(0, 3, (2, 16, 16)) if labelled else None
    return Batch(torch.randn(2, 2, 16, 16).double(), torch.ones(2, 16, 16).bool(), label)


def test_gradients_are_those_of_the_weighted_cross_entropies(parts):
    source = batch()
    plain: nn.Module = copy.deepcopy(parts.network)
    losses = SourceOnly([0.3, 1.0]).step(parts, source, None, lambda loss: loss.backward())
    levels = [plain.upsample(level, (16, 16)) for level in plain(source.image)]
    coarse, main = (segmentation_loss(level, source.label) for level in levels)
    (0.3 * coarse + main).backward()
    for ours, theirs in zip(parts.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-15)
    assert losses == {"segmentation_1": coarse.detach(), "segmentation_2": main.detach()}
    assert not any(loss.requires_grad for loss in losses.values())


def test_accumulated_batches_count_alike_however_many_pixels_are_labelled(parts):
    full, sparse = batch(), batch()
    sparse.label[:, 1:] = 255
    plain: nn.Module = copy.deepcopy(parts.network)
    optimisers = {"network": torch.optim.SGD(parts.network.parameters(), lr=1.0)}
    fabric = Fabric(accelerator="cpu", devices=1)  # which leaves float64 as it is
    learner = Learner(parts, optimisers, SourceOnly([0.0, 1.0]), fabric)
    learner.set_up()
    train(
        learner,
        schedule=Schedule(steps=1, horizon=1, accumulate=2),
        start=0,
        source=iter([full, sparse]),
        target=None,
        log=lambda *_: None,
        validate=lambda _: None,
        save=lambda _: None,
    )
    means = [
        segmentation_loss(plain.upsample(plain(each.image)[-1], (16, 16)), each.label)
        for each in (full, sparse)
    ]
    (sum(means) / 2).backward()
    for ours, before in zip(parts.network.parameters(), plain.parameters(), strict=True):
        moved = before if before.grad is None else before - before.grad
        torch.testing.assert_close(ours.data, moved.data, rtol=1e-12, atol=1e-14)


def test_target_is_not_asked_for():
    assert not SourceOnly([1.0]).uses_target


def test_source_must_have_labels(parts):
    with pytest.raises(ShapeError, match="must carry labels"):
        SourceOnly([0.1, 1.0]).step(parts, batch(labelled=False), None, lambda _: None)


def test_weights_must_be_one_a_level(parts):
    with pytest.raises(ValueError, match="longer than argument"):
        SourceOnly([1.0]).step(parts, batch(), None, lambda _: None)
