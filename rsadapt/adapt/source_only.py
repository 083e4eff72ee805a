"""Source only: supervised training on the labelled domain, the baseline of every comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from rsadapt.adapt.method import Backward, Losses, Method, Parts, Weights, by_level, weighted_sum
from rsadapt.sample import Batch


@dataclass(frozen=True)
class SourceOnly(Method):
    """Cross-entropy on source batches at every level.

    Attributes:
        segmentation: weight of the cross-entropy at each level, main level last.
    """

    segmentation: Weights = field(default_factory=lambda: [0.1, 1.0])
    name: ClassVar[str] = "source_only"
    uses_target: ClassVar[bool] = False

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`."""
        losses = parts.segmentation_losses(parts.cells(source, "source"), source)
        backward(weighted_sum(self.segmentation, losses))
        return by_level("segmentation", losses)
