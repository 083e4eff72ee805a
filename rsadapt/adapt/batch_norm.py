"""Batch-norm statistics of two domains: which batches move them, and which are used where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Domain = Literal["source", "target"]
BatchNormPolicy = Literal["both", "source", "per_domain", "frozen"]

State = dict[str, dict[str, Tensor]]


class DomainStatistics:
    """The running statistics of a network's batch-norm layers, kept as a policy says.

    Every policy but "frozen" normalises a training batch by its own statistics. They differ in
    what the running ones, used for evaluation and prediction, are made of:

    * "both": one set, moved by source and target batches alike, as in the published AdaptSegNet;
    * "source": one set, moved by source batches only;
    * "per_domain": a set for each domain; the target is predicted with the target's;
    * "frozen": the ones the network started with, in training too.

    Args:
        network: the network, not yet wrapped for a device.
        policy: see above.
        momentum: weight of a new batch in the running statistics, 0..1.
    """

    def __init__(
        self, network: nn.Module, policy: BatchNormPolicy, *, momentum: float = 0.1
    ) -> None:
        self.policy = policy
        self._layers = {
            name: layer for name, layer in network.named_modules() if isinstance(layer, _BatchNorm)
        }
        for layer in self._layers.values():
            layer.momentum = momentum
        self._active: Domain = "source"
        self._shelf = self._copy()  # the statistics of the domain that is not active

    def train(self) -> None:
        """Set the layers to how they train."""
        for layer in self._layers.values():
            layer.train(self.policy != "frozen")

    @contextmanager
    def domain(self, domain: Domain) -> Iterator[None]:
        """Read and move the statistics of `domain` inside the context."""
        separate = self.policy in ("source", "per_domain")
        swap = separate and domain != self._active
        if swap:
            self._swap(domain)
        try:
            yield
        finally:
            if swap:
                self._swap("source")

    @contextmanager
    def evaluating(self, domain: Domain) -> Iterator[None]:
        """Read the statistics that `domain` is evaluated and predicted with."""
        with self.domain(domain if self.policy == "per_domain" else "source"):
            yield

    @contextmanager
    def neither(self) -> Iterator[None]:
        """Normalise batches that are of no domain, such as mixed ones, inside the context.

        Statistics of a set for each domain stay as they are; otherwise such a batch counts as the
        target's, as in published codes.
        """
        if self.policy != "per_domain":
            with self.domain("target"):
                yield
            return
        layers = self._layers.values()
        before = [(layer.momentum, layer.num_batches_tracked) for layer in layers]
        for layer, (_, tracked) in zip(layers, before, strict=True):
            layer.momentum = 0.0
            if tracked is not None:  # a count to throw away: SyncBatchNorm does not do without one
                layer.num_batches_tracked = torch.zeros_like(tracked)
        try:
            yield
        finally:
            for layer, (momentum, tracked) in zip(layers, before, strict=True):
                layer.momentum, layer.num_batches_tracked = momentum, tracked

    def running(self) -> list[Tensor]:
        """The running statistics that training moves and evaluation uses, of both domains."""
        if self.policy == "frozen":
            return []
        moved = [dict(layer.named_buffers()) for layer in self._layers.values()]
        if self.policy == "per_domain":
            moved += self._shelf.values()
        return [value for buffers in moved for value in buffers.values()]

    def state_dict(self) -> dict[str, Tensor]:
        """The target's own statistics by layer and buffer; empty where it has none."""
        if self.policy != "per_domain":
            return {}
        return {
            f"{layer}.{buffer}": value
            for layer, buffers in self._shelf.items()
            for buffer, value in buffers.items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore `state_dict`; an empty one starts the target from the network's statistics."""
        self._shelf = self._copy()
        for key, value in state.items():
            layer, buffer = key.rsplit(".", 1)
            self._shelf[layer][buffer].copy_(value)

    def _copy(self) -> State:
        return {
            name: {key: value.clone() for key, value in layer.named_buffers()}
            for name, layer in self._layers.items()
        }

    def _swap(self, domain: Domain) -> None:
        """Exchange the layers' statistics with the shelf's; tensors move, nothing is copied."""
        for name, layer in self._layers.items():
            shelf = self._shelf[name]
            for key, value in list(layer.named_buffers()):
                setattr(layer, key, shelf[key].to(value.device))
                shelf[key] = value
        self._active = domain
