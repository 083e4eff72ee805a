"""Scoring labelled samples."""

import numpy as np
import pytest
import torch

from rsadapt.errors import DataError, ShapeError
from rsadapt.infer.evaluate import evaluate_samples
from rsadapt.sample import Batch


def test_samples_leave_out_unlabelled_and_invalid_pixels():
    generator = torch.Generator().manual_seed(0)
    answers = torch.rand((2, 3, 5, 7), generator=generator)
    label = torch.randint(0, 3, (2, 5, 7), generator=generator)
    label[0, 0] = 255
    valid = torch.rand((2, 5, 7), generator=generator) > 0.3
    batch = Batch(torch.zeros(2, 1, 5, 7), valid, label)
    matrix = evaluate_samples([batch, batch], lambda _, size: answers, num_classes=3, device="cpu")
    expected = np.zeros((3, 3), int)
    for reference, predicted, counts in zip(
        label.flatten(), answers.argmax(1).flatten(), valid.flatten(), strict=True
    ):
        if counts and reference != 255:
            expected[reference, predicted] += 2
    np.testing.assert_array_equal(matrix.counts, expected)
    assert matrix.missed == 0


def test_samples_without_labels():
    batch = Batch(torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool))
    with pytest.raises(DataError, match="a batch without"):
        evaluate_samples([batch], lambda images, size: images, num_classes=1, device="cpu")


def test_predictions_come_at_the_labels_size_where_it_is_not_the_images():
    label = torch.randint(0, 3, (1, 12, 8))
    label[0, :2] = 255
    batch = Batch(torch.zeros(1, 3, 6, 4), torch.ones(1, 6, 4, dtype=torch.bool), label)
    answers = torch.rand(1, 3, 12, 8)
    asked = []

    def predict(images, size):
        asked.append((tuple(images.shape[-2:]), size))
        return answers

    matrix = evaluate_samples([batch], predict, num_classes=3, device="cpu")
    assert asked == [((6, 4), (12, 8))]
    expected = np.zeros((3, 3), int)
    for reference, predicted in zip(label.flatten(), answers.argmax(1).flatten(), strict=True):
        if reference != 255:
            expected[reference, predicted] += 1
    np.testing.assert_array_equal(matrix.counts, expected)


def test_answers_of_another_size_are_refused():
    batch = Batch(
        torch.zeros(1, 3, 6, 4), torch.ones(1, 6, 4, dtype=torch.bool), torch.zeros(1, 6, 4).long()
    )
    with pytest.raises(ShapeError, match=r"\(1, 3, 6, 4\), found \(1, 3, 5, 4\)"):
        evaluate_samples(
            [batch], lambda images, size: torch.zeros(1, 3, 5, 4), num_classes=3, device="cpu"
        )
