"""float16 with scaled gradients: one scale for all networks, and all of them step or none."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from lightning_fabric.plugins.precision import MixedPrecision
from torch.optim import Optimizer


class Together:
    """Several optimisers seen as one by a `torch.amp.GradScaler`, which steps all or none.

    Asked of each by itself, a network would learn in steps in which its opponent's gradients
    overflowed, and the scale would move once for each instead of once a step.

    Args:
        optimisers: wrapped by Fabric or not.
    """

    def __init__(self, optimisers: Iterable[Optimizer]) -> None:
        self._optimisers: list[Optimizer] = [getattr(o, "optimizer", o) for o in optimisers]
        self.param_groups = [group for each in self._optimisers for group in each.param_groups]
        self.stepped = False

    def step(self) -> None:
        """Let every optimiser step."""
        for each in self._optimisers:
            each.step()
        self.stepped = True

    def has_gradients(self) -> bool:
        """Whether any parameter has one."""
        return any(p.grad is not None for group in self.param_groups for p in group["params"])


class ScaledHalf(MixedPrecision):
    """Fabric's float16, with a scale that moves once a step and the number of skipped steps.

    The scale starts at 65,536. A step in which any gradient of any network is not finite changes
    no weight and halves the scale; 2,000 steps without one double it.

    Args:
        device: its type, such as "cuda".

    Attributes:
        skipped: steps so far that changed no weight.
    """

    def __init__(self, device: str) -> None:
        super().__init__("16-mixed", device)
        self.skipped = 0

    def step_all(self, optimisers: Iterable[Optimizer]) -> None:
        """Let all optimisers step, or none; then move the scale."""
        together: Any = Together(optimisers)
        if not together.has_gradients():  # a method may train nothing, and a scaler wants any
            return
        self.optimizer_step(together)
        if not together.stepped:
            self.skipped += 1
            self._warn_of_small_scale()

    def state_dict(self) -> dict[str, Any]:
        """The scale, for how long it held, and the skipped steps; plain numbers."""
        return {**super().state_dict(), "skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.skipped = state_dict["skipped"]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "skipped"})

    def _warn_of_small_scale(self) -> None:
        if self.scaler is not None and self.scaler.get_scale() < 1:
            warnings.warn(
                "device.precision 16-mixed: gradients overflow float16 even where they are scaled "
                "down, and no such step changes a weight; choose bf16-mixed or 32-true",
                stacklevel=2,
            )
