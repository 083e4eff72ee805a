"""All that a learner knows comes back from a checkpoint, whatever a method remembers."""

import itertools
from dataclasses import dataclass, field

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from nested import same
from torch import nn
from torch.nn import functional

from rsadapt.adapt import checkpoint
from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.method import Method, Parts
from rsadapt.adapt.state import gather, restore
from rsadapt.adapt.trainer import Learner, Schedule, train
from rsadapt.sample import Batch


@dataclass
class Pool:
    """Images of earlier steps, of which one is drawn at random, and a moving threshold."""

    images: list = field(default_factory=list)
    threshold: float = 0.5

    def place(self, fabric):
        pass

    def state_dict(self):
        return {"images": self.images, "threshold": self.threshold}

    def load_state_dict(self, state):
        self.images, self.threshold = list(state["images"]), state["threshold"]


class Slow(nn.Conv2d):
    """A network that follows another."""

    def place(self, fabric):
        self.to(fabric.device)


class Remembering(Method):
    """A step that depends on all that a later method may keep: a teacher, a pool, a threshold."""

    def step(self, parts, source, target, backward):
        pool, teacher = parts.memory["pool"], parts.memory["teacher"]
        pool.images = [*pool.images[-2:], target.image]
        drawn = pool.images[int(torch.randint(len(pool.images), ()))]
        with torch.no_grad():
            taught = teacher(drawn)
            pool.threshold = 0.9 * pool.threshold + 0.1 * float(taught.mean())
        loss = functional.mse_loss(parts.network(drawn), taught * (taught > pool.threshold))
        backward(loss + functional.mse_loss(parts.others["judge"](source.image), drawn))
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), parts.network.parameters(), strict=True):
                slow.lerp_(fast, 0.1)
        return {"loss": loss.detach()}


def learner(**options):
    torch.manual_seed(3)
    network, judge = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1)
    slow = Slow(2, 2, 3, padding=1)
    slow.load_state_dict(network.state_dict())
    memory = {"pool": Pool(), "teacher": slow}
    found = Learner(
        Parts(network, None, DomainStatistics(network, "both"), {"judge": judge}, memory),
        {
            "network": torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9),
            "judge": torch.optim.Adam(judge.parameters(), lr=0.01),
        },
        Remembering(),
        Fabric(accelerator="cpu", devices=1, **options),
    )
    found.set_up()
    return found


def batches(seed, start):
    for number in itertools.count(seed + start):
        image = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(number))
        yield Batch(image=image, valid=torch.ones(1, 8, 8, dtype=torch.bool))


def trained(found, start, stop):
    """What a learner knows after the steps from `start` to `stop` of eight."""
    train(
        found,
        schedule=Schedule(steps=stop, horizon=8),
        start=start,
        source=batches(100, start),
        target=batches(200, start),
        log=lambda *_: None,
        validate=lambda _: None,
        save=lambda _: None,
    )
    return gather(found)


@pytest.mark.parametrize("forgotten", [None, "pool", "teacher", "random", "optimisers"])
def test_a_method_goes_on_with_all_that_it_remembers(tmp_path, forgotten):
    whole = trained(learner(), 0, 8)
    file = tmp_path / "checkpoint.pt"
    checkpoint.save(file, trained(learner(), 0, 4))
    torch.rand(7)
    then, state, fresh = learner(), checkpoint.load(file), gather(learner())
    if forgotten in state:  # each is needed, so that the test sees what is not restored
        state[forgotten] = fresh[forgotten]
    elif forgotten:
        state["memory"][forgotten] = fresh["memory"][forgotten]
    restore(then, state)
    assert same(trained(then, 4, 8), whole) == (forgotten is None)


def test_a_gradient_scaler_goes_on(tmp_path):
    def scaled():
        precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=8.0))
        return learner(plugins=[precision])

    first, then = scaled(), scaled()
    first.fabric.strategy.precision.scaler.load_state_dict(
        {**first.fabric.strategy.precision.state_dict(), "scale": 2.0, "_growth_tracker": 5}
    )
    checkpoint.save(tmp_path / "checkpoint.pt", gather(first))
    restore(then, checkpoint.load(tmp_path / "checkpoint.pt"))
    found = then.fabric.strategy.precision.scaler.state_dict()
    assert (found["scale"], found["_growth_tracker"]) == (2.0, 5)


def test_checkpoints_of_before_still_load():
    state = trained(learner(), 0, 2)
    old = {**state, "random": state["random"]["cpu"]}
    del old["precision"]
    torch.rand(7)
    then = learner()
    restore(then, old)
    assert same(gather(then), state)
