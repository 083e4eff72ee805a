"""A raster of which further masks say what is valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsadapt.geo.grid import Window
from rsadapt.geo.raster import Raster
from rsadapt.geo.vectors import DrawnLabels


class Mask(Protocol):
    """Which pixels of a grid count."""

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Whether each pixel of a window counts, bool [height, width]."""
        ...


@dataclass(frozen=True)
class Drawn:
    """The pixels that features are drawn on, or all others.

    Attributes:
        features: drawn with id 1 inside and 0 outside.
        inside: whether the features' own pixels count, or those that they leave.
    """

    features: DrawnLabels
    inside: bool = True

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Whether each pixel of a window counts, bool [height, width]."""
        ids, _ = self.features.read(window)
        counts: NDArray[np.bool_] = (ids[0] != 0) == self.inside
        return counts


class MaskedRaster(Raster):
    """A raster whose pixels are valid where masks say so too.

    It is described as the original is and read like any `Raster`. A raster is warped before it is
    masked, not after: masks lie on its own grid.

    Args:
        raster: the original, warped or not.
        masks: on its grid.

    Attributes:
        original: the raster without the masks.
        masks: as given.
    """

    def __init__(self, raster: Raster, masks: Sequence[Mask]) -> None:
        self.__dict__.update(raster.__dict__)
        self.original, self.masks = raster, tuple(masks)

    def __repr__(self) -> str:
        return f"MaskedRaster({self.original!r}, {self.masks!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return MaskedRaster, (self.original, self.masks)

    def read(
        self, window: Window | None = None, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read pixels and whether they are valid, as `Raster.read` does.

        Where masks leave no pixel of a window, nothing is decoded and its values are 0.
        """
        area = window or self.grid.window
        numbers = list(range(1, self.count + 1) if bands is None else bands)
        self._check(area, numbers)
        counts = counting(self.masks, area)
        if not counts.any():
            return np.zeros((len(numbers), area.height, area.width), self.dtype), counts
        values, valid = self.original.read(area, numbers)
        return values, valid & counts


def counting(masks: Sequence[Mask], window: Window) -> NDArray[np.bool_]:
    """Whether each pixel of a window counts by every mask, bool [height, width]."""
    counts = np.ones((window.height, window.width), bool)
    for mask in masks:
        counts &= mask.read(window)
    return counts
