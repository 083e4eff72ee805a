"""How sure a network is of what it predicts, counted by class, and the thresholds that follow."""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 2**12
"""Of equal ratio in -log p, which is CBST's k: fine where networks are sure, so that portions of a
class can be told apart of which all lie above 0.999."""

SUREST, LEAST_SURE = -24.0, 2.5
"""log2(-log p) of the bins' ends: float32's spacing below p = 1, and p below 1 / 255."""

WIDTH = (LEAST_SURE - SUREST) / BINS
"""Of a bin: -log p grows by 0.45 % from edge to edge, p = 0.5 changes by 0.0016."""


def histograms(log_probabilities: Tensor, valid: Tensor) -> Tensor:
    """Count each image's valid pixels by predicted class and by how sure the prediction is.

    Args:
        log_probabilities: float [N, classes, H, W].
        valid: bool [N, H, W].

    Returns:
        int64 [N, classes, BINS], surest first.
    """
    count, classes = log_probabilities.shape[:2]
    surest, predicted = log_probabilities.max(1)
    place = (surest.neg().log2() - SUREST) / WIDTH
    place = place.nan_to_num(BINS - 1).clamp(0, BINS - 1).long()  # NaN is told of as a loss
    image = torch.arange(count, device=valid.device).view(-1, 1, 1)
    at = (image * classes + predicted) * BINS + place
    counts = torch.zeros(count * classes * BINS, dtype=torch.int64, device=valid.device)
    counts.scatter_add_(0, at.flatten(), valid.flatten().long())
    return counts.view(count, classes, BINS)


def limits(counts: Tensor, portion: float | Tensor) -> Tensor:
    """The -log of each class's threshold, so that at least a portion of its pixels reaches it.

    The threshold is the confidence at rank portion x count from the surest on, or at most a bin
    less, as if all confidences had been sorted. A class that was never predicted has the threshold
    1, which only certainty reaches.

    Args:
        counts: int64 [..., classes, BINS], see `histograms`.
        portion: 0..1, of each class [..., classes] or of all.

    Returns:
        float32 [..., classes], 0 or more.
    """
    reached = counts.cumsum(-1)
    number = reached[..., -1]
    rank = (portion * number).ceil().clamp(min=1).unsqueeze(-1)
    bins = (reached < rank).sum(-1)
    edge = torch.exp2(SUREST + (bins + 1) * WIDTH)
    return edge * (number > 0)
