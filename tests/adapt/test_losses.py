"""Losses against loops over pixels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from rsadapt.adapt import losses
from rsadapt.adapt.losses import (
    IGNORE_INDEX,
    entropy_loss,
    probability_maps,
    segmentation_loss,
    self_information_maps,
)

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
    for maps in (probability_maps, self_information_maps):
        assert torch.autograd.gradcheck(lambda x, maps=maps: maps(x, valid), logits)
    for penalty in (lambda entropy: entropy, lambda entropy: (entropy**2 + 1e-6) ** 1.5):
        assert torch.autograd.gradcheck(
            lambda x, penalty=penalty: entropy_loss(x, valid, penalty=penalty), logits
        )
    label = torch.randint(0, 3, (2, 3, 4)).where(valid, IGNORE_INDEX)
    assert torch.autograd.gradcheck(lambda x: segmentation_loss(x, label), logits)


def slow_self_information(logits, valid):
    """Of nested lists [N][classes][H][W], as Vu et al. write it."""
    found = torch.zeros(logits.shape, dtype=torch.float64)
    samples, classes, height, width = logits.shape
    for n in range(samples):
        for row in range(height):
            for col in range(width):
                odds = [math.exp(value) for value in logits[n, :, row, col].tolist()]
                for number in range(classes) if valid[n, row, col] else ():
                    p = odds[number] / sum(odds)
                    found[n, number, row, col] = -p * math.log2(p + 1e-30) / math.log2(classes)
    return found


@given(seeds, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([1.0, 100.0]))
def test_self_information_and_entropy_are_those_of_a_loop_over_pixels(seed, share, scale):
    logits = scale * draw(seed, 2, 3, 4, 5)
    valid = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(seed)) < share
    expected = slow_self_information(logits, valid)
    found = self_information_maps(logits, valid)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)
    mean = expected.sum() / max(1, int(valid.sum()))
    assert entropy_loss(logits, valid).item() == pytest.approx(mean.item(), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_predictions_beyond_doubt_have_finite_slopes(dtype):
    logits = torch.tensor([1000.0, 0.0, -1000.0], dtype=dtype).reshape(1, 3, 1, 1).requires_grad_()
    valid = torch.ones(1, 1, 1, dtype=torch.bool)
    maps, entropy = self_information_maps(logits, valid), entropy_loss(logits, valid)
    assert maps.dtype == dtype
    for value in (maps.sum(), entropy):
        (slope,) = torch.autograd.grad(value, logits)
        assert value.item() == 0
        assert not slope.any()


@pytest.mark.parametrize("piece", [1, 2 * 3 * 8 * 10, 2**23])
def test_entropy_of_cells_is_that_of_all_their_pixels_at_once(piece, monkeypatch):
    monkeypatch.setattr(losses, "PIECE", piece)
    cells = draw(0, 3, 3, 4, 5).requires_grad_()
    valid = torch.rand(3, 8, 10) < 0.5
    found = entropy_loss(cells, valid, twice_as_large, torch.square)
    p = twice_as_large(cells).softmax(1)
    expected = (-(p * p.log()).sum(1) / math.log(3))[valid].square().mean()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
    slopes = [torch.autograd.grad(loss, cells)[0] for loss in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-15)
