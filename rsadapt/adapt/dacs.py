"""DACS: a mean teacher whose images are mixed across domains (Tranheden et al., WACV 2021)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from rsadapt.adapt.class_mix import half_of_classes, pixels_of
from rsadapt.adapt.mean_teacher import Lesson, MeanTeacher
from rsadapt.adapt.method import Backward, Losses, Parts
from rsadapt.errors import ShapeError
from rsadapt.sample import Batch


@dataclass(frozen=True)
class Dacs(MeanTeacher):
    """Half of the classes of each source image are pasted, with their labels, on a target image.

    Pasted pixels weigh 1, those of the target as `MeanTeacher` says. Images of both domains must be
    of one size. Attributes are those of `MeanTeacher`.
    """

    name: ClassVar[str] = "dacs"
    one_size: ClassVar[bool] = True

    def learn_lesson(
        self,
        parts: Parts,
        source: Batch,
        lesson: Lesson,
        random: torch.Generator,
        backward: Backward,
    ) -> Losses:
        """See `MeanTeacher.learn_lesson`; what is learned are the mixed images.

        Raises:
            ShapeError: for source images of another size than the target's.
        """
        return super().learn_lesson(parts, source, mixed(source, lesson, random), random, backward)


def mixed(source: Batch, lesson: Lesson, random: torch.Generator) -> Lesson:
    """A lesson on whose images half of the classes of source images lie.

    Invalid and unlabelled source pixels are never pasted; what is pasted counts where the target
    has no data, too.

    Args:
        source: labelled, as many images of the same size.
        lesson: of the target.
        random: of the pair at hand.

    Raises:
        ShapeError: for images of other size.
    """
    target = lesson.batch
    if source.image.shape != target.image.shape:
        raise ShapeError(
            f"dacs pastes source images on target images of their size, found "
            f"{list(source.image.shape)} and {list(target.image.shape)} (images, bands, height, "
            f"width); give both one size (source.size and target.size of image folders)"
        )
    label = source.labels()
    pasted = pixels_of(label, half_of_classes(label, lesson.classes, random)) & source.valid
    return replace(
        lesson,
        batch=Batch(
            torch.where(pasted.unsqueeze(1), source.image, target.image),
            pasted | target.valid,
            torch.where(pasted, label, target.labels()),
        ),
        weight=lesson.weight.masked_fill(pasted, 1),
    )
