"""Label ids on a scene's grid, and how a region may have them seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import DataError
from rsadapt.geo.grid import Window
from rsadapt.geo.location import Location
from rsadapt.geo.masked import Mask, counting
from rsadapt.geo.raster import Raster

SHOWN = 8
"""The most colours that a message lists."""


class Labels(Protocol):
    """Label ids on a scene's grid, from a raster or drawn from features."""

    @property
    def path(self) -> Location:
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
    def path(self) -> Location:
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
    def path(self) -> Location:
        """The file that they come from."""
        return self.labels.path

    def read(
        self, window: Window, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Ids [1, height, width] of a window, and which of its pixels have one that counts."""
        raw, valid = self.labels.read(window, bands)
        return raw, valid & counting(self.masks, window)


class ColourLabels:
    """Label ids of a raster that holds a colour for each class.

    Args:
        raster: red, green and blue of 8 bits as its first three bands.
        ids: the label id, 0 or greater, of each colour as "#rrggbb".

    Attributes:
        path: the raster's file.

    Raises:
        DataError: for a raster of fewer bands or another type.
    """

    def __init__(self, raster: Raster, ids: Mapping[str, int]) -> None:
        if raster.count < 3 or raster.dtype != "uint8":
            raise DataError(
                f"{raster.path}: expected labels in colour, three bands of 8 bits, found "
                f"{raster.count} of {raster.dtype}; where they hold label ids, leave "
                f"'label_colours' out"
            )
        self.raster, self.path = raster, raster.path
        self._colours = np.array([int(colour[1:], 16) for colour in ids], np.uint32)
        order = np.argsort(self._colours)
        self._colours = self._colours[order]
        self._ids = np.array(list(ids.values()), np.int32)[order]

    def read(
        self, window: Window | None = None, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read label ids and whether they are valid.

        Args:
            window: the pixels, all by default.
            bands: of the ids, of which there is one; passed over.

        Returns:
            Ids, int32 [1, height, width], and validity, bool [height, width]; 0 where invalid.

        Raises:
            DataError: for colours that are no class's, listed with their counts; and as
                `Raster.read`.
        """
        (red, green, blue), valid = self.raster.read(window, [1, 2, 3])
        packed = (red.astype(np.uint32) << 16) | (green.astype(np.uint32) << 8) | blue
        place = np.searchsorted(self._colours, packed).clip(max=len(self._colours) - 1)
        unknown = valid & (self._colours[place] != packed)
        if unknown.any():
            self._refuse(packed[unknown])
        return np.where(valid, self._ids[place], 0)[np.newaxis], valid

    def _refuse(self, packed: NDArray[np.uint32]) -> None:
        colours, counts = np.unique(packed, return_counts=True)
        most = np.argsort(-counts, kind="stable")[:SHOWN]
        listed = ", ".join(f"#{colours[n]:06x} ({counts[n]} pixels)" for n in most)
        more = f" and {len(colours) - SHOWN} more" if len(colours) > SHOWN else ""
        raise DataError(
            f"{self.path}: expected the colours of 'label_colours', found {listed}{more}; add "
            f"them, or where many differ a little, the labels were compressed with loss: get "
            f"them anew"
        )
