"""Label ids on a scene's grid, and how a region may have them seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsadapt.geo.grid import Window
from rsadapt.geo.masked import Mask, counting


class Labels(Protocol):
    """Label ids on a scene's grid, from a raster or drawn from features."""

    @property
    def path(self) -> Path:
        """The file that they come from."""
        ...

    def read(
        self, window: Window, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Ids [1, height, width] of a window, and which of its pixels have one."""
        ...


@dataclass(frozen=True)
class RemappedLabels:
    """Labels with other ids.

    Attributes:
        labels: as they are stored or drawn.
        ids: the id to give in place of each; those not listed stay.
    """

    labels: Labels
    ids: Mapping[int, int]

    @property
    def path(self) -> Path:
        """The file that they come from."""
        return self.labels.path

    def read(
        self, window: Window, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Ids [1, height, width], of a type that holds the new ones, and which pixels have one."""
        raw, valid = self.labels.read(window, bands)
        out = raw.astype(np.result_type(raw.dtype, *map(np.min_scalar_type, self.ids.values())))
        for old, new in self.ids.items():
            out[raw == old] = new
        return out, valid


@dataclass(frozen=True)
class MaskedLabels:
    """Labels that count where masks say so too.

    Attributes:
        labels: as they are stored or drawn.
        masks: on their grid.
    """

    labels: Labels
    masks: tuple[Mask, ...]

    @property
    def path(self) -> Path:
        """The file that they come from."""
        return self.labels.path

    def read(
        self, window: Window, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Ids [1, height, width] of a window, and which of its pixels have one that counts."""
        raw, valid = self.labels.read(window, bands)
        return raw, valid & counting(self.masks, window)
