"""ClassMix: half of the classes of a labelled image pasted on another (Olsson et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from rsadapt.adapt.losses import IGNORE_INDEX


def half_of_classes(label: Tensor, classes: int, random: torch.Generator) -> Tensor:
    """Draw half of the classes that each image has, one more where their number is odd.

    Args:
        label: int64 [N, H, W], `IGNORE_INDEX` where none.
        classes: of the class table.
        random: on the CPU.

    Returns:
        bool [N, classes].
    """
    present = torch.stack([(label == each).flatten(1).any(1) for each in range(classes)], 1)
    lots = torch.rand(present.shape, generator=random).to(label.device)
    order = lots.masked_fill(~present, 2).argsort(1).argsort(1)  # the absent come last
    return order < (present.sum(1, keepdim=True) + 1) // 2


def pixels_of(label: Tensor, chosen: Tensor) -> Tensor:
    """The labelled pixels of chosen classes.

    Args:
        label: int64 [N, H, W].
        chosen: bool [N, classes].

    Returns:
        bool [N, H, W].
    """
    known = torch.cat([chosen, torch.zeros_like(chosen[:, :1])], 1)  # of no class: not chosen
    column = label.masked_fill(label == IGNORE_INDEX, chosen.shape[1])
    return known.gather(1, column.flatten(1)).view_as(label)
