"""IAST: instance-adaptive self-training (Mei et al., ECCV 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from rsadapt.adapt import ranks
from rsadapt.adapt.confidence import histograms, limits
from rsadapt.adapt.kit import Kit
from rsadapt.adapt.method import Parts
from rsadapt.adapt.pseudo_labels import PseudoLabels, SelfTraining, record


@dataclass(frozen=True)
class Iast(SelfTraining):
    """Each class's threshold follows what the images at hand are sure of.

    From image to image, theta_t = beta theta_(t-1) + (1 - beta) Psi(x_t, theta_(t-1)). This reading
    is recalled and could not be held against the paper: Psi of a class is the confidence at rank
    alpha theta_(t-1)^gamma x count, from the surest on, among the pixels of x_t predicted as the
    class, so that of a class with a low threshold, a hard one, a smaller portion is asked for; a
    class that an image lacks keeps its threshold; x_t is labelled by theta_t, where the surest
    class reaches its own threshold. Images of several processes follow one another as the stream
    numbers them. Every round begins at `first`.

    The other losses are the paper's region-guided regularisation: `entropy` where there is no
    label and `kld` where there is one; the source's cross-entropy is learned along.

    Attributes:
        alpha: portion of a class of threshold 1.
        beta: share of a threshold that an image leaves.
        gamma: how much harder classes are held back.
        first: threshold of every class (recalled).
        kld: see `SelfTraining`; recalled.
        entropy: see `SelfTraining`; recalled.
    """

    alpha: Annotated[float, Interval(gt=0, le=1)] = 0.2
    beta: Annotated[float, Interval(ge=0, lt=1)] = 0.9
    gamma: Annotated[float, Ge(0)] = 8.0
    first: Annotated[float, Interval(gt=0, le=1)] = 0.9
    kld: Annotated[float, Ge(0)] = 0.1
    entropy: Annotated[float, Ge(0)] = 3.0
    name: ClassVar[str] = "iast"
    tells_apart: ClassVar[bool] = True

    def record(self, kit: Kit) -> Tensor:
        """Thresholds."""
        return torch.full((kit.classes,), self.first, dtype=torch.float32)

    def label(self, parts: Parts, log_probabilities: Tensor, valid: Tensor) -> PseudoLabels:
        """See `SelfTraining.label`."""
        thresholds = record(parts)
        moved = self.moving(thresholds.value, _of_all(histograms(log_probabilities, valid)))
        thresholds.value = moved[-1]
        first = ranks.rank() * len(valid)
        surest, label = log_probabilities.max(1, keepdim=True)
        limit = moved[first : first + len(valid)].log().to(surest.dtype)
        limit = limit.gather(1, label.flatten(1)).view_as(surest)
        labelled = (surest >= limit).squeeze(1) & valid
        aims = torch.zeros_like(log_probabilities).scatter_(1, label, 1.0)
        return PseudoLabels(aims * labelled.unsqueeze(1), labelled, moved[-1])

    def moving(self, threshold: Tensor, counts: Tensor) -> Tensor:
        """The thresholds after each image.

        Args:
            threshold: float32 [classes], before.
            counts: int64 [images, classes, BINS], see `histograms`.

        Returns:
            float32 [images, classes].
        """
        moved = []
        for each in counts:
            found = limits(each, self.alpha * threshold**self.gamma).neg().exp()
            mixed = self.beta * threshold + (1 - self.beta) * found
            threshold = torch.where(each.sum(-1) > 0, mixed, threshold)
            moved.append(threshold)
        return torch.stack(moved)


def _of_all(counts: Tensor) -> Tensor:
    """Counts [images, ...] of the images of all processes, one process after the other."""
    if ranks.count() == 1:
        return counts
    every = counts.new_zeros(ranks.count(), *counts.shape)
    every[ranks.rank()] = counts
    return ranks.total(every).flatten(0, 1)
