"""AdvEnt: adversarial adaptation of weighted self-information (Vu et al., CVPR 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rsadapt.adapt.losses import self_information_maps
from rsadapt.adapt.method import Parts
from rsadapt.adapt.output_space import OutputSpace
from rsadapt.sample import Batch


@dataclass(frozen=True)
class Advent(OutputSpace):
    """The game of output space, where discriminators see how unsure the network is of each class.

    Weights are the published ones of output space, as in the paper.
    """

    name: ClassVar[str] = "advent"
    tells_apart: ClassVar[bool] = True

    def show(self, parts: Parts, seen: Tensor, batch: Batch) -> Tensor:
        """Turn cells into self-information of pixels, zero where the image is not valid."""
        return self_information_maps(parts.pixels(seen, batch), batch.valid)
