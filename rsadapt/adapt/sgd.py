"""SGD that may update a parameter several times a step, as the published AdaptSegNet did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from torch import Tensor
from torch.optim import SGD

FirstStep = Literal["fresh", "moved"]


class RepeatedSGD(SGD):
    """PyTorch's SGD, walked over a group of parameters as often as the group says.

    The published code hands its optimiser a layer's parameters once for every module that contains
    them. SGD then applies weight decay, moves the momentum buffer and moves the value once for
    each repeat, all with one gradient. Here the repeats are explicit passes over each parameter
    once, because optimisers that update many tensors at once treat one that stands in their list
    twice differently.

    Args:
        groups: parameter groups, each with its "lr" and its "passes" (1 where it says none).
        momentum: of the moving average of gradients.
        nesterov: see `torch.optim.SGD`.
        weight_decay: added to the gradient, times the value that a pass finds.
        first_step: what the passes of a parameter's very first step do with its momentum buffer.
            "fresh": each starts it anew from gradient and decay, the last one's stays, as PyTorch
            2 treats a repeated parameter; "moved": each moves it, as PyTorch of 2018 did.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        first_step: FirstStep = "fresh",
    ) -> None:
        super().__init__(
            [{"passes": 1, **group} for group in groups],
            lr=0.0,  # every group brings its own
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
        )
        self.first_step = first_step

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient, as often as its group says."""
        groups = self.param_groups
        starting = self._without_buffer() if self.first_step == "fresh" else []
        loss: float | None = None
        try:
            for turn in range(max(group["passes"] for group in groups)):
                self.param_groups = [group for group in groups if group["passes"] > turn]
                if turn:
                    self._forget(starting)
                loss = super().step(closure if turn == 0 else None)
        finally:
            self.param_groups = groups
        return loss

    def _without_buffer(self) -> list[Tensor]:
        """The repeated parameters that no step has updated yet."""
        return [
            parameter
            for group in self.param_groups
            if group["passes"] > 1
            for parameter in group["params"]
            if self.state.get(parameter, {}).get("momentum_buffer") is None
        ]

    def _forget(self, parameters: Iterable[Tensor]) -> None:
        """Let the next pass start the buffers of parameters that it will update anew."""
        repeated = {id(p) for group in self.param_groups for p in group["params"]}
        for parameter in parameters:
            if id(parameter) in repeated and parameter in self.state:
                self.state[parameter].pop("momentum_buffer", None)
