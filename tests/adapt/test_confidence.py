"""Histograms of confidence against sorting."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from rsadapt.adapt.confidence import BINS, WIDTH, histograms, limits


def drawn(sharpness=3.0, dtype=torch.float32):
    """Predictions of two images with three classes, the third of which is never predicted."""
    logits = torch.randn(2, 4, 40, 50, dtype=dtype) * sharpness
    logits[:, 2] = -500
    return logits.log_softmax(1), torch.rand(2, 40, 50) < 0.7


def slow_limit(log_probabilities, valid, number, portion):
    """-log of the confidence at a rank, all pixels of a class sorted."""
    surest, predicted = log_probabilities.max(1)
    found = sorted((-surest[valid & (predicted == number)]).tolist())
    return found[max(1, math.ceil(portion * len(found))) - 1], len(found)


@pytest.mark.parametrize("portion", [0.0, 0.2, 0.237, 0.5, 1.0])
@pytest.mark.parametrize("sharpness", [0.3, 3.0, 30.0])
def test_limits_are_those_of_sorting_but_for_a_bin(portion, sharpness):
    predictions, valid = drawn(sharpness, torch.float64)
    counts = histograms(predictions, valid)
    assert counts.shape == (2, 4, BINS)
    assert counts.sum() == valid.sum()
    for found, images in (
        (limits(counts, portion), [[0], [1]]),
        (limits(counts.sum(0), portion)[None], [[0, 1]]),
    ):
        for row, among in zip(found, images, strict=True):
            for number in (0, 1, 3):
                exact, _ = slow_limit(predictions[among], valid[among], number, portion)
                exact = max(exact, 2.0**-24)  # as sure as can be told
                assert exact * (1 - 1e-5) <= row[number] <= exact * 2**WIDTH * (1 + 1e-5)
            assert row[2] == 0  # the threshold 1


def test_what_is_surer_than_float32_can_tell_counts_as_surest():
    certain = torch.tensor([0.0, -1e-30, -5.5, math.nan]).view(1, 1, 1, 4)
    counts = histograms(torch.cat([certain, certain - 1], 1), torch.ones(1, 1, 4).bool())
    assert counts[0, 0, 0] == 2
    assert counts.sum() == 4


def test_portions_may_differ_by_class():
    predictions, valid = drawn()
    counts = histograms(predictions, valid).sum(0)
    portions = torch.tensor([0.1, 0.9, 0.5, 0.3])
    found = limits(counts, portions)
    each = [limits(counts, portion)[n] for n, portion in enumerate(portions.tolist())]
    assert found.tolist() == each


def test_sizes_depend_on_no_value():
    with FakeTensorMode():
        predictions = torch.zeros(2, 4, 8, 8)
        counts = histograms(predictions, torch.ones(2, 8, 8, dtype=torch.bool))
        assert limits(counts, 0.2).shape == (2, 4)
