"""What a step says of itself besides its losses, on the device until it is logged."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rsadapt.adapt import ranks
from rsadapt.adapt.method import Losses

Said = dict[str, float | list[float]]
"""Losses and figures by name, fetched from the device; one with a value a class is a list."""

FIGURES = ("accuracy", "share", "round", "threshold")
"""What the names of figures begin with, which no loss's does."""


def apart(said: Mapping[str, float | list[float]]) -> tuple[Said, Said]:
    """Part what a step said into its losses and its other figures."""
    losses = {name: value for name, value in said.items() if not name.startswith(FIGURES)}
    return losses, {name: value for name, value in said.items() if name not in losses}


def fetch(values: Losses) -> Said:
    """Bring scalars and vectors from the device, all at once, so that it is waited for once.

    Of several processes each gets the means over all.
    """
    if not values:
        return {}
    flat = ranks.mean(torch.cat([value.reshape(-1) for value in values.values()]))
    numbers = iter(flat.tolist())
    return {
        name: [next(numbers) for _ in range(len(value))] if value.ndim else next(numbers)
        for name, value in values.items()
    }


def class_shares(logits: Tensor, weight: Tensor) -> Tensor:
    """The share of each class in a prediction; 0 where nothing counts.

    Args:
        logits: float [N, classes, h, w].
        weight: [N, 1, h, w], by how much each counts.

    Returns:
        float [classes], without having waited for the device (as `bincount` would).
    """
    predicted = logits.detach().argmax(1)
    counts = weight.new_zeros(logits.shape[1])
    counts.scatter_add_(0, predicted.flatten(), weight.flatten())
    return counts / counts.sum().clamp(min=torch.finfo(counts.dtype).tiny)
