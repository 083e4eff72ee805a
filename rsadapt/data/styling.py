"""Samples of the source in the look of the target, which its training part shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.data.stream import SampleSource
from rsadapt.data.style import Change, Image, Pixels, Transform, Valid, changed, valid_pixels
from rsadapt.geo.normalise import Normaliser

POOLED = 64
"""Samples of a domain that stand for all of it."""
POOLED_PIXELS = 2**14
"""Valid pixels taken of each, at most."""

Restyle = Callable[[Image, Valid, int], Image]
"""From an image, its validity and its sample's number to the image in another look."""


@dataclass(frozen=True)
class LikeSample:
    """Gives sample g of one domain the look of sample g of another.

    Which that is, is a function of the other's seed and g, as all of sample g is.
    """

    looks: SampleSource
    transform: Transform

    def __call__(self, image: Image, valid: Valid, number: int) -> Image:
        """Change an image."""
        look = self.looks[number]
        return self.transform(image, valid, look.image.numpy(), look.valid.numpy())


@dataclass(frozen=True)
class LikeDomain:
    """Changes all samples alike, by what takes one domain's pixels to another's."""

    change: Change

    def __call__(self, image: Image, valid: Valid, number: int) -> Image:
        """Change an image."""
        return changed(image, valid, self.change)


@dataclass(frozen=True)
class OfSome:
    """Changes a share of the samples and leaves the others as they are.

    Which those are, is a function of `seed` and their number.
    """

    restyle: Restyle
    share: float
    seed: int

    def __call__(self, image: Image, valid: Valid, number: int) -> Image:
        """Change an image, or do not."""
        drawn = np.random.default_rng([self.seed, number]).random() < self.share
        return self.restyle(image, valid, number) if drawn else image


def pool(samples: SampleSource) -> Pixels:
    """Valid pixels of a domain's first samples, spread over each: float64 [bands, pixels]."""
    parts = []
    for number in range(POOLED):
        sample = samples[number]
        pixels = valid_pixels(sample.image.numpy(), sample.valid.numpy())
        parts.append(pixels[:, :: -(-pixels.shape[1] // POOLED_PIXELS)])
    return np.concatenate(parts, axis=1)


def in_units(values: NDArray[Any], ours: Normaliser, theirs: Normaliser) -> NDArray[Any]:
    """Values [bands, ...] of one domain's files in the other's units, by their normalisers."""
    if ours == theirs:
        return values
    precise = np.result_type(values.dtype, np.float32)
    shape = (-1, *[1] * (values.ndim - 1))
    mean, std, their_mean, their_std = (
        np.asarray(numbers, precise).reshape(shape)
        for each in (ours, theirs)
        for numbers in (each.mean, each.std)
    )
    return np.asarray((values - mean) * (their_std / std) + their_mean)


class Styling:
    """Gives images of the source the look of the target; its labels are nowhere in sight.

    It works on values as files hold them, before images are standardised and augmented: after
    that, noise or blur would be matched away, and a turned window's empty corners would count.

    Two regions may hold other units, such as reflectance times 10000 beside numbers of 11 bits. So
    an image is first brought to the target's, by the factor and offset between the domains'
    normalisers, which do nothing where one standardises both. Histograms and band-wise moments do
    not heed that; without it, though, a Fourier window would take the target's low frequencies in
    one unit and leave the source's high ones in another.

    What comes out is a target image, as far as values go, and so is standardised as target images
    are (`normalise`), in training, evaluation and prediction alike. The source's normaliser would
    put a value that both domains share at two places, and undo what was won.

    Args:
        restyle: gives an image in the target's units the target's look.
        source: how the source's images are standardised.
        target: how the target's are.
    """

    def __init__(self, restyle: Restyle, *, source: Normaliser, target: Normaliser) -> None:
        self.restyle, self.source, self.normalise = restyle, source, target

    def __call__(self, values: NDArray[Any], valid: Valid, number: int) -> Image:
        """Change an image.

        Args:
            values: of the source's sample, [bands, height, width], any real type.
            valid: bool [height, width].
            number: of the sample.

        Returns:
            The image in the target's units, whatever its invalid pixels come to.

        Raises:
            DataError, MissingFileError: as the target's samples do.
        """
        return self.restyle(in_units(values, self.source, self.normalise), valid, number)
