"""Whether a run is sound: its losses and weights are finite, asked of the device now and then."""

from __future__ import annotations

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
            NonFiniteError: naming the first step where a loss was not, or the weight that is not.
        """
        self.check_losses()
        networks = {"network": self._parts.network, **self._parts.others}
        tensors = {
            f"{name}.{key}": tensor
            for name, network in networks.items()
            for key, tensor in network.state_dict().items()
            if tensor.is_floating_point()
        }
        finite = torch.stack([tensor.isfinite().all() for tensor in tensors.values()])
        for name, sound in zip(tensors, finite.tolist(), strict=True):
            if not sound:
                raise NonFiniteError(step, f"the weight {name}")

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
