"""A teacher: a network whose weights follow a student's by an exponential moving average."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rsadapt.adapt.batch_norm import Domain, DomainStatistics
from rsadapt.sample import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Teacher:
    """A mean teacher (Tarvainen and Valpola 2017), which no optimiser trains.

    While training it answers by the statistics of the batch at hand, as its student does, unless
    they are frozen; what it is evaluated with follows the student's, as its weights do.

    Args:
        network: of the student's kind.
        statistics: its batch-norm statistics, of momentum 0.

    Attributes:
        network: its parameters ask for no gradients.
        statistics: see above.
        updates: how often it followed.
    """

    def __init__(self, network: nn.Module, statistics: DomainStatistics) -> None:
        self.network = network.requires_grad_(False)
        self.statistics = statistics
        self.updates = 0

    def place(self, fabric: Fabric) -> None:
        """Move to where training computes, and compute as precisely."""
        self.network = fabric.setup_module(self.network)

    @torch.no_grad()
    def cells(self, batch: Batch, domain: Domain) -> list[Tensor]:
        """Its logits [N, classes, h, w] of a batch, one a level, main level last."""
        self.network.eval()
        self.statistics.train()
        with self.statistics.domain(domain):
            levels: list[Tensor] = self.network(batch.image)
        return levels

    @torch.no_grad()
    def copy(self, network: nn.Module, statistics: DomainStatistics) -> None:
        """Become equal to a student."""
        self.network.load_state_dict(network.state_dict())
        self.statistics.load_state_dict(statistics.state_dict())
        self.updates = 0

    @torch.no_grad()
    def follow(self, network: nn.Module, statistics: DomainStatistics, *, decay: float) -> None:
        """Keep `decay` of every weight and statistic, and take the rest from the student's.

        The share kept is at most 1 - 1 / (updates + 1), so that the first copies the student
        (as DACS has it, Tranheden et al. 2021). Counts of batches are the student's.
        """
        self.updates += 1
        kept = min(1 - 1 / self.updates, decay)
        ours = [*self.network.state_dict().values(), *self.statistics.state_dict().values()]
        theirs = [*network.state_dict().values(), *statistics.state_dict().values()]
        for our, their in zip(ours, theirs, strict=True):
            if our.is_floating_point():
                our.lerp_(their.to(our.device), 1 - kept)
            else:
                our.copy_(their)

    def state_dict(self) -> dict[str, Any]:
        """Weights, statistics and how often it followed."""
        return {
            "network": self.network.state_dict(),
            "statistics": self.statistics.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.network.load_state_dict(state["network"])
        self.statistics.load_state_dict(state["statistics"])
        self.updates = int(state["updates"])
