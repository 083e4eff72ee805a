"""Adversarial adaptation in feature space, the baseline of AdaptSegNet (Tsai et al., CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from rsadapt.adapt.adversarial import Game, play, valid_share
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.method import Backward, Losses, Parts, needed
from rsadapt.sample import Batch


@dataclass(frozen=True)
class FeatureSpace:
    """The network learns the source's labels and features that do not tell the domains apart.

    Discriminators see the features behind each level's classifier; see `adversarial.play`.

    Attributes:
        segmentation: weight of the cross-entropy at each level, main level last.
        adversarial: weight of the adversarial loss at each level.
        game: its rules.
        upsampled: bring features to image size before they are judged, as the authors say they
            did; the memory that takes grows with the number of features.
    """

    segmentation: list[float]
    adversarial: list[float]
    game: Game = field(default_factory=Game)
    upsampled: bool = False
    uses_target: ClassVar[bool] = True

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`."""
        return play(
            parts,
            source,
            needed(target),
            backward,
            segmentation=self.segmentation,
            adversarial=self.adversarial,
            game=self.game,
            predict=self._predict,
            show=_show,
        )

    def _predict(
        self, parts: Parts, batch: Batch, domain: Domain
    ) -> tuple[list[Tensor], list[Tensor]]:
        logits, features = parts.logits_and_features(batch, domain)
        if self.upsampled:
            height, width = batch.image.shape[-2:]
            features = [parts.upsample(value, (height, width)) for value in features]
        return logits, features


def _show(features: Tensor, batch: Batch) -> Tensor:
    """Features [N, channels, h, w], each cell scaled by the share of valid pixels under it."""
    return features * valid_share(batch.valid, features)
