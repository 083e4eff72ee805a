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
from rsadapt.geo.room import room

LayerName = Literal["classes", "confidence", "entropy", "margin", "probabilities", "translated"]
LAYERS: tuple[LayerName, ...] = get_args(LayerName)[:-1]
"""What a map can say; what a translator makes of a scene is no map, see `infer.translated`."""


@dataclass(frozen=True)
class Layer:
    """A raster that is written of a scene.

    Attributes:
        name: what it says of each pixel.
        bands: how that is stored.
    """

    name: LayerName
    bands: Bands

    def file(self, scene: str) -> str:
        """The name of its file, of a scene's name without suffix."""
        return f"{scene}_{self.name}.tif"

    def of(self, probabilities: Tensor) -> Tensor:
        """The stored values [bands, height, width] of some pixels, valid or not.

        Args:
            probabilities: float32 [classes, height, width], on any device.
        """
        if self.bands.scheme is not None:
            return _most_probable(self.bands.scheme.codes, probabilities)[None]
        if self.name == "probabilities" and self.bands.dtype == "float32":
            return probabilities
        return (
            (_shares(self.name, probabilities).clamp(0, 1) * CONFIDENCE_STEPS)
            .round()
            .to(torch.uint8)
        )


def _most_probable(codes: Sequence[int], probabilities: Tensor) -> Tensor:
    """The code of the most probable class of each pixel, the first of equals; uint8 [h, w].

    Class by class, in arithmetic that vectorises: on the CPU `argmax` over the first axis takes 15
    times as long with 19 classes and 38 times with 6, and filling by a mask 4 times.
    """
    found = torch.full_like(probabilities[0], codes[0], dtype=torch.uint8)
    highest = probabilities[0].clone()
    for code, share in zip(codes[1:], probabilities[1:], strict=True):
        higher = (share > highest).view(torch.uint8)
        found.mul_(1 - higher).add_(higher, alpha=code)
        torch.maximum(highest, share, out=highest)
    return found


def _margin(probabilities: Tensor) -> Tensor:
    """The highest less the second, or less nothing; [h, w]. `topk` takes 6 times as long."""
    highest, second = probabilities[0], torch.zeros_like(probabilities[0])
    for share in probabilities[1:]:
        second = torch.maximum(second, torch.minimum(highest, share))
        highest = torch.maximum(highest, share)
    return highest - second


def _shares(name: LayerName, probabilities: Tensor) -> Tensor:
    """What a layer says [bands, height, width], each 0..1."""
    if name == "probabilities":
        return probabilities
    if name == "confidence":
        return probabilities.amax(dim=0)[None]
    if name == "margin":
        return _margin(probabilities)[None]
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


class LayerRows:
    """Room for rows of layers, put together from pieces on the network's device.

    Args:
        layers: which.
        shape: (rows, columns), so many rows at most.
        device: where probabilities come from.
    """

    def __init__(
        self, layers: Sequence[Layer], shape: tuple[int, int], device: torch.device | str
    ) -> None:
        self.layers = tuple(layers)
        self._stored = [
            torch.from_numpy(room((len(layer.bands.descriptions), *shape), layer.bands.dtype)).to(
                device
            )
            for layer in layers
        ]
        self._finite = torch.from_numpy(room(shape, bool)).to(device)
        self._mapped = room(shape, bool)

    def put(self, columns: slice, probabilities: Tensor, mapped: NDArray[np.bool_]) -> None:
        """Fill columns.

        Args:
            columns: which.
            probabilities: float32 [classes, rows, columns].
            mapped: bool [rows, columns]; all else becomes nodata.
        """
        rows = slice(0, len(mapped))
        self._mapped[rows, columns] = mapped
        if not mapped.any():
            return
        for layer, stored in zip(self.layers, self._stored, strict=True):
            stored[:, rows, columns] = layer.of(probabilities)
        self._finite[rows, columns] = torch.isfinite(probabilities.sum(dim=0))  # NaN spreads

    def take(self, rows: int, *, where: Location) -> dict[str, NDArray[np.generic]]:
        """What is stored of the first rows [bands, rows, columns], by name, until more is put.

        Args:
            rows: how many, all columns of which have been put.
            where: the scene, for messages.

        Raises:
            DataError: where probabilities are no numbers.
        """
        mapped, finite = self._mapped[:rows], self._finite[:rows].cpu().numpy()
        if not finite[mapped].all():
            raise DataError(
                f"{where}: the network's probabilities are not finite; its training has diverged, "
                f"so predict with an earlier checkpoint"
            )
        found: dict[str, NDArray[np.generic]] = {}
        for layer, stored in zip(self.layers, self._stored, strict=True):
            values = stored[:, :rows].cpu().numpy()
            np.copyto(values, np.asarray(layer.bands.nodata, values.dtype), where=~mapped)
            found[layer.name] = values
        return found
