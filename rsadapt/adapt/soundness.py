"""Whether a run is sound: losses, weights, statistics are finite, asked of the device at times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from rsadapt.adapt import ranks
from rsadapt.adapt.figures import FIGURES
from rsadapt.adapt.method import Losses, Parts
from rsadapt.errors import NonFiniteError

NEVER = torch.iinfo(torch.int64).max


class Soundness:
    """Remembers, on the device, at which step each loss first was not finite.

    Adding a step's losses waits for nothing; only what is checked is waited for. Losses are those
    before any scaling of gradients, whose skipped steps are no fault.

    Args:
        parts: the networks.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._names: tuple[str, ...] = ()
        self._first: Tensor | None = None  # int64, one a loss

    def add(self, step: int, said: Losses) -> None:
        """Take in what a step said, always with the same losses; its other figures do not count."""
        losses = {name: value for name, value in said.items() if not name.startswith(FIGURES)}
        if not losses:
            return
        finite = torch.stack(tuple(losses.values())).isfinite()
        seen = torch.where(finite, NEVER, step)
        self._first = seen if self._first is None else torch.minimum(self._first, seen)
        self._names = tuple(losses)

    def check(self, step: int) -> None:
        """Make sure, before the state after `step` steps is saved, that all of it is finite.

        Raises:
            NonFiniteError: naming the first step where a loss was not, or the weight or statistic
                that is not.
        """
        self.check_losses()
        tensors = dict(_kept(self._parts))
        finite = torch.stack([tensor.isfinite().all() for tensor in tensors.values()])
        for name, sound in zip(tensors, finite.tolist(), strict=True):
            if not sound:
                raise NonFiniteError(step, name)

    def check_losses(self) -> None:
        """Make sure that every loss so far was finite, in every process.

        Raises:
            NonFiniteError: naming the first step where one was not, and which.
        """
        first = [] if self._first is None else ranks.least(self._first).tolist()
        step = min(first, default=NEVER)
        if step != NEVER:
            names = [name for name, when in zip(self._names, first, strict=True) if when == step]
            raise NonFiniteError(step, f"the loss {', '.join(names)}")


def _kept(parts: Parts) -> Iterator[tuple[str, Tensor]]:
    """All that a checkpoint holds of networks, statistics and memories, each with what it is."""
    holders: Mapping[str, Any] = {"network": parts.network, **parts.others, **parts.memory}
    for name, holder in holders.items():
        for key, tensor in _floats(holder.state_dict()):
            yield f"the weight {name}{key}", tensor
    for key, tensor in parts.statistics.state_dict().items():
        if tensor.is_floating_point():
            yield f"the target's statistic {key}", tensor


def _floats(state: Any) -> Iterator[tuple[str, Tensor]]:
    """The floating-point tensors of a nested state, each with its path, such as ".layer.weight"."""
    if isinstance(state, Tensor) and state.is_floating_point():
        yield "", state
    if isinstance(state, Mapping):
        for name, inner in state.items():
            for path, tensor in _floats(inner):
                yield f".{name}{path}", tensor
