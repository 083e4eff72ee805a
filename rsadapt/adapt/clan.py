"""CLAN: adaptation where two classifiers disagree (Luo et al., CVPR 2019)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, cast

import torch
from annotated_types import Ge, Interval
from torch import Tensor, nn
from torch.nn import functional

from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.kit import Kit, Trained
from rsadapt.adapt.method import Backward, Losses, Parts, Weights
from rsadapt.adapt.output_space import OutputSpace
from rsadapt.sample import Batch


@dataclass(frozen=True)
class Clan(OutputSpace):
    """The game of output space, played hardest where two classifiers of the main level disagree.

    Both see the same features. What is kept of them are their mean, which is the network's own
    classifier, and half their difference, which is trained beside it: classifiers are linear, so
    that the mean of their weights gives the mean of their predictions, and the network as it
    is evaluated and exported is both of them. Started from weights, both start around those.

    The published code, as recalled, lets `adversarial` and `apart` fall with the steps; here they
    stay.

    Auxiliary levels have one classifier and play the game of output space, if they have a weight.
    Factors are not differentiated. Discriminators learn the target by them, too: both play for
    one value. Where classifiers mostly agree, discriminators therefore lean to the source, whose
    factor is 1, and a warning may call them stuck, as it does on the procedural pair. SGD moves
    each of the two twice as far as it would a classifier of its own, since mean and difference
    move it alike.

    Attributes:
        segmentation: weight of the cross-entropy at each level, at the main level of the mean of
            both classifiers'; the paper has their sum.
        adversarial: weight of the adversarial loss at each level.
        discriminator_output: brought to image size, where pixels have factors, or the factors
            averaged to its cells.
        apart: weight of the cosine of both classifiers' weights, which keeps them apart.
        evenly: factor of the game's losses where both agree.
        locally: what is added to it where they do not, times 1 - cosine of their probabilities;
            the paper has 40 for GTA5 and 10 for SYNTHIA.
        plain_share: share of the run's steps, the first, with a factor of 1 everywhere.
    """

    segmentation: Weights = field(default_factory=lambda: [0.1, 2.0])
    adversarial: Weights = field(default_factory=lambda: [0.0, 0.001])
    discriminator_output: Literal["cells", "upsampled"] = "upsampled"
    apart: Annotated[float, Ge(0)] = 0.01
    evenly: Annotated[float, Ge(0)] = 0.4
    locally: Annotated[float, Ge(0)] = 40.0
    plain_share: Annotated[float, Interval(ge=0, le=1)] = 0.05
    name: ClassVar[str] = "clan"

    def others(self, kit: Kit) -> dict[str, Trained]:
        """One discriminator a level, and half the difference of both classifiers."""
        return super().others(kit) | {"half_difference": kit.classifier()}

    def predict(
        self, parts: Parts, batch: Batch, domain: Domain
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Give auxiliary cells, both classifiers' and their mean; discriminators see their sum."""
        (*auxiliary, mean), features = parts.cells_and_features(batch, domain)
        half = parts.others["half_difference"](features[-1])
        return [*auxiliary, mean + half, mean - half, mean], [*auxiliary, 2 * mean]

    def learned(self, parts: Parts, cells: list[Tensor], batch: Batch) -> list[Tensor]:
        """Each level's mean cross-entropy, at the main level the mean of both classifiers'."""
        *auxiliary, one, other = parts.segmentation_losses(cells[:-1], batch)
        return [*auxiliary, (one + other) / 2]

    def emphasis(self, parts: Parts, cells: list[Tensor], batch: Batch) -> list[Tensor | None]:
        """Give the main level's factors, once the first steps are done."""
        none: list[Tensor | None] = [None] * len(cells[:-3])
        if parts.done < self.plain_share * parts.steps:
            return [*none, None]
        one, other = (each.detach().chunk(len(each)) for each in cells[-3:-1])
        factors = [  # of one sample at once: few pixels in memory
            self.evenly + self.locally * disagreement(*(parts.pixels(each, batch) for each in pair))
            for pair in zip(one, other, strict=True)
        ]
        return [*none, torch.cat(factors)]

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Adversarial.step`; "cosine" is that of both classifiers' weights."""
        mean, half = self._weights(parts)
        cosine = functional.cosine_similarity(mean + half, mean - half, dim=0)
        backward(self.apart * cosine)
        return super().step(parts, source, target, backward) | {"cosine": cosine.detach()}

    def _weights(self, parts: Parts) -> tuple[Tensor, Tensor]:
        """The mean of both classifiers' weights and half their difference, a vector each."""
        main = cast("nn.ModuleList", parts.network.classifiers)[-1]
        half = parts.others["half_difference"]
        # a classifier with branches that are not in use holds them last; the other has none
        pairs = zip(main.parameters(), half.parameters(), strict=False)
        mean, difference = zip(*((p.flatten(), q.flatten()) for p, q in pairs), strict=True)
        return torch.cat(mean), torch.cat(difference)


def disagreement(one: Tensor, other: Tensor) -> Tensor:
    """1 - cosine of the probabilities of two logits [N, classes, H, W]; [N, H, W], 0..1."""
    return 1 - functional.cosine_similarity(one.softmax(1), other.softmax(1), dim=1)
