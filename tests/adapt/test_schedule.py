"""Learning rates over time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.adapt.schedule import poly, set_rates, warm_up


@given(st.integers(1, 10**6), st.floats(0, 3), st.data())
def test_rate_falls_from_one_to_nought(horizon, power, data):
    step = data.draw(st.integers(0, horizon - 1))
    assert poly(0, horizon, power) == 1
    assert poly(step, horizon, power) == (1 - step / horizon) ** power
    assert poly(step + 1, horizon, power) <= poly(step, horizon, power)


@pytest.mark.parametrize(("power", "last"), [(0.9, 0), (0.0, 1)])
def test_rate_at_the_horizon(power, last):
    assert poly(10, 10, power) == last


def test_rates_rise_linearly_to_their_own():
    assert [warm_up(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert warm_up(0, 0) == 1


def test_rates_are_factors_of_the_first_and_do_not_compound():
    weight = torch.nn.Parameter(torch.zeros(1))
    other = torch.nn.Parameter(torch.zeros(1))
    optimisers = [
        torch.optim.SGD([{"params": [weight], "lr": 0.1}, {"params": [other], "lr": 1.0}]),
        torch.optim.Adam([weight], lr=0.01),
    ]
    for factor in (1.0, 0.5, 0.25, 0.8):
        set_rates(optimisers, factor)
        rates = [group["lr"] for optimiser in optimisers for group in optimiser.param_groups]
        assert rates == pytest.approx([0.1 * factor, factor, 0.01 * factor])


def test_first_rates_survive_a_checkpoint():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    set_rates([optimiser], 0.5)
    again = torch.optim.SGD([weight], lr=123.0)
    again.load_state_dict(optimiser.state_dict())
    set_rates([again], 0.25)
    assert again.param_groups[0]["lr"] == pytest.approx(0.025)
