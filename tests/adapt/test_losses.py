"""Losses against loops over pixels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from rsadapt.adapt import losses
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


def twice_as_large(cells):
    return functional.interpolate(cells, scale_factor=2, mode="bilinear")


@pytest.mark.parametrize("piece", [1, 2 * 3 * 8 * 10, 2**23])
@given(seeds, st.sampled_from([0.0, 0.5, 1.0]))
def test_loss_of_cells_is_that_of_all_their_pixels_at_once(piece, seed, share):
    cells = draw(seed, 3, 3, 4, 5).requires_grad_()
    draws = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 3, (3, 8, 10), generator=draws)
    label[torch.rand(label.shape, generator=draws) < share] = IGNORE_INDEX
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "PIECE", piece)
        found = segmentation_loss(cells, label, twice_as_large)
    pixels = twice_as_large(cells)
    known = label != IGNORE_INDEX
    expected = -pixels.log_softmax(1).movedim(1, -1)[known].gather(1, label[known][:, None]).sum()
    expected = expected / max(1, int(known.sum()))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
    slopes = [torch.autograd.grad(3 * loss, cells)[0] for loss in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-11, atol=1e-15)


def test_loss_needs_no_gradient_to_be_looked_at():
    label = torch.randint(0, 3, (2, 8, 10))
    cells = draw(0, 2, 3, 4, 5).requires_grad_()
    with torch.no_grad():
        found = segmentation_loss(cells, label, twice_as_large)
    assert not found.requires_grad
    assert found == segmentation_loss(cells, label, twice_as_large)


def test_gradients_are_those_of_finite_differences():
    valid = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)) > 0.4
    logits = draw(0, 2, 3, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: probability_maps(x, valid), logits)
    label = torch.randint(0, 3, (2, 3, 4)).where(valid, IGNORE_INDEX)
    assert torch.autograd.gradcheck(lambda x: segmentation_loss(x, label), logits)
