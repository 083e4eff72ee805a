"""CBST: class-balanced self-training (Zou et al., ECCV 2018), with CRST's regularisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from rsadapt.adapt import ranks
from rsadapt.adapt.confidence import BINS, histograms, limits
from rsadapt.adapt.kit import Kit
from rsadapt.adapt.method import Parts
from rsadapt.adapt.pseudo_labels import PseudoLabels, SelfTraining, record


@dataclass(frozen=True)
class Cbst(SelfTraining):
    """Of every class the same portion is labelled, its surest pixels.

    A class's threshold is the confidence at rank portion x count among all pixels that the labeller
    predicted as the class since the round began, the batch at hand included. So no batch is spent
    on thresholds alone, they are those of the network that labels, and they come to rest while
    the round goes on; the first batches of a round are ranked among themselves.

    The label is argmax(p / threshold), where p / threshold reaches 1.
    With CRST's LRENT (Zou et al., ICCV 2019) labels are soft: what minimises
    -sum(y log(p / threshold)) + lrent sum(y log y) is y = softmax(log(p / threshold) / lrent), and
    a pixel is labelled where that is below 0, which it is without a label. MRKLD is `kld`.

    Attributes:
        portion: of each class that is labelled in the first round.
        growth: of the portion, with every round.
        most: of the portion.
        lrent: 0 for hard labels; published 0.25.
    """

    portion: Annotated[float, Interval(gt=0, le=1)] = 0.2
    growth: Annotated[float, Ge(0)] = 0.05
    most: Annotated[float, Interval(gt=0, le=1)] = 0.5
    lrent: Annotated[float, Ge(0)] = 0.0
    name: ClassVar[str] = "cbst"

    def record(self, kit: Kit) -> Tensor:
        """Counts of no pixel, see `histograms`."""
        return torch.zeros(kit.classes, BINS, dtype=torch.int64)

    def portion_of(self, number: int) -> float:
        """The portion labelled in a round, counted from 0."""
        return min(self.portion + self.growth * number, self.most)

    def label(self, parts: Parts, log_probabilities: Tensor, valid: Tensor) -> PseudoLabels:
        """See `SelfTraining.label`."""
        counts = record(parts)
        counts.value = counts.value + ranks.total(histograms(log_probabilities, valid).sum(0))
        limit = limits(counts.value, self.portion_of(self.round(parts)))
        aims, labelled = class_balanced(log_probabilities, limit, lrent=self.lrent)
        labelled = labelled & valid
        return PseudoLabels(aims * labelled.unsqueeze(1), labelled, limit.neg().exp())


def class_balanced(
    log_probabilities: Tensor, limit: Tensor, *, lrent: float
) -> tuple[Tensor, Tensor]:
    """Label by probabilities relative to their classes' thresholds.

    Args:
        log_probabilities: float [N, classes, H, W].
        limit: float [classes], -log of the thresholds.
        lrent: see `Cbst`.

    Returns:
        The labels as probabilities [N, classes, H, W], and where they hold, bool [N, H, W].
    """
    relative = log_probabilities + limit.to(log_probabilities.dtype).view(-1, 1, 1)
    if lrent:
        soft = relative / lrent
        return soft.softmax(1), soft.logsumexp(1) >= 0
    best, label = relative.max(1, keepdim=True)
    return torch.zeros_like(relative).scatter_(1, label, 1.0), best.squeeze(1) >= 0
