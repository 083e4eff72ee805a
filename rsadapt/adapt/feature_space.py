"""Adversarial adaptation in feature space, the baseline of AdaptSegNet (Tsai et al., CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval
from torch import Tensor, nn

from rsadapt.adapt.adversarial import Adversarial, valid_share
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.kit import Kit
from rsadapt.adapt.method import Parts, Weights
from rsadapt.errors import ConfigError
from rsadapt.sample import Batch


@dataclass(frozen=True)
class FeatureSpace(Adversarial):
    """The network learns the source's labels and features that do not tell the domains apart.

    Discriminators see the features behind each level's classifier.

    Attributes:
        adversarial: weight of the adversarial loss at each level; the published one, at the main.
        discriminator_input: "upsampled" brings features to image size before they are judged. The
            authors did so (issue 41 of their repository) and used the output-space discriminator,
            of 5 reductions; 2048 channels of a 1024 x 512 image take 4 GiB.
        discriminator_reductions: how many of a discriminator's five layers halve what they see.
            Features lie at stride 8 already, so that 2 gives the output-space discriminator's
            stride of 32 pixels.
    """

    adversarial: Weights = field(default_factory=lambda: [0.0, 0.001])
    discriminator_input: Literal["cells", "upsampled"] = "cells"
    discriminator_reductions: Annotated[int, Interval(ge=0, le=5)] = 2
    name: ClassVar[str] = "feature_space"

    def judges(self, kit: Kit) -> list[nn.Module]:
        """One a level, of the features behind it.

        Raises:
            ConfigError: where features of training images are smaller than a discriminator's
                stride.
        """
        reductions = self.discriminator_reductions
        cell = 1 if self.discriminator_input == "upsampled" else kit.stride
        least = cell * 2**reductions
        for field_name, pixels in kit.sides.items():
            if pixels < least:
                raise ConfigError(
                    f"{field_name} is {pixels}; features of images below {least} pixels are too "
                    f"small for their discriminators; enlarge it or lower "
                    f"method.discriminator_reductions"
                )
        width = self.discriminator_width
        return [
            kit.discriminator(channels, width=width, reductions=reductions)
            for channels in kit.channels
        ]

    def predict(
        self, parts: Parts, batch: Batch, domain: Domain
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Give cells and features [N, channels, h, w] of each level."""
        return parts.cells_and_features(batch, domain)

    def show(self, parts: Parts, seen: Tensor, batch: Batch) -> Tensor:
        """Scale each cell of the features by the share of valid pixels under it."""
        features = parts.pixels(seen, batch) if self.discriminator_input == "upsampled" else seen
        return features * valid_share(batch.valid, features)
