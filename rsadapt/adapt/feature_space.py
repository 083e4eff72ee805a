"""Adversarial adaptation in feature space, the baseline of AdaptSegNet (Tsai et al., CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rsadapt.adapt.adversarial import Adversarial, valid_share
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.method import Parts
from rsadapt.sample import Batch


@dataclass(frozen=True)
class FeatureSpace(Adversarial):
    """The network learns the source's labels and features that do not tell the domains apart.

    Discriminators see the features behind each level's classifier.

    Attributes:
        upsampled: bring features to image size before they are judged, as the authors say they
            did; the memory that takes grows with the number of features.
    """

    upsampled: bool = False

    def predict(
        self, parts: Parts, batch: Batch, domain: Domain
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Give cells and features [N, channels, h, w] of each level."""
        return parts.cells_and_features(batch, domain)

    def show(self, parts: Parts, seen: Tensor, batch: Batch) -> Tensor:
        """Scale each cell of the features by the share of valid pixels under it."""
        features = parts.pixels(seen, batch) if self.upsampled else seen
        return features * valid_share(batch.valid, features)
