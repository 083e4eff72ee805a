"""Mean teacher: the network learns what a slower copy of it says of the target."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from rsadapt.adapt import ranks
from rsadapt.adapt.adversarial import domain_shares
from rsadapt.adapt.kit import Kit, Remembered
from rsadapt.adapt.losses import IGNORE_INDEX, segmentation_loss
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
from rsadapt.adapt.photometry import blurred, jittered
from rsadapt.adapt.teacher import Teacher
from rsadapt.sample import Batch


@dataclass(frozen=True)
class Lesson:
    """Images with what is to be learned of them.

    Attributes:
        batch: labelled, by a teacher where nobody else did.
        weight: float [N, H, W], by how much each pixel counts.
        classes: of the class table.
    """

    batch: Batch
    weight: Tensor
    classes: int


@dataclass(frozen=True)
class MeanTeacher(Method):
    """Self-training with a mean teacher (Tarvainen and Valpola 2017) by pseudo labels.

    The teacher's weights are a moving average of the network's. It labels clean target images; the
    network learns those labels of images whose colours were changed and which were blurred. How
    much they count is the share of pixels that the teacher is sure of (Tranheden et al. 2021, DACS,
    section 3.2 and the published code).

    With the batch-norm policy "per_domain" changed images move no statistics; the target's follow
    clean target images, which the network passes once more for it.

    Attributes:
        segmentation: weight of the cross-entropy at each level, main level last.
        taught: weight of what the teacher taught, beside the source's labels.
        decay: share of the teacher that a step keeps, at most.
        threshold: the probability of its class from which on the teacher is sure of a pixel.
        jitter: how far colours go at most, 0.25 for 25 % of contrast and of a standard deviation.
        jitter_chance: of an image that its colours change.
        blur: greatest standard deviation of the Gaussian, pixels.
        blur_chance: of an image to be blurred.
    """

    segmentation: Weights = field(default_factory=lambda: [0.1, 1.0])
    taught: Annotated[float, Ge(0)] = 1.0
    decay: Annotated[float, Interval(ge=0, lt=1)] = 0.999
    threshold: Annotated[float, Interval(ge=0, le=1)] = 0.968
    jitter: Annotated[float, Ge(0)] = 0.25
    jitter_chance: Annotated[float, Interval(ge=0, le=1)] = 0.8
    blur: Annotated[float, Ge(0)] = 1.15
    blur_chance: Annotated[float, Interval(ge=0, le=1)] = 0.5
    name: ClassVar[str] = "mean_teacher"
    target_weights: ClassVar[tuple[str, ...]] = ("taught",)

    def memory(self, kit: Kit) -> dict[str, Remembered]:
        """The teacher."""
        return {"teacher": kit.teacher()}

    def begin(self, parts: Parts) -> None:
        """Let the teacher start as the network does."""
        teacher_of(parts).copy(parts.network, parts.statistics)

    def after(self, parts: Parts) -> None:
        """Let the teacher follow."""
        teacher_of(parts).follow(parts.network, parts.statistics, decay=self.decay)

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`.

        Returns:
            "segmentation_N" and "taught_N" of each level, unweighted, and what children add. Of a
            watched step "share_confident" of the target's pixels, and of each class "share_source"
            in the network's predictions and "share_target" in the teacher's, too.
        """
        target = needed(target)
        random = parts.random()
        losses = self.learn_labels(parts, source, backward)
        if parts.statistics.policy == "per_domain":
            with torch.no_grad():
                parts.cells(target, "target")
        cells = teacher_of(parts).cells(target, "target")[-1]
        lesson = self.lesson(parts, target, cells)
        losses |= self.learn_lesson(parts, source, lesson, random, backward)
        if parts.watched:
            losses["share_confident"] = lesson.weight.amax()
            losses |= domain_shares(target=(cells, target))
        return losses

    def learn_labels(self, parts: Parts, source: Batch, backward: Backward) -> Losses:
        """Learn what is labelled."""
        levels = parts.cells(source, "source")
        losses = parts.segmentation_losses(levels, source)
        backward(weighted_sum(self.segmentation, losses))
        return by_level("segmentation", losses) | source_shares(parts, levels, source)

    def lesson(self, parts: Parts, target: Batch, cells: Tensor) -> Lesson:
        """What the teacher says of clean target images, and how sure it is of them together.

        Args:
            parts: the networks.
            target: the images.
            cells: the teacher's logits [N, classes, h, w].
        """
        told = [parts.pixels(part, target).softmax(1).max(1) for part in torch.split(cells, 1)]
        confidence, label = (torch.cat(each) for each in zip(*told, strict=True))
        sure = (confidence >= self.threshold) & target.valid
        counts = ranks.total(torch.stack([sure.sum(), target.valid.sum()]))
        weight = (counts[0] / counts[1].clamp(min=1)).to(target.image)
        label = label.masked_fill(~self.believed(target), IGNORE_INDEX)
        return Lesson(
            replace(target, label=label), weight.expand(label.shape), classes=cells.shape[1]
        )

    def believed(self, target: Batch) -> Tensor:
        """The pixels whose pseudo labels are learned, bool [N, H, W]."""
        return target.valid

    def learn_lesson(
        self,
        parts: Parts,
        source: Batch,
        lesson: Lesson,
        random: torch.Generator,
        backward: Backward,
    ) -> Losses:
        """Learn what the teacher says of the target.

        Args:
            parts: the networks.
            source: the labelled batch.
            lesson: clean target images as the teacher labels them.
            random: of the pair at hand.
            backward: as a step is handed it.
        """
        changed = self.changed(lesson, random)
        return by_level("taught", self.learn(parts, changed, self.taught, backward))

    def changed(self, lesson: Lesson, random: torch.Generator) -> Lesson:
        """The same with other colours, and blurred."""
        image, valid = lesson.batch.image, lesson.batch.valid
        image = jittered(
            image, valid, strength=self.jitter, chance=self.jitter_chance, random=random
        )
        image = blurred(image, valid, most=self.blur, chance=self.blur_chance, random=random)
        return replace(lesson, batch=replace(lesson.batch, image=image))

    def learn(
        self, parts: Parts, lesson: Lesson, weight: float, backward: Backward
    ) -> list[Tensor]:
        """Learn a lesson; the loss of each level, a mean over labelled pixels of any weight."""
        batch = lesson.batch
        with parts.statistics.neither():
            levels: list[Tensor] = parts.network(batch.image)
        losses = [
            segmentation_loss(
                cells, batch.labels(), lambda part: parts.pixels(part, batch), lesson.weight
            )
            for cells in levels
        ]
        backward(weight * weighted_sum(self.segmentation, losses))
        return [loss.detach() for loss in losses]


def source_shares(parts: Parts, levels: list[Tensor], source: Batch) -> Losses:
    """The figure "share_source" of a watched step, see `domain_shares`; nothing of another."""
    return domain_shares(source=(levels[-1], source)) if parts.watched else {}


def teacher_of(parts: Parts, name: str = "teacher") -> Teacher:
    """The teacher that a method remembers by a name."""
    teacher = parts.memory[name]
    if not isinstance(teacher, Teacher):
        raise TypeError(f"expected a teacher by the name of {name}, found {type(teacher)}")
    return teacher
