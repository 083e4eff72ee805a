"""What is written of a translated scene: raw values as the scene's file would hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsadapt.geo.maps import Bands
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.infer.layers import Layer


@dataclass(frozen=True)
class Translated(Layer):
    """Standardised images as raw values.

    Attributes:
        look: by whose mean and deviation they become raw, the target's.
    """

    look: Normaliser

    def file(self, scene: str) -> str:
        """The scene's own name, so that its labels are found by it."""
        return f"{scene}.tif"

    def of(self, images: Tensor) -> Tensor:
        """Raw values [bands, height, width]; integers are rounded, none is nodata's.

        Args:
            images: float32 [bands, height, width], standardised.
        """
        mean, std = (
            torch.tensor(numbers, dtype=torch.float64)[:, None, None]
            for numbers in (self.look.mean, self.look.std)
        )
        raw = images.cpu().double() * std + mean
        kind = np.dtype(self.bands.dtype)
        if kind.kind == "f":
            values = raw.numpy().astype(kind)
            return torch.from_numpy(
                np.where(
                    values == self.bands.nodata, np.nextafter(values, kind.type(np.inf)), values
                )
            )
        least, most = np.iinfo(kind).min, np.iinfo(kind).max
        whole = raw.round().clamp(least, most).numpy()
        beside = self.bands.nodata + (1 if self.bands.nodata < most else -1)
        return torch.from_numpy(np.where(whole == self.bands.nodata, beside, whole).astype(kind))


def translated(scene: Raster, bands: Sequence[int], *, look: Normaliser, dtype: str) -> Translated:
    """What is written of a scene: its bands' names, its nodata, and a type that holds both looks.

    A scene without a nodata value, or with one that its type does not hold, gets 0 of integers and
    NaN of floats.

    Args:
        scene: of the source.
        bands: 1-based numbers of those that are translated.
        look: the target's.
        dtype: of the target's scenes.
    """
    kind = np.result_type(scene.dtype, dtype)
    names = tuple(scene.descriptions[band - 1] or "" for band in bands)
    return Translated("translated", Bands(names, kind.name, nodata_of(scene, kind)), look)


def nodata_of(scene: Raster, kind: np.dtype[Any]) -> float:
    """The value of invalid pixels in what is written of a scene."""
    stated = scene.nodata if scene.stored == scene.dtype else None
    if kind.kind == "f":
        return math.nan if stated is None else float(stated)
    if stated is None or not float(stated).is_integer():
        return 0.0
    return float(stated) if np.iinfo(kind).min <= stated <= np.iinfo(kind).max else 0.0
