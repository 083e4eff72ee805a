"""What a map can say of each pixel: its class, how sure the network is, or all probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsadapt.classes import CONFIDENCE_STEPS, NODATA, ClassScheme
from rsadapt.errors import DataError
from rsadapt.geo.location import Location
from rsadapt.geo.maps import Bands

LayerName = Literal["classes", "confidence", "entropy", "margin", "probabilities"]
LAYERS: tuple[LayerName, ...] = get_args(LayerName)


@dataclass(frozen=True)
class Layer:
    """A raster that is written of a scene.

    Attributes:
        name: what it says of each pixel.
        bands: how that is stored.
    """

    name: LayerName
    bands: Bands

    def of(self, probabilities: Tensor, valid: NDArray[np.bool_]) -> NDArray[np.generic]:
        """The stored values [bands, height, width] of some pixels.

        Args:
            probabilities: float32 [classes, height, width], on any device.
            valid: bool [height, width].
        """
        stored = self._stored(probabilities).cpu().numpy()
        filled: NDArray[np.generic] = np.where(
            valid, stored, np.asarray(self.bands.nodata, self.bands.dtype)
        )
        return filled

    def _stored(self, probabilities: Tensor) -> Tensor:
        if self.bands.scheme is not None:
            codes = torch.tensor(self.bands.scheme.codes, dtype=torch.uint8)
            return codes.to(probabilities.device)[probabilities.argmax(dim=0)][None]
        if self.name == "probabilities" and self.bands.dtype == "float32":
            return probabilities
        return (
            (_shares(self.name, probabilities).clamp(0, 1) * CONFIDENCE_STEPS)
            .round()
            .to(torch.uint8)
        )


def _shares(name: LayerName, probabilities: Tensor) -> Tensor:
    """What a layer says [bands, height, width], each 0..1."""
    if name == "probabilities":
        return probabilities
    if name == "confidence":
        return probabilities.amax(dim=0)[None]
    if name == "margin":
        highest = probabilities.topk(min(2, len(probabilities)), dim=0).values
        return highest[:1] - highest[1:] if len(highest) > 1 else highest
    of_chance = math.log(max(2, len(probabilities)))
    entropy: Tensor = torch.special.entr(probabilities).sum(dim=0)[None] / of_chance
    return entropy


def layers(
    names: Sequence[LayerName],
    scheme: ClassScheme,
    *,
    precise: bool = False,
) -> tuple[Layer, ...]:
    """The layers of these names, in the order of `LAYERS`.

    * classes: the code of the most probable class.
    * confidence: its probability.
    * entropy: of the probabilities, over that of chance alone: 0 sure, 1 wholly unsure.
    * margin: the probability of the first class less that of the second.
    * probabilities: of every class, a band each.

    Args:
        names: which.
        scheme: the classes, in the network's order.
        precise: store probabilities as float32, not in 254 steps.
    """
    code = Bands(("class",), "uint8", NODATA, scheme=scheme)
    known = {
        "classes": code,
        "confidence": _in_steps("probability of the predicted class"),
        "entropy": _in_steps("entropy of the probabilities over that of chance"),
        "margin": _in_steps("probability of the first class less that of the second"),
        "probabilities": (
            Bands(scheme.names, "float32", math.nan) if precise else _in_steps(*scheme.names)
        ),
    }
    return tuple(Layer(name, known[name]) for name in LAYERS if name in names)


def _in_steps(*descriptions: str) -> Bands:
    return Bands(descriptions, "uint8", NODATA, scale=1 / CONFIDENCE_STEPS)


def check_finite(probabilities: Tensor, valid: NDArray[np.bool_], *, where: Location) -> None:
    """Make sure that a network's probabilities are numbers.

    Raises:
        DataError: where they are not.
    """
    finite = torch.isfinite(probabilities).all(dim=0).cpu().numpy()
    if not finite[valid].all():
        raise DataError(
            f"{where}: the network's probabilities are not finite; its training has diverged, "
            f"so predict with an earlier checkpoint"
        )
