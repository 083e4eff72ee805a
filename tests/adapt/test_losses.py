"""Losses against loops over pixels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.adapt.losses import (
    IGNORE_INDEX,
    SOURCE,
    TARGET,
    domain_loss,
    probability_maps,
    segmentation_loss,
)

seeds = st.integers(0, 2**31)
objectives = st.sampled_from(["bce", "least_squares"])


def draw(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_domain_labels_are_those_of_the_published_code():
    assert (SOURCE, TARGET) == (0.0, 1.0)


@given(seeds, st.floats(0, 1))
def test_segmentation_loss_is_the_mean_over_labelled_pixels(seed, share):
    logits = draw(seed, 2, 3, 4, 5)
    label = draw(seed + 1, 2, 4, 5).mul(9).long().abs() % 3
    label[torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(seed)) < share] = IGNORE_INDEX
    terms = []
    for n in range(2):
        for row in range(4):
            for col in range(5):
                if label[n, row, col] != IGNORE_INDEX:
                    p = [math.exp(value) for value in logits[n, :, row, col].tolist()]
                    terms.append(-math.log(p[label[n, row, col]] / sum(p)))
    expected = sum(terms) / len(terms) if terms else 0
    assert segmentation_loss(logits, label).item() == pytest.approx(expected, rel=1e-12)


def test_without_a_label_there_is_nothing_to_learn():
    logits = draw(0, 2, 3, 4, 5).requires_grad_()
    loss = segmentation_loss(logits, torch.full((2, 4, 5), IGNORE_INDEX))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_probabilities_of_invalid_pixels_are_nought_whatever_is_predicted():
    valid = torch.rand(2, 4, 5) > 0.5
    logits = draw(0, 2, 3, 4, 5)
    other = torch.where(valid.unsqueeze(1), logits, draw(1, 2, 3, 4, 5))
    maps = probability_maps(logits, valid)
    assert torch.equal(maps, probability_maps(other, valid))
    torch.testing.assert_close(maps.sum(1), valid.double())


@given(seeds, objectives, st.sampled_from([SOURCE, TARGET]), st.floats(0.05, 1))
def test_domain_loss_counts_cells_by_their_valid_share(seed, objective, domain, share):
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
                bce = math.log1p(math.exp(-x)) if domain == 1 else math.log1p(math.exp(x))
                total += under * (bce if objective == "bce" else (x - domain) ** 2)
                weight += under
    expected = total / weight if weight else 0
    found = domain_loss(judgement, domain, valid, objective).item()
    assert found == pytest.approx(expected, rel=1e-12)


@given(seeds, objectives, st.integers(4, 40), st.integers(4, 40))
def test_wholly_valid_images_give_the_plain_mean(seed, objective, height, width):
    judgement = draw(seed, 3, 1, 2, 3)
    valid = torch.ones(3, height, width, dtype=torch.bool)
    found = domain_loss(judgement, TARGET, valid, objective)
    plain = {
        "bce": torch.nn.BCEWithLogitsLoss(),
        "least_squares": torch.nn.MSELoss(),
    }[objective](judgement, torch.full_like(judgement, TARGET))
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=0)


@pytest.mark.parametrize("objective", ["bce", "least_squares"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_a_valid_pixel_there_is_nothing_to_judge(objective, dtype):
    judgement = draw(0, 1, 1, 2, 2).to(dtype).requires_grad_()
    loss = domain_loss(judgement, SOURCE, torch.zeros(1, 8, 8, dtype=torch.bool), objective)
    loss.backward()
    assert loss.item() == 0
    assert not judgement.grad.any()
