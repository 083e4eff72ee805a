"""Figures of a step: parted from losses, fetched whole, counted as loops count."""

import pytest
import torch

from rsadapt.adapt.figures import apart, class_shares, fetch


def test_losses_and_figures_are_told_apart_by_their_names():
    said = {"segmentation_1": 1.0, "accuracy_source_1": 0.5, "share_target": [0.5, 0.5]}
    losses, figures = apart(said)
    assert losses == {"segmentation_1": 1.0}
    assert figures == {"accuracy_source_1": 0.5, "share_target": [0.5, 0.5]}


def test_scalars_and_vectors_of_any_precision_come_as_they_were():
    values = {
        "a": torch.tensor(1 / 3, dtype=torch.float64),
        "b": torch.tensor([0.25, 0.5]),
        "c": torch.tensor(2, dtype=torch.bfloat16),
        "d": torch.tensor([4.0]),
    }
    assert fetch(values) == {"a": 1 / 3, "b": [0.25, 0.5], "c": 2.0, "d": [4.0]}
    assert fetch({}) == {}


def test_class_shares_count_valid_pixels():
    logits, valid = torch.randn(2, 4, 5, 6), torch.rand(2, 5, 6) > 0.4
    predicted = [
        max(range(4), key=lambda c: logits[n, c, row, col].item())
        for n, row, col in valid.nonzero().tolist()
    ]
    expected = [predicted.count(number) / len(predicted) for number in range(4)]
    assert class_shares(logits, valid).tolist() == pytest.approx(expected)
    assert class_shares(logits, torch.zeros_like(valid)).tolist() == [0] * 4
