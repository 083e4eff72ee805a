"""What every adaptation method offers to the trainer, and what it is handed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Protocol

import torch
from annotated_types import Ge
from torch import Tensor, nn

from rsadapt.adapt import ranks
from rsadapt.adapt.batch_norm import Domain, DomainStatistics
from rsadapt.adapt.kit import Kit, Remembered, Trained
from rsadapt.adapt.losses import probability_maps, segmentation_loss
from rsadapt.adapt.teacher import Teacher
from rsadapt.sample import Batch

Losses = dict[str, Tensor]
Backward = Callable[[Tensor], None]

Weights = list[Annotated[float, Ge(0)]]
"""Of a loss at each level, main level last."""


class Upsample(Protocol):
    """Brings logits [N, classes, h, w] to a size (height, width)."""

    def __call__(
        self, logits: Tensor, size: tuple[int, int], image_size: tuple[int, int] | None = None
    ) -> Tensor:
        """Where the image has another size than wanted, `image_size` tells it."""
        ...


@dataclass
class Parts:
    """The networks of a run, and all else that lasts from step to step.

    Attributes:
        network: the segmentation network: images to logits, one a level, main level last.
        upsample: brings logits to a size (height, width).
        statistics: the network's batch-norm statistics of both domains.
        others: what a method trains beside the network, such as discriminators, by name.
        memory: what a method remembers and does not train, such as a teacher or a pool of images.
        watched: whether the step at hand is logged; only then a method need give other figures
            than losses, see `rsadapt.adapt.figures`.
        seed: of the run.
        done: steps done before the one at hand.
        steps: of the whole run.
        pairs: pairs of batches learned from before the one at hand, by each process.
    """

    network: nn.Module
    upsample: Upsample
    statistics: DomainStatistics
    others: dict[str, nn.Module] = field(default_factory=dict)
    memory: dict[str, Remembered] = field(default_factory=dict)
    watched: bool = False
    seed: int = 0
    done: int = 0
    steps: int = 1
    pairs: int = 0

    @property
    def answering(self) -> Parts:
        """The network that is evaluated and exported, with its statistics: a teacher's if any."""
        teacher = self.memory.get("teacher")
        if not isinstance(teacher, Teacher):
            return self
        return Parts(teacher.network, self.upsample, teacher.statistics)

    def random(self) -> torch.Generator:
        """Random numbers of the pair at hand, on the CPU: the same after a resume.

        Every call begins them anew; each process has its own.
        """
        number = self.pairs * ranks.count() + ranks.rank()
        mixed = (self.seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9) % 2**63
        return torch.Generator().manual_seed(mixed)

    def cells(self, batch: Batch, domain: Domain) -> list[Tensor]:
        """The network's logits [N, classes, h, w] of a batch, as it gives them, one a level."""
        with self.statistics.domain(domain):
            levels: list[Tensor] = self.network(batch.image)
        return levels

    def cells_and_features(self, batch: Batch, domain: Domain) -> tuple[list[Tensor], list[Tensor]]:
        """The logits as `cells` gives them, and the features [N, channels, h, w] behind each."""
        with self.statistics.domain(domain):
            levels, features = self.network(batch.image, with_features=True)
        return levels, features

    def pixels(self, cells: Tensor, batch: Batch) -> Tensor:
        """Bring cells [N, channels, h, w] to the size of a batch's images."""
        height, width = batch.image.shape[-2:]
        return self.upsample(cells, (height, width))

    def segmentation_losses(self, levels: list[Tensor], batch: Batch) -> list[Tensor]:
        """Mean cross-entropy of each level's cells over a batch's labelled pixels."""
        label = batch.labels()
        return [
            segmentation_loss(cells, label, lambda part: self.pixels(part, batch))
            for cells in levels
        ]

    def probability_maps(self, cells: Tensor, batch: Batch) -> Tensor:
        """Class probabilities at image size of a level's cells, 0 where a batch is invalid."""
        return probability_maps(self.pixels(cells, batch), batch.valid)

    def train(self) -> None:
        """Set every network to how it trains."""
        for network in (self.network, *self.others.values()):
            network.train()
        self.statistics.train()


class Method(ABC):
    """One way of learning from two domains: what a training step does, not when.

    A method is a frozen dataclass whose fields are its settings, checked as their types say, and
    documented under Attributes. One line in `rsadapt.build.methods` makes it known by its name.
    """

    name: ClassVar[str]
    """As configurations name it."""
    uses_target: ClassVar[bool] = True
    """Whether steps need target batches."""
    by_level: ClassVar[tuple[str, ...]] = ("segmentation",)
    """The fields that hold one weight a level."""
    target_weights: ClassVar[tuple[str, ...]] = ()
    """The fields that weigh what is learned from the target."""
    least_side: ClassVar[int] = 1
    """Pixels that the shorter side of a training image must have."""
    tells_apart: ClassVar[bool] = False
    """Whether it needs more than one class."""
    one_size: ClassVar[bool] = False
    """Whether images of both domains must be of one size."""
    needs_policy: ClassVar[str | None] = None
    """The batch-norm policy that it does not work without."""

    def settings(self) -> dict[str, Any]:
        """Its name and fields, as a configuration gives them."""
        return {"name": self.name} | {
            field.name: getattr(self, field.name)
            for field in fields(self)  # type: ignore[arg-type]
        }

    def weights_in_force(self) -> list[str]:
        """The fields among `target_weights` that are not zero at every level."""
        return [name for name in self.target_weights if torch.tensor(getattr(self, name)).any()]

    def others(self, kit: Kit) -> dict[str, Trained]:
        """What it trains beside the network, by name, made fresh.

        Raises:
            ConfigError: where that cannot be made as its settings ask.
        """
        return {}

    def memory(self, kit: Kit) -> dict[str, Remembered]:
        """What it remembers from step to step and does not train, by name, made fresh.

        What is called "teacher" and is a `Teacher` is what is evaluated, predicted with, exported
        and started from.
        """
        return {}

    def begin(self, parts: Parts) -> None:  # noqa: B027 (most need it not)
        """Do what is to be done once the initial weights are there, on the device."""

    @abstractmethod
    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """Add the gradients of one pair of batches to the parameters.

        The trainer clears gradients before, and lets the optimisers step after. It is also run on
        tensors without content, to estimate memory: no size may depend on values.

        Args:
            parts: the networks.
            source: labelled batch.
            target: unlabelled batch, None where `uses_target` is False.
            backward: call it with each loss to differentiate.

        Returns:
            Named losses, detached, unweighted, for the log, and where `parts.watched` figures.
        """

    def after(self, parts: Parts) -> None:  # noqa: B027 (most need it not)
        """Do what is to be done once the optimisers have stepped; `parts.done` counts that step."""


def needed(target: Batch | None) -> Batch:
    """The target batch of a method that cannot do without.

    Raises:
        ValueError: where the trainer handed in none.
    """
    if target is None:
        raise ValueError("this method learns from target batches and was handed none")
    return target


def weighted_sum(weights: list[float], losses: list[Tensor]) -> Tensor:
    """The sum of losses, each times its weight."""
    terms = [weight * loss for weight, loss in zip(weights, losses, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def by_level(name: str, losses: list[Tensor]) -> Losses:
    """Name losses by level, counted from 1 at the coarsest, for the log."""
    return {f"{name}_{level}": loss.detach() for level, loss in enumerate(losses, start=1)}
