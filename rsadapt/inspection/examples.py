"""Example windows of a region, as training draws them, in natural colours, with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsadapt import report
from rsadapt.classes import ClassScheme
from rsadapt.data.geotiff import RandomWindows
from rsadapt.data.region import Region
from rsadapt.geo.normalise import Normaliser
from rsadapt.inspection.facts import BandFacts

COUNT = 4
"""Windows of each region."""

SEED = 0
"""Of the draw: the same windows every time."""

RED_GREEN_BLUE = ("red", "green", "blue")


@dataclass(frozen=True)
class Example:
    """One window.

    Attributes:
        name: of its scene, with its place.
        picture: uint8 [height, width, 3].
        label: its classes painted, uint8 [height, width, 3], or None without labels.
    """

    name: str
    picture: NDArray[np.uint8]
    label: NDArray[np.uint8] | None


def draw_examples(
    region: Region, scheme: ClassScheme, bands: tuple[BandFacts, ...], *, size: int
) -> list[Example]:
    """Draw windows of a region's part to train on; all get one stretch, so that they compare.

    Args:
        region: labelled or not.
        scheme: the class table of its labels.
        bands: the facts about its bands.
        size: height and width of a window in pixels, which the region can hold.

    Raises:
        DataError: where draws meet no valid pixel.
    """
    unchanged = Normaliser((0.0,) * len(bands), (1.0,) * len(bands))
    windows = RandomWindows(
        region,
        size=size,
        seed=SEED,
        normalise=unchanged,
        scheme=scheme if region.labelled else None,
    )
    samples = [windows[number] for number in range(COUNT)]
    side_by_side = np.concatenate([sample.image.numpy() for sample in samples], axis=2)
    valid = np.concatenate([sample.valid.numpy() for sample in samples], axis=1)
    pictures = report.natural_colours(side_by_side, valid, bands=shown_bands(bands))
    return [
        Example(
            sample.name,
            np.ascontiguousarray(pictures[:, number * size : (number + 1) * size]),
            None if sample.label is None else scheme.paint(sample.label.numpy().astype(np.uint8)),
        )
        for number, sample in enumerate(samples)
    ]


def shown_bands(bands: tuple[BandFacts, ...]) -> tuple[int, int, int]:
    """Positions of what a screen shows as red, green and blue.

    By the bands' names or the colours that files tell, else the first three; the first for all
    where there are fewer.
    """
    for names in ([band.name.casefold() for band in bands], [band.colour for band in bands]):
        if set(RED_GREEN_BLUE) <= set(names):
            red, green, blue = (names.index(colour) for colour in RED_GREEN_BLUE)
            return red, green, blue
    return (0, 1, 2) if len(bands) > 2 else (0, 0, 0)
