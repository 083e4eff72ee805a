"""float16 with scaled gradients: all networks step or none, and the scale moves once a step."""

import copy

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.method import Parts
from rsadapt.adapt.scaling import ScaledHalf
from rsadapt.adapt.source_only import SourceOnly
from rsadapt.adapt.trainer import Learner

FIRST_SCALE = 65536

SOURCE_ONLY = SourceOnly()


def make(method=SOURCE_ONLY):
    """A network and a discriminator of one weight each; losses are slopes times the weights."""
    torch.manual_seed(0)
    networks = {name: nn.Linear(1, 1, bias=False) for name in ("network", "discriminator_1")}
    optimisers = {
        "network": torch.optim.SGD(networks["network"].parameters(), lr=0.5, momentum=0.9),
        "discriminator_1": torch.optim.Adam(networks["discriminator_1"].parameters(), lr=0.1),
    }
    network = networks.pop("network")
    parts = Parts(network, lambda x, _: x, DomainStatistics(network, "both"), networks)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=ScaledHalf("cpu"))
    learner = Learner(parts, optimisers, method, fabric)
    learner.set_up()
    return learner


def networks(learner):
    return {"network": learner.parts.network, **learner.parts.others}


def weights(learner):
    return {name: next(each.parameters()).item() for name, each in networks(learner).items()}


def step(learner, slopes, passes=1):
    """One update from the gradients that the slopes are, in so many backward passes."""
    for optimiser in learner.optimisers.values():
        optimiser.zero_grad()
    for _ in range(passes):
        for name, network in networks(learner).items():
            loss = network(torch.ones(1, 1)).float().sum() * slopes[name] / passes
            learner.fabric.backward(loss)
    learner.update()


def scale(learner):
    return learner.scaled().scaler.get_scale()


@pytest.mark.parametrize("passes", [1, 2])
def test_steps_are_those_of_unscaled_gradients(passes):
    learner = make()
    plain = {name: nn.Linear(1, 1, bias=False) for name in networks(learner)}
    for name, each in plain.items():
        each.weight.data.fill_(weights(learner)[name])
    kinds = {
        "network": torch.optim.SGD(plain["network"].parameters(), lr=0.5, momentum=0.9),
        "discriminator_1": torch.optim.Adam(plain["discriminator_1"].parameters(), lr=0.1),
    }
    slopes = {"network": 0.5, "discriminator_1": -0.25}  # exact in float16, scaled or not
    for _ in range(3):
        step(learner, slopes, passes)
        for name, each in plain.items():
            each.weight.grad = torch.full((1, 1), slopes[name])
            kinds[name].step()
    assert weights(learner) == {name: each.weight.item() for name, each in plain.items()}
    assert scale(learner) == FIRST_SCALE
    assert learner.scaled().skipped == 0


@pytest.mark.parametrize("bad", ["network", "discriminator_1"])
def test_one_networks_overflow_stops_all_and_halves_the_scale_once(bad):
    learner = make()
    slopes = {"network": 0.5, "discriminator_1": -0.25}
    step(learner, slopes)
    before = weights(learner)
    state = copy.deepcopy({n: o.state_dict()["state"] for n, o in learner.optimisers.items()})
    step(learner, {**slopes, bad: 1e38})
    assert weights(learner) == before
    assert {n: o.state_dict()["state"] for n, o in learner.optimisers.items()} == state
    assert scale(learner) == FIRST_SCALE / 2
    assert learner.scaled().skipped == 1
    step(learner, slopes)
    assert all(weights(learner)[name] != before[name] for name in before)


def test_scale_grows_once_for_all_networks():
    learner = make()
    learner.scaled().scaler.set_growth_interval(2)
    for expected in (1, 2, 2, 4):
        step(learner, {"network": 0.125, "discriminator_1": -0.0625})
        assert scale(learner) == FIRST_SCALE * expected


def test_state_goes_on_where_it_was():
    one, two = make(), make()
    slopes = {"network": 0.5, "discriminator_1": -0.25}
    step(one, slopes)
    step(one, {**slopes, "network": 1e38})
    step(one, slopes)
    kept = one.scaled().state_dict()
    assert kept["skipped"] == 1
    two.scaled().load_state_dict(kept)
    assert two.scaled().state_dict() == kept


def test_method_that_trains_nothing_has_nothing_to_scale():
    learner = make()
    learner.update()
    assert learner.scaled().skipped == 0


def test_gradients_that_no_scale_helps_are_told():
    learner = make()
    small = learner.scaled().state_dict() | {"scale": 1.0}
    learner.scaled().load_state_dict(small)
    with pytest.warns(UserWarning, match="overflow float16 even where they are scaled"):
        step(learner, {"network": torch.inf, "discriminator_1": 1.0})
