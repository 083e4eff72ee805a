"""FCAN's representation adaptation: features judged at several scales (Zhang et al., CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from annotated_types import Ge, Len
from torch import Tensor, nn

from rsadapt.adapt.adversarial import Adversarial, valid_share
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.kit import Kit
from rsadapt.adapt.method import Parts, Weights
from rsadapt.sample import Batch


@dataclass(frozen=True)
class MultiScaleFeatures(Adversarial):
    """The network learns the source's labels and features that nowhere tell the domains apart.

    Discriminators judge the features behind each level's classifier at every cell, through
    branches of several dilations whose answers are averaged.

    Attributes:
        adversarial: weight of the adversarial loss at each level; that of `feature_space`.
        discriminator_width: channels of each branch.
        discriminator_rates: dilations of the branches, in cells of the features.
    """

    adversarial: Weights = field(default_factory=lambda: [0.0, 0.001])
    discriminator_rates: Annotated[list[Annotated[int, Ge(1)]], Len(1)] = field(
        default_factory=lambda: [1, 2, 3, 4]
    )
    name: ClassVar[str] = "multi_scale_features"

    def judges(self, kit: Kit) -> list[nn.Module]:
        """One a level, of the features behind it."""
        return [
            kit.pyramid_discriminator(
                channels, width=self.discriminator_width, rates=self.discriminator_rates
            )
            for channels in kit.channels
        ]

    def predict(
        self, parts: Parts, batch: Batch, domain: Domain
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Give cells and features [N, channels, h, w] of each level."""
        return parts.cells_and_features(batch, domain)

    def show(self, parts: Parts, seen: Tensor, batch: Batch) -> Tensor:
        """Scale each cell of the features by the share of valid pixels under it."""
        return seen * valid_share(batch.valid, seen)
