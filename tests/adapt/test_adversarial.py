"""The rules of the adversarial game against loops over cells."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.adapt.adversarial import DOMAIN_LABELS, Game, judge_once, valid_share
from rsadapt.nets.discriminator import Discriminator

seeds = st.integers(0, 2**31)
objectives = st.sampled_from(["bce", "least_squares"])
domains = st.sampled_from(["source", "target"])
labellings = st.sampled_from(["published", "paper"])


def draw(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_domain_labels_of_the_published_code_and_of_the_paper():
    assert DOMAIN_LABELS["published"] == {"source": 0.0, "target": 1.0}
    assert DOMAIN_LABELS["paper"] == {"source": 1.0, "target": 0.0}


@given(seeds, objectives, domains, labellings, st.floats(0.05, 1))
def test_loss_counts_cells_by_their_valid_share(seed, objective, domain, labels, share):
    answer = float((domain == "target") == (labels == "published"))
    judgement = draw(seed, 2, 1, 2, 3)
    valid = torch.rand(2, 8, 12, generator=torch.Generator().manual_seed(seed)) < share
    total = weight = 0.0
    for n in range(2):
        for row in range(2):
            for col in range(3):
                under = (
                    valid[n, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4].double().mean().item()
                )
                x = judgement[n, 0, row, col].item()
                bce = math.log1p(math.exp(-x)) if answer == 1 else math.log1p(math.exp(x))
                total += under * (bce if objective == "bce" else (x - answer) ** 2)
                weight += under
    expected = total / weight if weight else 0
    found = Game(objective, labels).loss(judgement, domain, valid).item()
    assert found == pytest.approx(expected, rel=1e-12)


@given(seeds, objectives, st.booleans())
def test_emphasis_is_a_factor_of_each_pixel(seed, objective, upsampled):
    judgement = draw(seed, 2, 1, 2, 3)
    valid = torch.rand(2, 8, 12, generator=torch.Generator().manual_seed(seed)) < 0.5
    factor = draw(seed + 1, 2, 8, 12).abs()
    found = Game(objective, upsampled=upsampled).loss(judgement, "source", valid, factor)
    mode = {"mode": "bilinear"} if upsampled else {"mode": "nearest"}
    x = torch.nn.functional.interpolate(judgement, (8, 12), **mode)[:, 0]
    loss = torch.nn.functional.softplus(x) if objective == "bce" else x**2
    expected = (loss * factor)[valid].sum() / max(1, int(valid.sum()))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


@given(seeds, objectives, st.integers(4, 40), st.integers(4, 40))
def test_wholly_valid_images_give_the_plain_mean(seed, objective, height, width):
    judgement = draw(seed, 3, 1, 2, 3)
    valid = torch.ones(3, height, width, dtype=torch.bool)
    found = Game(objective).loss(judgement, "target", valid)
    plain = {
        "bce": torch.nn.BCEWithLogitsLoss(),
        "least_squares": torch.nn.MSELoss(),
    }[objective](judgement, torch.ones_like(judgement))
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=0)


@pytest.mark.parametrize("objective", ["bce", "least_squares"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_a_valid_pixel_there_is_nothing_to_judge(objective, dtype):
    judgement = draw(0, 1, 1, 2, 2).to(dtype).requires_grad_()
    loss = Game(objective).loss(judgement, "source", torch.zeros(1, 8, 8, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert not judgement.grad.any()


@given(seeds, objectives, domains)
def test_upsampled_output_is_compared_pixel_by_pixel(seed, objective, domain):
    """Between the centres of cells the output runs linearly, beyond them it stays."""
    judgement = draw(seed, 1, 1, 1, 2)
    valid = torch.rand(1, 1, 6, generator=torch.Generator().manual_seed(seed)) < 0.7
    left, right = judgement.flatten().tolist()
    shares = [min(max((col + 0.5) / 3 - 0.5, 0), 1) for col in range(6)]
    line = [left + share * (right - left) for share in shares]
    cells = torch.tensor(line, dtype=torch.float64)[valid[0, 0]].view(1, 1, 1, -1)
    found = Game(objective, upsampled=True).loss(judgement, domain, valid)
    if not valid.any():
        assert found.item() == 0
        return
    whole = torch.ones(1, 1, cells.shape[-1], dtype=torch.bool)
    expected = Game(objective).loss(cells, domain, whole)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


@given(seeds, objectives, domains, labellings, st.floats(0.05, 1))
def test_accuracy_counts_right_cells_by_their_valid_share(seed, objective, domain, labels, share):
    answer = (domain == "target") == (labels == "published")
    judgement = draw(seed, 2, 1, 2, 3)
    valid = torch.rand(2, 8, 12, generator=torch.Generator().manual_seed(seed)) < share
    right = total = 0.0
    for n, row, col in itertools.product(range(2), range(2), range(3)):
        under = valid[n, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4].double().mean().item()
        says = judgement[n, 0, row, col].item() > (0 if objective == "bce" else 0.5)
        right += under * (says == answer)
        total += under
    found = Game(objective, labels).accuracy(judgement, domain, valid).item()
    assert found == pytest.approx(right / total if total else 0)


def test_valid_share_is_the_mean_under_each_cell():
    valid = torch.rand(2, 6, 8) > 0.4
    found = valid_share(valid, torch.zeros(2, 5, 3, 4, dtype=torch.float64))
    expected = valid.double().reshape(2, 3, 2, 4, 2).mean((2, 4))[:, None]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("moved", [True, False])
def test_maps_judged_once_teach_each_player_as_if_judged_twice(moved):
    judge, maps = Discriminator(3, width=2).double(), draw(0, 2, 3, 32, 64)
    weights = list(judge.parameters())
    expected_maps = maps.clone().requires_grad_()
    (to_maps,) = torch.autograd.grad(judge(expected_maps).square().sum(), expected_maps)
    to_judge = torch.autograd.grad(judge(maps).exp().sum(), weights)

    maps.requires_grad_(moved)
    first, second = judge_once(judge, maps)
    if moved:
        first.square().sum().backward()
        torch.testing.assert_close(maps.grad, to_maps)
        maps.grad = None
    assert all(weight.grad is None for weight in weights)
    second.exp().sum().backward()
    assert maps.grad is None
    for weight, slope in zip(weights, to_judge, strict=True):
        torch.testing.assert_close(weight.grad, slope)
