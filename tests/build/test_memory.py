"""The memory estimate: that of real steps, found without taking them."""

import json

import pytest
import torch
from small_methods import small

from rsadapt import build, config
from rsadapt.adapt.teacher import Teacher
from rsadapt.build.memory import Living, take_step
from rsadapt.build.methods import METHODS


@pytest.fixture
def settings(values):
    def make(*assignments):
        return config.parse(config.assign(values, list(assignments)), where="test")

    return make


LEARNING = [name for name in METHODS if name != "adapted_batch_norm"]
"""Those that take gradients; of the other's step, which is smaller than all, 14 % are missed."""


@pytest.mark.parametrize(
    "changes",
    [
        *([f"method={json.dumps(small(name))}"] for name in LEARNING),
        ["optimiser={name: adamw}"],
        ["device.precision=bf16-mixed", "training.batch_size=3"],
        ["device.precision=64-true", "training.accumulate=2"],
    ],
    ids=str,
)
def test_estimate_is_the_peak_of_a_real_step(settings, changes):
    chosen = settings(*changes)
    found = build.estimate(chosen, 4)
    with build.process_kept(), Living() as living:
        learner = build.learner(chosen, 4)
        learner.set_up()
        for optimiser in learner.optimisers.values():
            optimiser.zero_grad()
        kept = learner.parts.memory.values()
        teachers = [each.network for each in kept if isinstance(each, Teacher)]
        networks = [learner.parts.network, *learner.parts.others.values(), *teachers]
        parameters = sum(t.nbytes for net in networks for t in net.state_dict().values())
        living.peak = living.now
        for _ in range(chosen.training.accumulate):
            take_step(learner, chosen, 4)
        peak = living.peak
        learner.update()
        states = [s for o in learner.optimisers.values() for s in o.state_dict()["state"].values()]
    remembered = sum(
        value.nbytes for state in states for value in state.values() if value is not None
    )
    assert found.parameters == parameters
    assert found.optimisers == pytest.approx(remembered, rel=0.01, abs=512)
    assert found.total == pytest.approx(peak + remembered, rel=0.05)


def test_estimate_takes_nothing_and_changes_nothing(settings):
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    big = settings("training.tile=2048", "training.batch_size=16", "device.precision=64-true")
    assert build.estimate(big, 4).total > 16 * 2**30
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == dtype


def test_smaller_batches_need_less(settings):
    one, four = (build.estimate(settings(f"training.batch_size={n}"), 4) for n in (1, 4))
    assert four.activations == pytest.approx(4 * one.activations, rel=0.15)
    assert (one.parameters, one.gradients, one.optimisers) == (
        four.parameters,
        four.gradients,
        four.optimisers,
    )
    accumulated = build.estimate(settings("training.batch_size=1", "training.accumulate=4"), 4)
    assert one.total <= accumulated.total <= one.total + one.gradients
