"""AdaptSegNet: multi-level adversarial adaptation in output space (Tsai et al., CVPR 2018)."""

from __future__ import annotations

from torch import Tensor

from rsadapt.adapt.adversarial import Adversarial
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.losses import probability_maps
from rsadapt.adapt.method import Parts
from rsadapt.sample import Batch


class OutputSpace(Adversarial):
    """The network learns the source's labels and to make target predictions look like source's.

    Discriminators see class probabilities, a level each.
    """

    def predict(
        self, parts: Parts, batch: Batch, domain: Domain
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Give logits twice: discriminators see nothing else."""
        logits = parts.logits(batch, domain)
        return logits, logits

    def show(self, seen: Tensor, batch: Batch) -> Tensor:
        """Turn logits into class probabilities, zero where the image is not valid."""
        return probability_maps(seen, batch.valid)
