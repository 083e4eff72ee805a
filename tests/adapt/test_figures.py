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


def test_class_shares_count_by_weight():
    logits, weight = torch.randn(2, 4, 5, 6), torch.rand(2, 1, 5, 6)
    expected = [0.0] * 4
    for n, row, col in torch.ones(2, 5, 6).nonzero().tolist():
        best = max(range(4), key=lambda c: logits[n, c, row, col].item())
        expected[best] += weight[n, 0, row, col].item() / weight.sum().item()
    assert class_shares(logits, weight).tolist() == pytest.approx(expected)
    assert class_shares(logits, torch.zeros_like(weight)).tolist() == [0] * 4
