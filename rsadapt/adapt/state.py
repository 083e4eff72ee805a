"""All that a learner knows: gathered for a checkpoint, and put back."""

from __future__ import annotations

from typing import Any

import torch

from rsadapt.adapt.trainer import Learner

PARTS = ("network", "statistics", "others", "optimisers", "random")
"""What `gather` gives in every version; later ones add "memory" and "precision"."""


def gather(learner: Learner) -> dict[str, Any]:
    """What a learner knows, as tensors and plain values.

    That is every network and optimiser, the batch-norm statistics of both domains, what the method
    remembers, the scaler of gradients where the precision has one, and the state of the random
    numbers that a step may draw. The schedule and both streams need none: what they give next is a
    function of the steps done.
    """
    parts = learner.parts
    return {
        "network": parts.network.state_dict(),
        "statistics": parts.statistics.state_dict(),
        "others": {name: other.state_dict() for name, other in parts.others.items()},
        "memory": {name: kept.state_dict() for name, kept in parts.memory.items()},
        "optimisers": {name: o.state_dict() for name, o in learner.optimisers.items()},
        "precision": learner.fabric.strategy.precision.state_dict(),
        "random": _random_states(learner.fabric.device),
    }


def restore(learner: Learner, state: dict[str, Any]) -> None:
    """Put back what `gather` gave, into a learner of the same configuration."""
    parts = learner.parts
    parts.network.load_state_dict(state["network"])
    parts.statistics.load_state_dict(state["statistics"])
    for name, other in parts.others.items():
        other.load_state_dict(state["others"][name])
    for name, kept in parts.memory.items():
        kept.load_state_dict(state["memory"][name])
    for name, optimiser in learner.optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    if state.get("precision"):
        learner.fabric.strategy.precision.load_state_dict(state["precision"])
    _set_random_states(state["random"], learner.fabric.device)


def answering(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights that a saved learner is evaluated with, and their statistics: a teacher's if any.

    Args:
        state: see `gather`.
    """
    held = state.get("memory", {}).get("teacher", state)
    return held["network"], held["statistics"]


def _random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """Of the CPU's generator and the device's, by type; Python's and NumPy's are never drawn of."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_random_states(states: Any, device: torch.device) -> None:
    """Restore `_random_states`; old checkpoints hold the CPU's alone."""
    if isinstance(states, torch.Tensor):
        states = {"cpu": states}
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
