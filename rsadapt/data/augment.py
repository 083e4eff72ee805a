"""Augmentation of images of any number of bands, through albumentations."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network

import albumentations

Augmentation = Literal[
    "dihedral",
    "flip",
    "rotate",
    "scale",
    "brightness",
    "contrast",
    "band_scale",
    "noise",
    "blur",
]

OUTSIDE = 255
"""What masks hold where a turned image does not reach: invalid, and unlabelled."""


@dataclass(frozen=True)
class Strengths:
    """How far augmentations go at most; how far each goes is drawn evenly.

    Attributes:
        rotate: degrees to either side.
        scale: factor by which images are magnified or shrunk, at least 1.
        brightness: added, in standard deviations of a band.
        contrast: 0.3 multiplies by 1 / 1.3 to 1.3.
        band_scale: the same, for each band.
        noise: standard deviation, in those of a band.
        blur: standard deviation of the Gaussian, pixels.
    """

    rotate: float = 180.0
    scale: float = 1.25
    brightness: float = 0.3
    contrast: float = 0.3
    band_scale: float = 0.2
    noise: float = 0.1
    blur: float = 1.0


class Augmenter:
    """A pipeline of named augmentations whose result depends on its input and a seed only.

    Those that move pixels, labels and validity with them:

    * "dihedral": one of the eight flips and quarter turns of a square.
    * "flip": left and right change places in half of the samples, as scenes with an up and a down
      bear it.
    * "rotate": about the centre, by any angle.
    * "scale": magnified or shrunk about the centre.

    Bilinear in images and nearest in labels and validity. What comes from outside of the image is
    invalid and unlabelled.

    Those that change standardised values:

    * "brightness": the same is added to all bands.
    * "contrast": values move from or to the mean of the image's valid pixels, all bands alike.
    * "band_scale": each band is multiplied by a factor of its own, so that colours change.
    * "noise": independent and Gaussian, in every pixel and band.
    * "blur": Gaussian, among valid pixels.

    (A gamma needs values from 0 to 1, which standardised ones are not.) Invalid pixels stay 0 and
    are mixed into no other.

    A window of 256 x 256 pixels and 4 bands takes these milliseconds of a slow core: dihedral 0.9,
    flip 0.5, rotate 1.7, scale 1.5, brightness 1.3, contrast 1.6, band_scale 1.2, noise 3.6, blur
    3.4, of which calling albumentations is 0.1 (benchmarks/feeding.py).

    Args:
        names: which augmentations, in order.
        strengths: how far they go.
    """

    def __init__(self, names: Sequence[Augmentation], strengths: Strengths | None = None) -> None:
        most = strengths or Strengths()
        steps: dict[Augmentation, Callable[[], Any]] = {
            "dihedral": lambda: albumentations.D4(p=1),
            "flip": lambda: albumentations.HorizontalFlip(p=0.5),
            "rotate": lambda: _Warp(rotate=(-most.rotate, most.rotate), fill_mask=OUTSIDE, p=1),
            "scale": lambda: _Warp(
                scale=(1 / most.scale, most.scale),
                keep_ratio=True,
                balanced_scale=True,
                fill_mask=OUTSIDE,
                p=1,
            ),
            "brightness": lambda: _Brightness(most.brightness),
            "contrast": lambda: _Contrast(most.contrast),
            "band_scale": lambda: _BandScale(most.band_scale),
            "noise": lambda: _Noise(most.noise),
            "blur": lambda: _Blur(most.blur),
        }
        self.pipeline = albumentations.Compose([steps[name]() for name in names])

    def __call__(
        self,
        image: NDArray[np.float32],
        valid: NDArray[np.bool_],
        label: NDArray[np.int64] | None,
        *,
        seed: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64] | None]:
        """Augment one sample.

        Args:
            image: float32 [bands, height, width], 0 where invalid.
            valid: bool [height, width].
            label: int64 [height, width] or None.
            seed: decides every random choice.

        Returns:
            Image, validity and label of the same kinds; height and width may have changed places.
        """
        self.pipeline.set_random_seed(seed)
        masks = [(~valid).astype(np.uint8)] + ([] if label is None else [label.astype(np.uint8)])
        out: dict[str, Any] = self.pipeline(image=np.moveaxis(image, 0, -1), masks=masks)
        new_valid = out["masks"][0] == 0
        new_image = np.ascontiguousarray(np.moveaxis(out["image"], -1, 0), dtype=np.float32)
        new_label = None if label is None else out["masks"][1].astype(np.int64)
        return new_image * new_valid, new_valid, new_label


class _Warp(albumentations.Affine):  # type: ignore[misc]
    """albumentations' affine warp, bilinear among valid pixels alone.

    Values are weighted by their validity, and the sum is divided by that of the weights.
    """

    @property
    def targets_as_params(self) -> list[str]:
        """What `get_params_dependent_on_data` needs."""
        return ["masks"]

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the matrix, and warp the validity by it."""
        drawn = super().get_params_dependent_on_data(params, data)
        valid = _valid(data).astype(np.float32)
        weight = super().apply(valid, drawn["matrix"], drawn["output_shape"])
        return {**drawn, "weight": weight.reshape(*weight.shape[:2], 1)}

    def apply(
        self,
        img: NDArray[np.float32],
        matrix: NDArray[np.float64],
        output_shape: tuple[int, int],
        weight: NDArray[np.float32],
        **_params: Any,
    ) -> NDArray[np.float32]:
        """Warp an image [height, width, bands], 0 where invalid."""
        warped: NDArray[np.float32] = super().apply(img, matrix, output_shape)
        # The nearest pixel weighs a quarter or more, so that what is valid is divided by no less.
        return np.asarray(warped / np.maximum(weight, 1e-3), np.float32)


