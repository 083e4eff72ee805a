"""The adversarial game between a segmentation network and one discriminator a level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.figures import class_shares
from rsadapt.adapt.losses import segmentation_loss
from rsadapt.adapt.method import Backward, Losses, Parts, by_level, needed, weighted_sum
from rsadapt.adapt.ranks import mean_over_ranks
from rsadapt.sample import Batch

Objective = Literal["bce", "least_squares"]
DomainLabels = Literal["published", "paper"]

DOMAIN_LABELS: dict[DomainLabels, dict[Domain, float]] = {
    "published": {"source": 0.0, "target": 1.0},
    "paper": {"source": 1.0, "target": 0.0},
}
"""What a discriminator should answer. The published AdaptSegNet code has them the other way round
than its paper (equations 1 and 3); fixed values keep losses comparable with published runs'."""


@dataclass(frozen=True)
class Game:
    """The rules.

    Attributes:
        objective: "bce" is binary cross-entropy on logits (Goodfellow et al. 2014),
            "least_squares" the mean squared error on the raw output (Mao et al. 2017).
        labels: what stands for which domain, see `DOMAIN_LABELS`.
        upsampled: bring a discriminator's output to image size before it is compared, as the
            paper says (section 4.1), or compare its cells, as the published code does.
    """

    objective: Objective = "bce"
    labels: DomainLabels = "published"
    upsampled: bool = False

    def loss(self, judgement: Tensor, domain: Domain, valid: Tensor) -> Tensor:
        """How far a discriminator's output is from a domain's label.

        Each cell counts by the share of valid pixels it stands for, so that borders without data
        teach nothing; with every pixel valid this is the plain mean, over all processes' batches.

        Args:
            judgement: float [N, 1, h, w], the discriminator's raw output.
            domain: which one it should answer.
            valid: bool [N, H, W] of the judged images.
        """
        if self.upsampled:
            judgement = functional.interpolate(judgement, valid.shape[-2:], mode="bilinear")
        label = torch.full_like(judgement, DOMAIN_LABELS[self.labels][domain])
        if self.objective == "bce":
            loss = functional.binary_cross_entropy_with_logits(judgement, label, reduction="none")
        else:
            loss = functional.mse_loss(judgement, label, reduction="none")
        weight = valid_share(valid, judgement)
        cells = tuple(weight.shape)
        return mean_over_ranks((loss * weight).sum(), weight.sum(), of=valid, at=cells)

    def accuracy(self, judgement: Tensor, domain: Domain, valid: Tensor) -> Tensor:
        """The share of cells, each by its valid share, that a discriminator judges right.

        Args:
            judgement: float [N, 1, h, w], the discriminator's raw output.
            domain: which one it should answer.
            valid: bool [N, H, W] of the judged images.
        """
        says_one = judgement.detach() > (0 if self.objective == "bce" else 0.5)
        right = says_one == bool(DOMAIN_LABELS[self.labels][domain])
        weight = valid_share(valid, judgement.detach())
        return (right * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


def valid_share(valid: Tensor, cells: Tensor) -> Tensor:
    """The share of valid pixels, of bool [N, H, W], under each cell of [N, channels, h, w].

    Returns:
        [N, 1, h, w] of the cells' own dtype.
    """
    rows, cols = cells.shape[-2:]
    return functional.adaptive_avg_pool2d(valid.unsqueeze(1).to(cells.dtype), (rows, cols))


@dataclass(frozen=True)
class Adversarial(ABC):
    """A step of Tsai et al. 2018, equations 1 to 5, for any number of levels.

    Each level has a discriminator, `discriminator_1` the coarsest, that tells the domains' maps
    apart. First the network learns the source's labels and to be taken for the source; then the
    discriminators learn from the same predictions. A weight of zero switches a level's influence
    on the network off; its discriminator still learns. What a discriminator sees is a method's
    own: `predict` and `show`.

    Attributes:
        segmentation: weight of the cross-entropy at each level, main level last.
        adversarial: weight of the adversarial loss at each level.
        game: its rules.
    """

    segmentation: list[float]
    adversarial: list[float]
    game: Game = field(default_factory=Game)
    uses_target: ClassVar[bool] = True

    @abstractmethod
    def predict(
        self, parts: Parts, batch: Batch, domain: Domain
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Give logits [N, classes, H, W], one a level, and what `show` takes of each level."""

    @abstractmethod
    def show(self, seen: Tensor, batch: Batch) -> Tensor:
        """Turn a level's part of what `predict` gave into the maps that its discriminator judges.

        Args:
            seen: float [N, channels, h, w].
            batch: that it was predicted of.
        """

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`.

        Returns:
            "segmentation_N", "adversarial_N" and "discriminator_N" of each level, unweighted; the
            last is the mean over both domains. Of a watched step "accuracy_source_N" and
            "accuracy_target_N" of each discriminator, and "share_source" and "share_target" of
            each class in the main level's predictions, too.
        """
        target = needed(target)
        discriminators = [
            parts.others[f"discriminator_{level}"] for level in range(1, len(self.adversarial) + 1)
        ]
        with frozen(discriminators):
            source_logits, source_seen = self.predict(parts, source, "source")
            seg = [segmentation_loss(level, source.labels()) for level in source_logits]
            backward(weighted_sum(self.segmentation, seg))

            target_logits, target_seen = self.predict(parts, target, "target")
            figures: Losses = {}
            if parts.watched:
                figures["share_source"] = class_shares(source_logits[-1], source.valid)
                figures["share_target"] = class_shares(target_logits[-1], target.valid)
            target_maps = [self.show(seen, target) for seen in target_seen]
            adv = [
                self.game.loss(judge(maps), "source", target.valid)
                for judge, maps in zip(discriminators, target_maps, strict=True)
            ]
            backward(weighted_sum(self.adversarial, adv))

        source_maps = [self.show(seen.detach(), source) for seen in source_seen]
        disc = []
        for judge, ours, theirs in zip(discriminators, source_maps, target_maps, strict=True):
            of_source, of_target = judge(ours), judge(theirs.detach())
            loss_source = self.game.loss(of_source, "source", source.valid) / 2
            loss_target = self.game.loss(of_target, "target", target.valid) / 2
            disc.append(loss_source + loss_target)
            backward(disc[-1])
            if parts.watched:
                level = len(disc)
                right = self.game.accuracy
                figures[f"accuracy_source_{level}"] = right(of_source, "source", source.valid)
                figures[f"accuracy_target_{level}"] = right(of_target, "target", target.valid)
        return (
            by_level("segmentation", seg)
            | by_level("adversarial", adv)
            | by_level("discriminator", disc)
            | figures
        )


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
