"""Self-training in rounds: a frozen copy of the network labels the target where it is sure."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from rsadapt.adapt.adversarial import domain_shares
from rsadapt.adapt.figures import class_shares
from rsadapt.adapt.kit import Kit, Remembered
from rsadapt.adapt.losses import PIECE, entropy_loss, sum_over_samples
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
from rsadapt.adapt.teacher import Teacher
from rsadapt.sample import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Lasting:
    """A tensor that lasts from step to step, and is as at first when a round begins.

    Attributes:
        first: what a round begins with.
        value: what it is now; replaced, never changed in place.
    """

    def __init__(self, first: Tensor) -> None:
        self.first = self.value = first

    def place(self, fabric: Fabric) -> None:
        """Move to where training computes."""
        self.first = self.value = self.first.to(fabric.device)

    def renew(self) -> None:
        """Be as at first."""
        self.value = self.first

    def state_dict(self) -> dict[str, Any]:
        """The value."""
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.value = state["value"].to(self.first.device)


@dataclass(frozen=True)
class PseudoLabels:
    """What a labeller says of a batch.

    Attributes:
        aims: float [N, classes, H, W], the probability that each class should have; 0 where not
            labelled.
        labelled: bool [N, H, W], valid pixels alone.
        thresholds: float [classes], the confidence of each class that a label takes.
    """

    aims: Tensor
    labelled: Tensor
    thresholds: Tensor


@dataclass(frozen=True)
class SelfTraining(Method):
    """The network learns the source's labels and its own of the target, round after round.

    A run is parted into rounds of as many steps. When one begins, the network is copied; the copy
    labels the round's target batches where it is sure enough, which a method decides in `label`,
    and is never trained. The papers label the whole target when a round begins; here each batch is
    labelled as it comes, since windows are drawn without end, and normalised by its own statistics,
    see `Teacher`. What is evaluated is the network that learns. The papers' spatial priors of
    driving scenes are left out.

    Attributes:
        segmentation: weight of the cross-entropy on the source at each level, main level last.
        pseudo: weight of all that is learned from the target at each level.
        rounds: of the run.
        kld: weight, relative to that, of the mean over classes of -log p on labelled pixels: MRKLD
            of CRST (Zou et al. 2019), published 0.1; R_c of IAST (Mei et al. 2020).
        entropy: likewise of the mean entropy, in nats, of pixels that are valid and not labelled:
            R_i of IAST.
    """

    segmentation: Weights = field(default_factory=lambda: [0.1, 1.0])
    pseudo: Weights = field(default_factory=lambda: [0.1, 1.0])
    rounds: Annotated[int, Ge(1)] = 4
    kld: Annotated[float, Ge(0)] = 0.0
    entropy: Annotated[float, Ge(0)] = 0.0
    by_level: ClassVar[tuple[str, ...]] = ("segmentation", "pseudo")
    target_weights: ClassVar[tuple[str, ...]] = ("pseudo",)

    @abstractmethod
    def record(self, kit: Kit) -> Tensor:
        """What `label` remembers, as a round begins; kept in `parts.memory["record"]`."""

    @abstractmethod
    def label(self, parts: Parts, log_probabilities: Tensor, valid: Tensor) -> PseudoLabels:
        """Label a batch, and remember what is to be remembered of it.

        Args:
            parts: the networks.
            log_probabilities: float [N, classes, H, W] of the labeller.
            valid: bool [N, H, W].
        """

    def memory(self, kit: Kit) -> dict[str, Remembered]:
        """The labeller, which is no teacher: it is not evaluated; and the record."""
        return {"labeller": kit.teacher(), "record": Lasting(self.record(kit))}

    def begin(self, parts: Parts) -> None:
        """Let the first round begin."""
        labeller(parts).copy(parts.network, parts.statistics)

    def round(self, parts: Parts) -> int:
        """The round of the step at hand, counted from 0."""
        return self._round(parts.done, parts.steps)

    def _round(self, done: int, steps: int) -> int:
        return min(self.rounds - 1, done * self.rounds // steps)

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`.

        Returns:
            "segmentation_N" and "pseudo_N" of each level, the latter with its `kld`; "entropy_N",
            relative as MinEnt's, where that is weighed. Of a watched step the "round", counted
            from 1, "share_labelled" of the valid target pixels, also by class, each class's
            "threshold", and "share_source" and "share_target" of it in the main level's
            predictions.
        """
        target = needed(target)
        source_levels = parts.cells(source, "source")
        seg = parts.segmentation_losses(source_levels, source)
        backward(weighted_sum(self.segmentation, seg))

        labels = self.label(parts, _log_probabilities(parts, target), target.valid)
        aims = labels.aims
        if self.kld:
            aims = aims + labels.labelled.unsqueeze(1).to(aims) * (self.kld / aims.shape[1])
        levels = parts.cells(target, "target")

        def upsample(cells: Tensor) -> Tensor:
            return parts.pixels(cells, target)

        pseudo = [aimed_loss(cells, aims, labels.labelled, upsample) for cells in levels]
        losses = by_level("segmentation", seg) | by_level("pseudo", pseudo)
        if self.entropy:
            unlabelled = target.valid & ~labels.labelled
            entropy = [entropy_loss(cells, unlabelled, upsample) for cells in levels]
            losses |= by_level("entropy", entropy)
            weight = self.entropy * math.log(aims.shape[1])
            pseudo = [a + weight * b for a, b in zip(pseudo, entropy, strict=True)]
        backward(weighted_sum(self.pseudo, pseudo))
        if parts.watched:
            losses |= self._figures(parts, labels, target)
            losses |= domain_shares(source=(source_levels[-1], source), target=(levels[-1], target))
        return losses

    def after(self, parts: Parts) -> None:
        """Begin the next round where the last step ended one."""
        if self.round(parts) > self._round(parts.done - 1, parts.steps):
            labeller(parts).copy(parts.network, parts.statistics)
            record(parts).renew()

    def _figures(self, parts: Parts, labels: PseudoLabels, target: Batch) -> Losses:
        share = labels.labelled.sum() / target.valid.sum().clamp(min=1)
        shares = class_shares(labels.aims, labels.labelled.unsqueeze(1).to(labels.aims))
        return {
            "round": share.new_tensor(self.round(parts) + 1),
            "share_labelled": share,
            "share_labelled_by_class": shares * share,
            "threshold": labels.thresholds,
        }


