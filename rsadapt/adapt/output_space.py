"""AdaptSegNet: multi-level adversarial adaptation in output space (Tsai et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from rsadapt.adapt.losses import (
    SOURCE,
    TARGET,
    Objective,
    domain_loss,
    probability_maps,
    segmentation_loss,
)
from rsadapt.adapt.method import Backward, Losses, Parts, by_level, needed, weighted_sum
from rsadapt.sample import Batch


@dataclass(frozen=True)
class OutputSpace:
    """The network learns the source's labels and to make target predictions look like source's.

    Each level has a discriminator, `discriminator_1` the coarsest, that tells the domains' class
    probabilities apart; the network is taught to be taken for the source (paper, equations 1-5).

    Attributes:
        segmentation: weight of the cross-entropy at each level, main level last.
        adversarial: weight of the adversarial loss at each level.
        objective: of the game, see `losses.domain_loss`.
    """

    segmentation: list[float]
    adversarial: list[float]
    objective: Objective = "bce"
    uses_target: ClassVar[bool] = True

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`."""
        target = needed(target)
        discriminators = [
            parts.others[f"discriminator_{level}"] for level in range(1, len(self.adversarial) + 1)
        ]
        with frozen(discriminators):
            source_logits = parts.logits(source, "source")
            seg = [segmentation_loss(level, source.labels()) for level in source_logits]
            backward(weighted_sum(self.segmentation, seg))

            target_maps = _maps(parts.logits(target, "target"), target)
            adv = [
                domain_loss(judge(maps), SOURCE, target.valid, self.objective)
                for judge, maps in zip(discriminators, target_maps, strict=True)
            ]
            backward(weighted_sum(self.adversarial, adv))

        source_maps = _maps([level.detach() for level in source_logits], source)
        disc = []
        for judge, ours, theirs in zip(discriminators, source_maps, target_maps, strict=True):
            loss_source = domain_loss(judge(ours), SOURCE, source.valid, self.objective) / 2
            loss_target = (
                domain_loss(judge(theirs.detach()), TARGET, target.valid, self.objective) / 2
            )
            disc.append(loss_source + loss_target)
            backward(disc[-1])
        return (
            by_level("segmentation", seg)
            | by_level("adversarial", adv)
            | by_level("discriminator", disc)
        )


def _maps(levels: list[Tensor], batch: Batch) -> list[Tensor]:
    return [probability_maps(level, batch.valid) for level in levels]


@contextmanager
def frozen(modules: list[nn.Module]) -> Iterator[None]:
    """Keep modules from gathering gradients; gradients still pass through them."""
    for module in modules:
        module.requires_grad_(False)
    try:
        yield
    finally:
        for module in modules:
            module.requires_grad_(True)
