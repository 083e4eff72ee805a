"""A method of its own, written as CONTRIBUTING says: answers that noise does not change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Interval

from rsadapt.adapt.adversarial import valid_share
from rsadapt.adapt.kit import Kit, Remembered
from rsadapt.adapt.method import (
    Backward,
    Losses,
    Method,
    Parts,
    Weights,
    by_level,
    needed,
    weighted_sum,
)
from rsadapt.adapt.ranks import mean_over_ranks
from rsadapt.adapt.teacher import Teacher
from rsadapt.sample import Batch


@dataclass(frozen=True)
class Consistency(Method):
    """A mean teacher (Tarvainen and Valpola 2017) that sees the target without noise.

    Attributes:
        segmentation: weight of the cross-entropy at each level, main level last.
        weight: of the mean squared distance to the teacher's probabilities.
        noise: its standard deviation, in those of a band.
        decay: share of the teacher that a step keeps.
    """

    segmentation: Weights = field(default_factory=lambda: [0.1, 1.0])
    weight: Annotated[float, Ge(0)] = 1.0
    noise: Annotated[float, Ge(0)] = 0.1
    decay: Annotated[float, Interval(ge=0, lt=1)] = 0.99
    name: ClassVar[str] = "consistency"

    def memory(self, kit: Kit) -> dict[str, Remembered]:
        """The teacher."""
        return {"teacher": kit.teacher()}

    def begin(self, parts: Parts) -> None:
        """Let the teacher start as the student does."""
        self._teacher(parts).copy(parts.network, parts.statistics)

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`; "consistency" is the distance."""
        target = needed(target)
        losses = parts.segmentation_losses(parts.cells(source, "source"), source)
        backward(weighted_sum(self.segmentation, losses))

        taught = self._teacher(parts).cells(target, "target")[-1].softmax(1)
        noise = torch.randn(target.image.shape, generator=parts.random()).to(target.image)
        noisy = replace(target, image=target.image + self.noise * noise)
        answered = parts.cells(noisy, "target")[-1].softmax(1)
        distance = (answered - taught).square().mean(1, keepdim=True)
        share = valid_share(target.valid, distance)
        cells = tuple(share.shape)
        loss = mean_over_ranks((share * distance).sum(), share.sum(), of=target.valid, at=cells)
        backward(self.weight * loss)
        return by_level("segmentation", losses) | {"consistency": loss.detach()}

    def after(self, parts: Parts) -> None:
        """Let the teacher follow."""
        self._teacher(parts).follow(parts.network, parts.statistics, decay=self.decay)

    def _teacher(self, parts: Parts) -> Teacher:
        teacher = parts.memory["teacher"]
        assert isinstance(teacher, Teacher)
        return teacher
