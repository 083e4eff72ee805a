"""DAFormer's training: DACS that keeps features near the initial ones (Hoyer et al., CVPR 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor
from torch.nn import functional

from rsadapt.adapt.dacs import Dacs
from rsadapt.adapt.kit import Kit, Remembered
from rsadapt.adapt.mean_teacher import source_shares, teacher_of
from rsadapt.adapt.method import Backward, Losses, Parts, by_level, weighted_sum
from rsadapt.adapt.ranks import mean_over_ranks
from rsadapt.errors import ConfigError
from rsadapt.sample import Batch


@dataclass(frozen=True)
class Daformer(Dacs):
    """DACS with the distance of source features to those of the initial encoder (section 3.4).

    That keeps what ImageNet, or whatever the run starts from, taught it; of random weights there is
    nothing to keep, and `feature_distance` is best 0. It is taken of what the main level's
    classifier sees: the encoder's last stage, but for `network.decoder: mlp`, of which a fresh
    decoder's features would be kept. What else the paper has is set elsewhere: rare-class sampling
    by `training.sampling: class_rarity`, which regions have and image folders do not; AdamW with
    warm-up by `optimiser`.

    Attributes:
        feature_distance: weight of the distance; 0 keeps no initial encoder.
        feature_classes: train ids of the classes whose cells it is taken at; all if none is given.
            The paper takes Cityscapes' things (6, 7 and 11 to 18).
        feature_dominance: share of a cell's pixels that one of these classes must exceed.
        ignored_top: rows of target images whose pseudo labels are not learned. The paper leaves out
            15 rows above and 120 below of Cityscapes' frames at half size (sky, the car's bonnet).
        ignored_bottom: the same below.
        Others: see `MeanTeacher`.
    """

    feature_distance: Annotated[float, Ge(0)] = 0.005
    feature_classes: list[Annotated[int, Ge(0)]] = field(default_factory=list)
    feature_dominance: Annotated[float, Interval(ge=0, lt=1)] = 0.75
    ignored_top: Annotated[int, Ge(0)] = 0
    ignored_bottom: Annotated[int, Ge(0)] = 0
    name: ClassVar[str] = "daformer"

    def memory(self, kit: Kit) -> dict[str, Remembered]:
        """The teacher, and the initial network, which a resume cannot find anew.

        Raises:
            ConfigError: for a class that the table has not.
        """
        unknown = [each for each in self.feature_classes if each >= kit.classes]
        if unknown:
            raise ConfigError(
                f"method.feature_classes: expected train ids from 0 to {kit.classes - 1}, "
                f"found {unknown[0]}"
            )
        initial = {"initial": kit.teacher()} if self.feature_distance else {}
        return super().memory(kit) | initial

    def begin(self, parts: Parts) -> None:
        """Keep the initial network, too."""
        super().begin(parts)
        if self.feature_distance:
            teacher_of(parts, "initial").copy(parts.network, parts.statistics)

    def believed(self, target: Batch) -> Tensor:
        """The valid pixels but for the ignored rows."""
        height = target.valid.shape[1]
        row = torch.arange(height, device=target.valid.device)
        inside = (row >= self.ignored_top) & (row < height - self.ignored_bottom)
        return target.valid & inside.view(1, height, 1)

    def learn_labels(self, parts: Parts, source: Batch, backward: Backward) -> Losses:
        """Learn the labels, and keep features near; "feature_distance" is the mean distance."""
        if not self.feature_distance:
            return super().learn_labels(parts, source, backward)
        levels, features = parts.cells_and_features(source, "source")
        losses = parts.segmentation_losses(levels, source)
        counted = dominated(
            source.labels(),
            self.feature_classes or range(levels[-1].shape[1]),
            size=(features[-1].shape[-2], features[-1].shape[-1]),
            share=self.feature_dominance,
        )
        apart = (features[-1] - _initial_features(parts, source)).norm(dim=1)
        distance = mean_over_ranks((apart * counted).sum(), counted.sum(), of=counted)
        backward(weighted_sum(self.segmentation, losses) + self.feature_distance * distance)
        return (
            by_level("segmentation", losses)
            | {"feature_distance": distance.detach()}
            | source_shares(parts, levels, source)
        )


def dominated(
    label: Tensor, classes: list[int] | range, *, size: tuple[int, int], share: float
) -> Tensor:
    """The cells of which one of some classes has more than a share (equations 8 and 9).

    Args:
        label: int64 [N, H, W].
        classes: train ids.
        size: rows and columns of cells.
        share: of a cell's pixels.

    Returns:
        bool [N, h, w].
    """
    found = torch.zeros((len(label), *size), dtype=torch.bool, device=label.device)
    for each in classes:
        found |= functional.adaptive_avg_pool2d((label == each).float(), size) > share
    return found


@torch.no_grad()
def _initial_features(parts: Parts, source: Batch) -> Tensor:
    """What the initial network makes of images, by its running statistics, at the main level."""
    initial = teacher_of(parts, "initial")
    initial.network.eval()
    with initial.statistics.evaluating("source"):
        _, features = initial.network(source.image, with_features=True)
    last: Tensor = features[-1]
    return last
