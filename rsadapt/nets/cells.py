"""Where cells lie: feature maps brought to a finer grid by the true places of their cells."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

Anchor = Literal["first", "middle"]
"""Where in its stride a cell is centred."""


def brought_to(maps: Tensor, stride: int, size: tuple[int, int], anchor: Anchor) -> Tensor:
    """Interpolate maps bilinearly between the places where their cells are centred.

    Beyond the outermost cells their values are repeated.

    Args:
        maps: [N, channels, h, w].
        stride: finer cells from one cell to the next.
        size: height and width wanted, in finer cells.
        anchor: where in its stride a cell is centred; of both grids, where the finer is no image.

    Returns:
        [N, channels, *size].
    """
    place = _from_first if anchor == "first" else _from_middles
    return place(maps, stride, size)


def _from_first(maps: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Interpolate between cells that are centred on the first of their stride."""
    height, width = size
    reach = [stride * cells + 1 for cells in maps.shape[-2:]]
    padded = functional.pad(maps, (0, 1, 0, 1), mode="replicate")
    full = functional.interpolate(padded, reach, mode="bilinear", align_corners=True)
    return full[..., :height, :width]


def _from_middles(maps: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Interpolate between cells that are centred in the middle of their stride."""
    height, width = size
    reach = [stride * cells for cells in maps.shape[-2:]]
    full = functional.interpolate(maps, reach, mode="bilinear", align_corners=False)
    more = (0, max(0, width - reach[1]), 0, max(0, height - reach[0]))
    return functional.pad(full, more, mode="replicate")[..., :height, :width]
