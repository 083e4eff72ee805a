"""AdaptSegNet: multi-level adversarial adaptation in output space (Tsai et al., CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from rsadapt.adapt.adversarial import Adversarial
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.kit import Kit
from rsadapt.adapt.method import Parts
from rsadapt.sample import Batch


@dataclass(frozen=True)
class OutputSpace(Adversarial):
    """The network learns the source's labels and to make target predictions look like source's.

    Discriminators see class probabilities, a level each.
    """

    name: ClassVar[str] = "output_space"
    least_side: ClassVar[int] = 32  # the stride of the discriminators

    def judges(self, kit: Kit) -> list[nn.Module]:
        """One a level, of class probabilities."""
        width = self.discriminator_width
        return [kit.discriminator(kit.classes, width=width) for _ in kit.channels]

    def predict(
        self, parts: Parts, batch: Batch, domain: Domain
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Give cells twice: discriminators see nothing else."""
        cells = parts.cells(batch, domain)
        return cells, cells

    def show(self, parts: Parts, seen: Tensor, batch: Batch) -> Tensor:
        """Turn cells into class probabilities of pixels, zero where the image is not valid."""
        return parts.probability_maps(seen, batch)
