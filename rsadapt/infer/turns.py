"""Test-time augmentation: a network's answers to turned images, turned back and averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Turns = Literal["none", "flips", "dihedral"]

_FLIPS = ((0, False), (0, True), (2, True), (2, False))
"""(quarter turns, mirrored) of an image as it is, left to right, top to bottom, and both."""

_TURNS: dict[Turns, tuple[tuple[int, bool], ...]] = {
    "none": ((0, False),),
    "flips": _FLIPS,
    "dihedral": tuple((quarters, mirrored) for quarters in range(4) for mirrored in (False, True)),
}


def averaged(predict: Callable[[Tensor], Tensor], turns: Turns) -> Callable[[Tensor], Tensor]:
    """Let a network see square images turned, too, and average what it answers.

    Args:
        predict: images [N, bands, side, side] to probabilities [N, classes, side, side].
        turns: "none", the four "flips", or the eight flips and quarter turns of a square,
            "dihedral"; each costs a pass.
    """
    chosen = _TURNS[turns]
    if len(chosen) == 1:
        return predict

    def mean(images: Tensor) -> Tensor:
        total = torch.zeros(())
        for quarters, mirrored in chosen:
            seen = torch.rot90(images.flip(-1) if mirrored else images, quarters, (-2, -1))
            answer = torch.rot90(predict(seen), -quarters, (-2, -1))
            total = total.to(answer) + (answer.flip(-1) if mirrored else answer)
        return total / len(chosen)

    return mean