def labeller(parts: Parts) -> Teacher:
    """The copy of the network that labels."""
    found = parts.memory["labeller"]
    assert isinstance(found, Teacher)
    return found


def record(parts: Parts) -> Lasting:
    """What the labelling remembers."""
    found = parts.memory["record"]
    assert isinstance(found, Lasting)
    return found


@torch.no_grad()
def _log_probabilities(parts: Parts, target: Batch) -> Tensor:
    """The labeller's, of the main level at image size, at least as precise as float32."""
    logits = parts.pixels(labeller(parts).cells(target, "target")[-1], target)
    return _precise(logits).log_softmax(1)


def aimed_loss(
    cells: Tensor, aims: Tensor, labelled: Tensor, upsample: Callable[[Tensor], Tensor]
) -> Tensor:
    """Mean over labelled pixels, of all processes, of -sum(aims log p); 0 where there are none.

    Args:
        cells: float [N, classes, h, w], logits.
        aims: float [N, classes, H, W], 0 where not labelled; they need not sum to 1.
        labelled: bool [N, H, W].
        upsample: brings logits of any number of samples to H x W.
    """

    def total(part: Tensor, samples: slice) -> Tensor:
        return -(aims[samples] * _precise(upsample(part)).log_softmax(1)).sum()

    summed = sum_over_samples(cells, total, at_once=max(1, PIECE // aims[0].numel()))
    return mean_over_ranks(summed, labelled.sum(), of=labelled)


def _precise(logits: Tensor) -> Tensor:
    """The same, in float32 where it was less."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
