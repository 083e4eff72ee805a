"""The adversarial game between a segmentation network and one discriminator a level."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Interval, Len
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.optim import Adam

from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.figures import class_shares
from rsadapt.adapt.kit import Kit, Trained
from rsadapt.adapt.method import (
    Backward,
    Losses,
    Method,
    Parts,
    Weights,
    by_level,
    needed,
    weighted_sum,
)
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

    def loss(
        self, judgement: Tensor, domain: Domain, valid: Tensor, emphasis: Tensor | None = None
    ) -> Tensor:
        """How far a discriminator's output is from a domain's label.

        Each cell counts by the share of valid pixels it stands for, so that borders without data
        teach nothing; with every pixel valid this is the plain mean, over all processes' batches.

        Args:
            judgement: float [N, 1, h, w], the discriminator's raw output.
            domain: which one it should answer.
            valid: bool [N, H, W] of the judged images.
            emphasis: float [N, H, W], a factor for the loss of each pixel.
        """
        if self.upsampled:
            judgement = functional.interpolate(judgement, valid.shape[-2:], mode="bilinear")
        label = torch.full_like(judgement, DOMAIN_LABELS[self.labels][domain])
        if self.objective == "bce":
            loss = functional.binary_cross_entropy_with_logits(judgement, label, reduction="none")
        else:
            loss = functional.mse_loss(judgement, label, reduction="none")
        weight = valid_share(valid, judgement)
        cells, number = tuple(weight.shape), weight.sum()
        if emphasis is not None:
            weight = valid_share(valid * emphasis, judgement)
        return mean_over_ranks((loss * weight).sum(), number, of=valid, at=cells)

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
    """The share of valid pixels, of [N, H, W], under each cell of [N, channels, h, w].

    Returns:
        [N, 1, h, w] of the cells' own dtype.
    """
    rows, cols = cells.shape[-2:]
    return functional.adaptive_avg_pool2d(valid.unsqueeze(1).to(cells.dtype), (rows, cols))


def domain_shares(**predicted: tuple[Tensor, Batch]) -> Losses:
    """The figures "share_source" and "share_target" of cells and the batch they are of.

    Returns:
        The share of each class in what is predicted of each domain's valid pixels, float [classes].
    """
    return {
        f"share_{domain}": class_shares(cells, valid_share(batch.valid, cells))
        for domain, (cells, batch) in predicted.items()
    }


@dataclass(frozen=True)
class Adversarial(Method):
    """A step of Tsai et al. 2018, equations 1 to 5, for any number of levels.

    Each level has a discriminator, `discriminator_1` the coarsest, that tells the domains' maps
    apart. First the network learns the source's labels and to be taken for the source; then the
    discriminators learn from the same predictions. A weight of zero switches a level's influence
    on the network off; its discriminator still learns. What a discriminator sees is a method's
    own: `predict` and `show`.

    Attributes:
        segmentation: weight of the cross-entropy at each level, main level last.
        adversarial: weight of the adversarial loss at each level; the published GTA5 values.
        objective: of the game, see `Game`.
        domain_labels: what discriminators should answer: the published code has source 0 and
            target 1.
        discriminator_output: whether it is brought to image size before the loss: the paper says
            so, the code does not.
        discriminator_width: channels of a discriminator's first layer.
        discriminator_rate: learning rate of the discriminators' Adam optimisers.
        discriminator_betas: of Adam.
    """

    segmentation: Weights = field(default_factory=lambda: [0.1, 1.0])
    adversarial: Weights = field(default_factory=lambda: [0.0002, 0.001])
    objective: Objective = "bce"
    domain_labels: DomainLabels = "published"
    discriminator_output: Literal["cells", "upsampled"] = "cells"
    discriminator_width: Annotated[int, Ge(1)] = 64
    discriminator_rate: Annotated[float, Ge(0)] = 1e-4
    discriminator_betas: Annotated[list[Annotated[float, Interval(ge=0, lt=1)]], Len(2, 2)] = field(
        default_factory=lambda: [0.9, 0.99]
    )
    by_level: ClassVar[tuple[str, ...]] = ("segmentation", "adversarial")
    target_weights: ClassVar[tuple[str, ...]] = ("adversarial",)

    @property
    def game(self) -> Game:
        """The rules."""
        upsampled = self.discriminator_output == "upsampled"
        return Game(self.objective, self.domain_labels, upsampled)

    def others(self, kit: Kit) -> dict[str, Trained]:
        """One discriminator a level."""
        first, second = self.discriminator_betas
        return {
            f"discriminator_{level}": Trained(
                judge,
                Adam(judge.parameters(), lr=self.discriminator_rate, betas=(first, second)),
            )
            for level, judge in enumerate(self.judges(kit), start=1)
        }

    @abstractmethod
    def judges(self, kit: Kit) -> list[nn.Module]:
        """Make the discriminators, one a level.

        Raises:
            ConfigError: where training images are too small for them.
        """

    @abstractmethod
    def predict(
        self, parts: Parts, batch: Batch, domain: Domain
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Give cells [N, classes, h, w], main level last, and what `show` takes of each level."""

    @abstractmethod
    def show(self, parts: Parts, seen: Tensor, batch: Batch) -> Tensor:
        """Turn a level's part of what `predict` gave into the maps that its discriminator judges.

        Args:
            parts: the networks.
            seen: float [N, channels, h, w].
            batch: that it was predicted of.
        """

    def learned(self, parts: Parts, cells: list[Tensor], batch: Batch) -> list[Tensor]:
        """Give each level's mean cross-entropy of a source batch's cells."""
        return parts.segmentation_losses(cells, batch)

    def emphasis(self, parts: Parts, cells: list[Tensor], batch: Batch) -> list[Tensor | None]:
        """Give each level's factors [N, H, W] for the game's losses on a target batch, if any."""
        return [None] * len(self.adversarial)

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`.

        Returns:
            "segmentation_N", "adversarial_N" and "discriminator_N" of each level, unweighted and
            without emphasis; the last is the mean over both domains. Of a watched step
            "accuracy_source_N" and "accuracy_target_N" of each discriminator, and "share_source"
            and "share_target" of each class in the main level's predictions, too.
        """
        target = needed(target)
        discriminators = [
            parts.others[f"discriminator_{level}"] for level in range(1, len(self.adversarial) + 1)
        ]
        source_cells, source_seen = self.predict(parts, source, "source")
        seg = self.learned(parts, source_cells, source)
        backward(weighted_sum(self.segmentation, seg))
        source_seen = [seen.detach() for seen in source_seen]

        target_cells, target_seen = self.predict(parts, target, "target")
        verdicts = []
        for judge, seen, weight in zip(discriminators, target_seen, self.adversarial, strict=True):
            judged = seen if weight else seen.detach()  # a weight of 0 needs no way back
            verdicts.append(judge_once(judge, self.show(parts, judged, target)))
        factors = self.emphasis(parts, target_cells, target)
        game = self.game.loss
        adv = [game(answer, "source", target.valid) for answer, _ in verdicts]
        if any(self.adversarial):
            stressed = [
                plain if each is None else game(answer, "source", target.valid, each)
                for plain, (answer, _), each in zip(adv, verdicts, factors, strict=True)
            ]
            backward(weighted_sum(self.adversarial, stressed))

        figures: Losses = {}
        if parts.watched:
            figures |= domain_shares(
                source=(source_cells[-1], source), target=(target_cells[-1], target)
            )
        disc = []
        for judge, seen, (_, answer), each in zip(
            discriminators, source_seen, verdicts, factors, strict=True
        ):
            ours = judge(self.show(parts, seen, source))
            loss_source = game(ours, "source", source.valid) / 2
            loss_target = game(answer, "target", target.valid) / 2
            disc.append(loss_source + loss_target)
            if each is None:
                backward(disc[-1])
            else:
                backward(loss_source + game(answer, "target", target.valid, each) / 2)
            if parts.watched:
                level, right = len(disc), self.game.accuracy
                figures[f"accuracy_source_{level}"] = right(ours, "source", source.valid)
                figures[f"accuracy_target_{level}"] = right(answer, "target", target.valid)
        return (
            by_level("segmentation", seg)
            | by_level("adversarial", adv)
            | by_level("discriminator", disc)
            | figures
        )


def judge_once(judge: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Judge maps once for two losses, of which each moves one player alone.

    A discriminator stays as it is between the network's loss and its own, so that one pass serves
    both.

    Args:
        judge: the discriminator.
        maps: what it judges.

    Returns:
        Its output twice: the gradient of the first reaches the maps alone, that of the second the
        discriminator alone. The second must be differentiated last: what the pass kept goes then.
    """
    seen = maps.detach().requires_grad_(maps.requires_grad)
    weights = [weight for weight in judge.parameters() if weight.requires_grad]
    answer = judge(seen)
    to_maps: Tensor = _Only.apply((answer,), [seen], True, maps)
    to_judge: Tensor = _Only.apply((answer,), weights, False, *weights)
    return to_maps, to_judge


class _Only(torch.autograd.Function):
    """A value whose gradient reaches some of what it was made of, and asks for no other."""

    @staticmethod
    def forward(
        ctx: Any, made: tuple[Tensor], leaves: list[Tensor], keep: bool, *_: Tensor
    ) -> Tensor:
        ctx.kept = made, leaves, keep
        return made[0].detach().clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        made, leaves, keep = ctx.kept
        found = torch.autograd.grad(made, leaves, slope, retain_graph=keep, allow_unused=True)
        return None, None, None, *found