class _OfValues(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """A change of standardised values; albumentations' own cut floats off at 0 and 1.

    Bands are worked on as planes, as they lie in memory: with the bands last, as albumentations
    passes them, contrast took 2.4 ms where it takes 1.6.
    """

    def __init__(self, strength: float) -> None:
        super().__init__(p=1)
        self.strength = strength

    @property
    def targets_as_params(self) -> list[str]:
        """What `get_params_dependent_on_data` needs."""
        return ["masks"]

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Find the validity [height, width]."""
        return {"valid": _valid(data)[:, :, 0]}

    def apply(
        self, img: NDArray[np.float32], valid: NDArray[np.bool_], **_params: Any
    ) -> NDArray[np.float32]:
        """Change an image [height, width, bands]; invalid pixels stay 0."""
        planes = np.ascontiguousarray(np.moveaxis(img, -1, 0))
        changed = np.where(valid, self.changed(planes, valid), np.float32(0))
        return np.moveaxis(changed, 0, -1)

    def changed(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The image [bands, height, width], whatever its invalid pixels come to."""
        raise NotImplementedError

    def factors(self, count: int) -> NDArray[np.float32]:
        """Factors from 1 / (1 + strength) to 1 + strength, as often below 1 as above."""
        most = math.log1p(self.strength)
        drawn: NDArray[np.float64] = self.random_generator.uniform(-most, most, count)
        return np.exp(drawn).astype(np.float32)


class _Brightness(_OfValues):
    def changed(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        shift: float = self.random_generator.uniform(-self.strength, self.strength)
        return image + np.float32(shift)


class _Contrast(_OfValues):
    def changed(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        factor, total = self.factors(1), image.sum(axis=(1, 2), dtype=np.float64)
        mean: NDArray[np.float32] = (total / max(1, np.count_nonzero(valid))).astype(np.float32)
        middle = mean[:, np.newaxis, np.newaxis]
        return middle + factor * (image - middle)


class _BandScale(_OfValues):
    def changed(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        return image * self.factors(len(image))[:, np.newaxis, np.newaxis]


class _Noise(_OfValues):
    def changed(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        bands, height, width = image.shape
        spread = np.float32(self.random_generator.uniform(0, self.strength))
        noise: NDArray[np.float32] = self.random_generator.standard_normal(
            (height, width, bands), np.float32
        )
        return image + spread * np.moveaxis(noise, -1, 0)


class _Blur(_OfValues):
    """Normalised convolution (Knutsson and Westin 1993): values and weights alike, then divided."""

    def changed(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        spread = max(1e-3, self.random_generator.uniform(0, self.strength))
        steps = np.arange(-math.ceil(3 * spread), math.ceil(3 * spread) + 1)
        taps = np.exp(-0.5 * (steps / spread) ** 2).astype(np.float32)
        weight = np.where(valid, _convolved(valid.astype(np.float32), taps), 1)
        return np.stack([_convolved(band, taps) / weight for band in image])


def _convolved(band: NDArray[np.float32], taps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convolve a band [height, width] down and along, with zeros beyond the border."""
    for axis in (0, 1):
        band = _along(band, taps, axis)
    return band


def _along(band: NDArray[np.float32], taps: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    reach, length = len(taps) // 2, band.shape[axis]
    padded = np.pad(band, [(reach, reach) if number == axis else (0, 0) for number in range(2)])
    total, weighted = np.zeros_like(band), np.empty_like(band)
    for start, tap in enumerate(taps):
        part = slice(start, start + length)
        total += np.multiply(padded[part] if axis == 0 else padded[:, part], tap, out=weighted)
    return total


def _valid(data: dict[str, Any]) -> NDArray[np.bool_]:
    """The validity that stands first among the masks, bool [height, width, 1]."""
    invalid: NDArray[np.uint8] = data["masks"][0]
    return np.asarray(invalid == 0).reshape(*invalid.shape[:2], 1)
