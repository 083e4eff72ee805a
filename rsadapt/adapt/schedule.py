"""Learning rates over time."""

from __future__ import annotations

from collections.abc import Iterable

from torch.optim import Optimizer


def poly(step: int, horizon: int, power: float) -> float:
    """The factor (1 - step / horizon) ** power of DeepLab-v2's schedule (Chen et al. 2018, 4.1)."""
    factor: float = (1 - step / horizon) ** power
    return factor


def warm_up(step: int, steps: int) -> float:
    """The factor by which rates rise linearly to their own in the first steps, 0 for none."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


def set_rates(optimisers: Iterable[Optimizer], factor: float) -> None:
    """Set every learning rate to `factor` times the rate its optimiser was made with."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
