"""What is not finite is found with the step and the name of what it was, and never saved."""

import math

import pytest
import torch
from torch import nn

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.method import Parts
from rsadapt.adapt.soundness import Soundness
from rsadapt.adapt.teacher import Teacher
from rsadapt.errors import NonFiniteError


@pytest.fixture
def parts():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    judge = {"discriminator_1": nn.Conv2d(2, 1, 1)}
    return Parts(network, lambda x, _: x, DomainStatistics(network, "both"), judge)


def said(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_first_step_and_all_its_losses_are_named(parts, value):
    sound = Soundness(parts)
    for step, losses in enumerate(
        [said(a=1.0, b=1.0, c=1.0), said(a=value, b=1.0, c=value), said(a=1.0, b=value, c=1.0)], 7
    ):
        sound.add(step, losses)
    with pytest.raises(NonFiniteError, match=r"^step 8: the loss a, c became NaN or inf") as caught:
        sound.check(9)
    assert (caught.value.step, caught.value.what) == (8, "the loss a, c")


def test_finite_losses_and_networks_are_sound(parts):
    sound = Soundness(parts)
    sound.check(0)
    sound.add(1, {})
    sound.add(2, said(a=1e38) | {"share_target": torch.tensor([0.0, 1.0])})
    sound.add(3, said(a=-1e38))
    sound.check(3)


@pytest.mark.parametrize(
    ("network", "name"),
    [("network", "0.weight"), ("network", "1.running_var"), ("discriminator_1", "bias")],
)
def test_weights_and_statistics_are_named(parts, network, name):
    found = {"network": parts.network, **parts.others}[network].state_dict()[name]
    found.view(-1)[0] = math.inf
    with pytest.raises(NonFiniteError, match=f"^step 5: the weight {network}.{name} became"):
        Soundness(parts).check(5)


def test_the_targets_statistics_and_what_is_remembered_are_named_too():
    def bare():
        network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
        return network, DomainStatistics(network, "per_domain")

    (network, statistics), taught = bare(), Teacher(*bare())
    parts = Parts(network, lambda x, _: x, statistics, memory={"teacher": taught})
    Soundness(parts).check(5)
    taught.statistics.state_dict()["1.running_var"][0] = math.nan
    with pytest.raises(
        NonFiniteError, match=r"^step 5: the weight teacher\.statistics\.1\.running_var became"
    ):
        Soundness(parts).check(5)
    statistics.state_dict()["1.running_mean"][0] = math.inf
    taught.copy(network, bare()[1])
    with pytest.raises(
        NonFiniteError, match=r"^step 5: the target's statistic 1\.running_mean became"
    ):
        Soundness(parts).check(5)
