"""Frames in, label images of their own size out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from rsadapt.classes import ClassScheme
from rsadapt.infer.answers import answers_of
from rsadapt.infer.evaluate import Answers
from rsadapt.sample import Picture


def predict_frames(
    pictures: Iterable[Picture],
    predict: Answers,
    *,
    scheme: ClassScheme,
    device: torch.device | str,
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Predict frames, each at the size of its file.

    Args:
        pictures: the frames.
        predict: images to logits (or probabilities) of a size, on `device`.
        scheme: the classes, in the order of the network's.
        device: where the network is.

    Yields:
        The frame's name and its train ids, uint8 [height, width].

    Raises:
        ShapeError: where the network answers in another shape.
    """
    for picture in pictures:
        answers = answers_of(
            picture.image.unsqueeze(0).to(device),
            predict=partial(predict, size=picture.size),
            num_classes=len(scheme),
            size=picture.size,
        )
        yield picture.name, answers.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()
