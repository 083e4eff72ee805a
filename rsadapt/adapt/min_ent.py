"""MinEnt: target predictions made sure of themselves (Vu et al., CVPR 2019), FDA's way too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt
from torch import Tensor

from rsadapt.adapt.adversarial import domain_shares
from rsadapt.adapt.losses import entropy_loss
from rsadapt.adapt.method import (
    Backward,
    Losses,
    Method,
    Parts,
    Weights,
    by_level,
    needed,
    weighted_sum,
)
from rsadapt.sample import Batch


@dataclass(frozen=True)
class MinEnt(Method):
    """The network learns the source's labels and to be sure of each pixel of the target.

    Attributes:
        segmentation: weight of the cross-entropy at each level, main level last.
        entropy: weight of the penalty on the target's entropy at each level. It is relative to
            the entropy of knowing nothing.
        penalty: "entropy" is that itself. "charbonnier", (entropy^2 + 0.001^2)^eta, cares more for
            pixels that are least sure (Yang and Soatto 2020, FDA, section 3.2, who have eta 2 and
            at the only level the weight 0.005).
        eta: of the Charbonnier penalty.
    """

    segmentation: Weights = field(default_factory=lambda: [0.1, 1.0])
    entropy: Weights = field(default_factory=lambda: [0.0002, 0.001])
    penalty: Literal["entropy", "charbonnier"] = "entropy"
    eta: Annotated[float, Gt(0)] = 2.0
    name: ClassVar[str] = "min_ent"
    tells_apart: ClassVar[bool] = True
    by_level: ClassVar[tuple[str, ...]] = ("segmentation", "entropy")
    target_weights: ClassVar[tuple[str, ...]] = ("entropy",)

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`.

        Returns:
            "segmentation_N" and "entropy_N" of each level, the latter with the penalty; of a
            watched step "share_source" and "share_target", see `Adversarial.step`.
        """
        target = needed(target)
        source_cells = parts.cells(source, "source")
        seg = parts.segmentation_losses(source_cells, source)
        backward(weighted_sum(self.segmentation, seg))
        target_cells = parts.cells(target, "target")
        entropies = [
            entropy_loss(
                cells, target.valid, lambda part: parts.pixels(part, target), self.penalised
            )
            for cells in target_cells
        ]
        backward(weighted_sum(self.entropy, entropies))
        figures: Losses = {}
        if parts.watched:
            figures = domain_shares(
                source=(source_cells[-1], source), target=(target_cells[-1], target)
            )
        return by_level("segmentation", seg) | by_level("entropy", entropies) | figures

    def penalised(self, entropy: Tensor) -> Tensor:
        """The penalty on relative entropies."""
        if self.penalty == "entropy":
            return entropy
        return (entropy.square() + 0.001**2).pow(self.eta)
