"""Labelled samples in, one confusion matrix out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsadapt.classes import IGNORE_INDEX
from rsadapt.errors import DataError
from rsadapt.infer.answers import answers_of
from rsadapt.infer.metrics import ConfusionMatrix
from rsadapt.sample import Batch


class Answers(Protocol):
    """Images float32 [N, bands, h, w] in, logits or probabilities [N, classes, *size] out."""

    def __call__(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Answer images at a size (height, width)."""
        ...


def evaluate_samples(
    samples: Iterable[Batch],
    predict: Answers,
    *,
    num_classes: int,
    device: torch.device | str,
) -> ConfusionMatrix:
    """Count a network's predictions on labelled batches.

    Args:
        samples: batches with labels; pixels whose label is 255 are left out.
        predict: images to logits (or probabilities) of the labels' size, on `device`; called in
            inference mode.
        num_classes: classes of the network and the labels.
        device: where the network is.

    Raises:
        DataError: for a batch without labels.
        ShapeError: where the network answers in another shape.
    """
    matrix = ConfusionMatrix(num_classes)
    for batch in samples:
        if batch.label is None:
            raise DataError("evaluation needs labels, found a batch without; use labelled samples")
        height, width = batch.label.shape[-2:]
        answers = answers_of(
            batch.image.to(device),
            predict=partial(predict, size=(height, width)),
            num_classes=num_classes,
            size=(height, width),
        )
        predicted = answers.argmax(dim=1).to(torch.uint8).cpu().numpy()
        matrix.update(_reference(batch, batch.label), predicted)
    return matrix


def _reference(batch: Batch, label: Tensor) -> NDArray[np.uint8]:
    """Train ids, 255 where unlabelled or, where validity is known at the label's size, invalid."""
    if batch.valid.shape == label.shape:
        label = label.where(batch.valid, IGNORE_INDEX)
    return label.to(torch.uint8).cpu().numpy()
