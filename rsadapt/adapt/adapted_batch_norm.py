"""Adapted batch-norm statistics: a trained network sees the target; its weights stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from rsadapt.adapt.method import Backward, Losses, Method, Parts, needed
from rsadapt.sample import Batch


@dataclass(frozen=True)
class AdaptedBatchNorm(Method):
    """AdaBN (Li et al. 2016): the target's batch-norm statistics replace the source's.

    No weight is trained, so it starts from a trained network and takes some tens of steps; it
    needs the "per_domain" policy, which gives the target statistics of its own.
    """

    name: ClassVar[str] = "adapted_batch_norm"
    by_level: ClassVar[tuple[str, ...]] = ()
    needs_policy: ClassVar[str | None] = "per_domain"

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`."""
        with torch.no_grad():
            parts.cells(needed(target), "target")
        return {}
