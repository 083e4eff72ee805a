"""MIC: masked image consistency beside DACS (Hoyer et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Interval

from rsadapt.adapt.daformer import Daformer
from rsadapt.adapt.kit import Kit, Remembered
from rsadapt.adapt.mean_teacher import Lesson
from rsadapt.adapt.method import Backward, Losses, Parts, by_level
from rsadapt.adapt.patches import kept_patches
from rsadapt.errors import ConfigError
from rsadapt.sample import Batch


@dataclass(frozen=True)
class Mic(Daformer):
    """The network also learns what the teacher says of target images that it sees in part only.

    It is added to DACS, and with a `feature_distance` above 0 to DAFormer's training.

    Attributes:
        masked: weight of what is learned of masked images.
        mask_ratio: share of patches that are hidden.
        patch: height and width of a patch in pixels, at most half of an image's shorter side; an
            eighth of it unless given, which is the paper's 64 for its crops of 512.
        Others: see `MeanTeacher` and `Daformer`.
    """

    feature_distance: Annotated[float, Ge(0)] = 0.0
    masked: Annotated[float, Ge(0)] = 1.0
    mask_ratio: Annotated[float, Interval(ge=0, le=1)] = 0.7
    patch: Annotated[int, Ge(1)] | None = None
    name: ClassVar[str] = "mic"
    target_weights: ClassVar[tuple[str, ...]] = ("taught", "masked")

    def memory(self, kit: Kit) -> dict[str, Remembered]:
        """See `Daformer.memory`.

        Raises:
            ConfigError: where fewer than two patches lie side by side, too.
        """
        for field, pixels in kit.sides.items():
            if self.patch is not None and 2 * self.patch > pixels:
                raise ConfigError(
                    f"method.patch is {self.patch} and {field} {pixels}; expected at most half of "
                    f"it: choose {_eighth(pixels)}, an eighth as in the paper"
                )
        return super().memory(kit)

    def learn_lesson(
        self,
        parts: Parts,
        source: Batch,
        lesson: Lesson,
        random: torch.Generator,
        backward: Backward,
    ) -> Losses:
        """See `Dacs.learn_lesson`; "masked_N" is the loss of masked images at each level."""
        losses = super().learn_lesson(parts, source, lesson, random, backward)
        seen = self.changed(lesson, random)
        number, height, width = seen.batch.valid.shape
        patch = self.patch or _eighth(min(height, width))
        kept = kept_patches(
            (number, height, width), patch=patch, ratio=self.mask_ratio, random=random
        )
        image = seen.batch.image * kept.to(seen.batch.image.device).unsqueeze(1)
        masked = replace(seen, batch=replace(seen.batch, image=image))
        return losses | by_level("masked", self.learn(parts, masked, self.masked, backward))


def _eighth(pixels: int) -> int:
    return max(1, pixels // 8)
