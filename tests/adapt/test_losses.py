"""Losses against loops over pixels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.adapt.losses import IGNORE_INDEX, probability_maps, segmentation_loss

seeds = st.integers(0, 2**31)


def draw(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
