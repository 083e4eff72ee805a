"""Losses and maps of predictions; invalid and unlabelled pixels count nowhere."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from rsadapt.adapt.ranks import mean_over_ranks

IGNORE_INDEX = 255


def segmentation_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Mean cross-entropy over labelled pixels, of all processes; 0 where none is labelled.

    Args:
        logits: float [N, classes, H, W].
        label: int64 [N, H, W], `IGNORE_INDEX` where unlabelled or invalid.
    """
    total = functional.cross_entropy(logits, label, ignore_index=IGNORE_INDEX, reduction="sum")
    return mean_over_ranks(total, (label != IGNORE_INDEX).sum(), of=label)


def probability_maps(logits: Tensor, valid: Tensor) -> Tensor:
    """Class probabilities [N, classes, H, W], 0 at invalid pixels, for a discriminator to judge.

    Args:
        logits: float [N, classes, H, W].
        valid: bool [N, H, W].
    """
    return logits.softmax(1) * valid.unsqueeze(1)
