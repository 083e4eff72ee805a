"""AdaptSegNet: multi-level adversarial adaptation in output space (Tsai et al., CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from rsadapt.adapt.adversarial import Game, play
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.losses import probability_maps
from rsadapt.adapt.method import Backward, Losses, Parts, needed
from rsadapt.sample import Batch


@dataclass(frozen=True)
class OutputSpace:
    """The network learns the source's labels and to make target predictions look like source's.

    Discriminators see class probabilities, a level each; see `adversarial.play`.

    Attributes:
        segmentation: weight of the cross-entropy at each level, main level last.
        adversarial: weight of the adversarial loss at each level.
        game: its rules.
    """

    segmentation: list[float]
    adversarial: list[float]
    game: Game = field(default_factory=Game)
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
            predict=_predict,
            show=_show,
        )


def _predict(parts: Parts, batch: Batch, domain: Domain) -> tuple[list[Tensor], list[Tensor]]:
    logits = parts.logits(batch, domain)
    return logits, logits


def _show(logits: Tensor, batch: Batch) -> Tensor:
    return probability_maps(logits, batch.valid)
