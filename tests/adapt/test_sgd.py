"""Repeated updates against PyTorch's own SGD, and against their rule written out."""

import copy

import pytest
import torch
from torch import nn

from rsadapt.adapt.sgd import RepeatedSGD

RATE, MOMENTUM, DECAY = 0.1, 0.9, 0.01


def make(passes, *, nesterov=False, first_step="fresh"):
    parameters = [nn.Parameter(torch.randn(5, dtype=torch.float64)) for _ in passes]
    groups = [
        {"params": [p], "lr": RATE, "passes": n} for p, n in zip(parameters, passes, strict=True)
    ]
    return parameters, RepeatedSGD(
        groups, momentum=MOMENTUM, nesterov=nesterov, weight_decay=DECAY, first_step=first_step
    )


def gradients(parameters, steps):
    return [[torch.randn_like(p) for p in parameters] for _ in range(steps)]


def slow(value, grads, passes, *, nesterov, first_step):
    """One parameter's values after each step, by the rule of the published code."""
    value, buffer, values = value.clone(), None, []
    for number, grad in enumerate(grads):
        for turn in range(passes):
            found = grad + DECAY * value
            anew = number == 0 and (turn == 0 or first_step == "fresh")
            buffer = found if anew else MOMENTUM * buffer + found
            value = value - RATE * (found + MOMENTUM * buffer if nesterov else buffer)
        values.append(value)
    return values


@pytest.mark.parametrize("first_step", ["fresh", "moved"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_every_pass_is_an_update_of_its_own(nesterov, first_step):
    passes = [1, 3, 4]
    parameters, optimiser = make(passes, nesterov=nesterov, first_step=first_step)
    rounds = gradients(parameters, 4)
    expected = [
        slow(
            p.detach(),
            [grads[n] for grads in rounds],
            passes[n],
            nesterov=nesterov,
            first_step=first_step,
        )
        for n, p in enumerate(parameters)
    ]
    for step, grads in enumerate(rounds):
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = grad.clone()
        optimiser.step()
        for parameter, values in zip(parameters, expected, strict=True):
            torch.testing.assert_close(parameter.detach(), values[step], rtol=1e-12, atol=0)


def test_one_pass_is_the_librarys_sgd():
    parameters, optimiser = make([1, 1])
    theirs = copy.deepcopy(parameters)
    library = torch.optim.SGD(theirs, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    for grads in gradients(parameters, 3):
        for ours, other, grad in zip(parameters, theirs, grads, strict=True):
            ours.grad, other.grad = grad.clone(), grad.clone()
        optimiser.step()
        library.step()
    assert all(torch.equal(ours, other) for ours, other in zip(parameters, theirs, strict=True))


def test_repeats_are_those_of_a_parameter_listed_several_times():
    """What the published code does, where the library still walks the list one by one."""
    parameters, optimiser = make([3])
    theirs = copy.deepcopy(parameters)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        library = torch.optim.SGD(
            theirs * 3, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, foreach=False
        )
    for (grad,) in gradients(parameters, 3):
        parameters[0].grad, theirs[0].grad = grad.clone(), grad.clone()
        optimiser.step()
        library.step()
        torch.testing.assert_close(parameters[0], theirs[0], rtol=1e-12, atol=0)


def test_parameters_without_a_gradient_stay():
    (first, second), optimiser = make([3, 3])
    before = second.detach().clone()
    first.grad = torch.ones_like(first)
    optimiser.step()
    assert torch.equal(second.detach(), before)
    assert second not in optimiser.state


@pytest.mark.parametrize("stop", [1, 2])
def test_state_goes_on_where_it_was(stop):
    passes = [1, 3]
    parameters, optimiser = make(passes)
    copies = copy.deepcopy(parameters)
    rounds = gradients(parameters, 4)
    for number, grads in enumerate(rounds):
        if number == stop:
            state = copy.deepcopy(optimiser.state_dict())
            parameters_now = [p.detach().clone() for p in parameters]
            _, optimiser = make(passes)
            for group, p in zip(optimiser.param_groups, copies, strict=True):
                group["params"] = [p]
            for p, value in zip(copies, parameters_now, strict=True):
                p.data.copy_(value)
            optimiser.load_state_dict(state)
        live = parameters if number < stop else copies
        for parameter, grad in zip(live, grads, strict=True):
            parameter.grad = grad.clone()
        optimiser.step()
    torch.manual_seed(0)
    fresh, whole = make(passes)
    for grads in rounds:
        for parameter, grad in zip(fresh, grads, strict=True):
            parameter.grad = grad.clone()
        whole.step()
    assert all(torch.equal(a, b) for a, b in zip(copies, fresh, strict=True))
