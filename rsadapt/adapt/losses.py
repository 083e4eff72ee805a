"""Losses of segmentation and of the adversarial game; invalid and unlabelled pixels count not."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

IGNORE_INDEX = 255

Objective = Literal["bce", "least_squares"]

SOURCE, TARGET = 0.0, 1.0
"""The domain labels of the adversarial game, as in the published AdaptSegNet code. The paper has
them the other way round; fixed values keep losses comparable with those of published runs."""


def segmentation_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Mean cross-entropy over labelled pixels; 0 where none is labelled.

    Args:
        logits: float [N, classes, H, W].
        label: int64 [N, H, W], `IGNORE_INDEX` where unlabelled or invalid.
    """
    total = functional.cross_entropy(logits, label, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (label != IGNORE_INDEX).sum().clamp(min=1)


def probability_maps(logits: Tensor, valid: Tensor) -> Tensor:
    """Class probabilities [N, classes, H, W], 0 at invalid pixels, for a discriminator to judge.

    Args:
        logits: float [N, classes, H, W].
        valid: bool [N, H, W].
    """
    return logits.softmax(1) * valid.unsqueeze(1)


def domain_loss(judgement: Tensor, domain: float, valid: Tensor, objective: Objective) -> Tensor:
    """How far a discriminator's output is from a domain's label.

    Each cell counts by the share of valid pixels it stands for, so that borders without data
    teach nothing; with every pixel valid this is the plain mean.

    Args:
        judgement: float [N, 1, h, w], the discriminator's raw output.
        domain: `SOURCE` or `TARGET`.
        valid: bool [N, H, W] of the judged images.
        objective: "bce" is binary cross-entropy on logits (Goodfellow et al. 2014),
            "least_squares" the mean squared error on the raw output (Mao et al. 2017).
    """
    label = torch.full_like(judgement, domain)
    if objective == "bce":
        loss = functional.binary_cross_entropy_with_logits(judgement, label, reduction="none")
    else:
        loss = functional.mse_loss(judgement, label, reduction="none")
    rows, cols = judgement.shape[-2:]
    weight = functional.adaptive_avg_pool2d(valid.unsqueeze(1).to(loss.dtype), (rows, cols))
    return (loss * weight).sum() / weight.sum().clamp(min=torch.finfo(loss.dtype).tiny)
