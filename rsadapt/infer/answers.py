"""What a network answers, checked: the one place where scoring and mapping ask it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rsadapt.errors import ShapeError


def answers_of(
    images: Tensor,
    *,
    predict: Callable[[Tensor], Tensor],
    num_classes: int,
    size: tuple[int, int],
) -> Tensor:
    """Ask a network without recording gradients, and check its answer's shape.

    Args:
        images: float32 [N, bands, h, w].
        predict: images to logits or probabilities.
        num_classes: classes that the answer must have.
        size: (height, width) that the answer must have.

    Returns:
        float32 [N, classes, height, width].

    Raises:
        ShapeError: for an answer of another shape.
    """
    with torch.inference_mode():
        answers = predict(images)
        expected = (len(images), num_classes, *size)
        if tuple(answers.shape) != expected:
            raise ShapeError(
                f"the network must answer images of {tuple(images.shape)} with {expected}, found "
                f"{tuple(answers.shape)}; check the number of classes and that logits are brought "
                f"to the size asked for"
            )
        return answers.float()
