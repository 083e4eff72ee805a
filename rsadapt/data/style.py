"""Images made to look like others: histogram matching, Reinhard's transfer, Fourier adaptation.

The first two find a change of single pixels (`fit_...`, of valid pixels of both), which `match`
makes in an image; the third (`match_spectrum`) works on whole images.

Either takes an image and another whose look it is to have, [bands, height, width] of any real type,
any number of bands and any two sizes, with the validity of both, bool [height, width], and returns
an image of the first's size in the second's units: float64 for float64 and integers of 32 bits or
more, else float32. Invalid pixels are looked at nowhere and come back as they were; where either
image has no valid pixel, so does all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import ShapeError

Image = NDArray[Any]
Valid = NDArray[np.bool_]
Pixels = NDArray[Any]
"""Values [bands, pixels] without place."""

Curve = tuple[NDArray[Any], NDArray[np.float64]]
"""Rising values of a band, and what belongs to each."""

Change = Callable[[Pixels], Pixels]
Fit = Callable[[Pixels, Pixels], Change]
"""From pixels and those of the look, float64, the change of any that takes the ones to the others.
"""

Transform = Callable[[Image, Valid, Image, Valid], Image]
"""From an image and its validity, and those of the look, to the image in that look."""

SMALLEST = 1e-10
"""Share of the greatest variance below which a direction of colour space is taken for constant."""


def fit_histogram(pixels: Pixels, looks: Pixels) -> Change:
    """What gives each band the other's distribution of values.

    A value goes to that of the look which has the same share of pixels below it, pixels of the very
    value counting half; between known values it is interpolated, beyond them it stops. So equal
    values stay equal, a constant band goes to the look's median, and what is matched to itself
    stays what it is.
    """
    return partial(_bend, [_curve(*both) for both in zip(pixels, looks, strict=True)])


def fit_moments(pixels: Pixels, looks: Pixels) -> Change:
    """What gives each band the other's mean and standard deviation.

    Reinhard et al. 2001, "Color transfer between images", equations 10 and 11, on the bands as they
    are: its colour space holds for red, green and blue alone. A constant band is only shifted.
    """
    constant = np.ptp(pixels, axis=1) == 0
    scale = looks.std(1) / np.where(constant, 1, pixels.std(1))
    return _linear(np.diag(scale), pixels, looks)


def fit_covariance(pixels: Pixels, looks: Pixels) -> Change:
    """What gives all bands together the other's means and covariances, with the least movement.

    It is Reinhard's transfer for correlated bands: the linear map T = A^-1/2 (A^1/2 B A^1/2)^1/2
    A^-1/2 takes covariance A to B (Pitie and Kokaram 2007, "The linear Monge-Kantorovitch linear
    colour mapping for example-based colour transfer"). Directions in which the pixels do not vary
    are only shifted, so that a constant colour stays one.
    """
    ours, theirs = (np.cov(each, bias=True).reshape(len(each), -1) for each in (pixels, looks))
    root, inverse = _powers(ours)
    middle, _ = _powers(root @ theirs @ root)
    return _linear(inverse @ middle @ inverse, pixels, looks)


def match(image: Image, valid: Valid, look: Image, look_valid: Valid, *, fit: Fit) -> Image:
    """Change an image by what fits its pixels to those of another.

    Args:
        image: to be changed.
        valid: of it.
        look: what it shall look like.
        look_valid: of that.
        fit: one of this file.

    Raises:
        ShapeError: for images of other bands, or a validity of another size.
    """
    _check(image, valid, look, look_valid)
    if not valid.any() or not look_valid.any():
        return image.astype(_precise(image))
    return changed(image, valid, fit(valid_pixels(image, valid), valid_pixels(look, look_valid)))


def changed(image: Image, valid: Valid, change: Change) -> Image:
    """An image whose valid pixels are changed, each by itself, computed in float64."""
    out = image.astype(_precise(image))
    for band, values in zip(out, change(valid_pixels(image, valid)), strict=True):
        band[valid] = values  # in all bands at once it takes three times as long
    return out


def valid_pixels(image: Image, valid: Valid) -> Pixels:
    """The valid pixels of an image: float64 [bands, pixels]."""
    return np.stack([band[valid] for band in image]).astype(np.float64)


def match_spectrum(
    image: Image, valid: Valid, look: Image, look_valid: Valid, *, beta: float
) -> Image:
    """Give each band the other's amplitudes at low frequencies, and leave all phases.

    Fourier domain adaptation (Yang and Soatto 2020, equations 1 to 3). Low are the frequencies of
    at most floor(beta x shortest side of both images) cycles over the image along rows and along
    columns, either way: a window symmetric about 0, so that the result is real. It always holds
    frequency 0, the mean, which is taken with its sign; by itself that shifts each band to the
    other's mean. Amplitudes count by pixel, so that images of two sizes go together.

    Invalid pixels take part as the mean of the valid ones of their band.

    Args:
        image: to be changed.
        valid: of it.
        look: whose amplitudes to take.
        look_valid: of that.
        beta: from 0, the mean alone, to below 0.5.

    Raises:
        ShapeError: for images of other bands, or a validity of another size.
        ValueError: for another beta.
    """
    if not 0 <= beta < 0.5:
        raise ValueError(f"expected a beta from 0 to below 0.5, found {beta}")
    _check(image, valid, look, look_valid)
    out = image.astype(_precise(image))
    if not valid.any() or not look_valid.any():
        return out
    reach = int(min(image.shape[1:] + look.shape[1:]) * beta)
    low = np.ix_(np.arange(-reach, reach + 1), np.arange(reach + 1))  # the other half mirrors it
    for band, other in zip(out, look, strict=True):
        ours, theirs = (
            np.fft.rfft2(_filled(*each), norm="forward")
            for each in ((band, valid), (other, look_valid))
        )
        ours[low] = np.abs(theirs[low]) * np.exp(1j * np.angle(ours[low]))
        ours[0, 0] = theirs[0, 0]
        band[valid] = np.fft.irfft2(ours, s=band.shape, norm="forward")[valid]
    return out


def _shares_below(values: Pixels) -> Curve:
    """The values that there are, and the share of pixels below each, its own counting half."""
    known, counts = np.unique(values, return_counts=True)
    return known, np.asarray((np.cumsum(counts) - counts / 2) / values.size)


def _curve(values: Pixels, looks: Pixels) -> Curve:
    """A band's values, and where each goes."""
    (known, shares), (theirs, their_shares) = _shares_below(values), _shares_below(looks)
    return known, np.interp(shares, their_shares, theirs)


def _bend(curves: Sequence[Curve], values: Pixels) -> Pixels:
    return np.stack([np.interp(band, *c) for band, c in zip(values, curves, strict=True)])


def _linear(matrix: NDArray[Any], pixels: Pixels, looks: Pixels) -> Change:
    """The linear change about the means of both."""
    return partial(_map, matrix, pixels.mean(1, keepdims=True), looks.mean(1, keepdims=True))


def _map(matrix: NDArray[Any], middle: NDArray[Any], goal: NDArray[Any], values: Pixels) -> Pixels:
    return np.asarray(matrix @ (values - middle) + goal)


def _powers(covariance: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The square root of a covariance, and the inverse of that where it varies at all."""
    values, vectors = np.linalg.eigh(covariance)
    varies = values > SMALLEST * max(values[-1], 0)
    roots = np.sqrt(np.where(varies, values, 0))
    inverses = np.divide(1, roots, out=np.zeros_like(roots), where=varies)
    return (vectors * roots) @ vectors.T, (vectors * inverses) @ vectors.T


def _filled(band: NDArray[Any], valid: Valid) -> NDArray[Any]:
    """A band in float64 whose invalid pixels have the mean of the valid ones."""
    return np.where(valid, band, band[valid].mean(dtype=np.float64)).astype(np.float64)


def _precise(image: Image) -> np.dtype[Any]:
    return np.result_type(image.dtype, np.float32)


def _check(image: Image, valid: Valid, look: Image, look_valid: Valid) -> None:
    fits = [
        each.ndim == 3 and each.shape[1:] == mask.shape
        for each, mask in ((image, valid), (look, look_valid))
    ]
    if not all(fits) or len(image) != len(look):
        raise ShapeError(
            f"expected two images [bands, height, width] of as many bands, each with its validity "
            f"[height, width], found {image.shape} with {valid.shape} and {look.shape} with "
            f"{look_valid.shape}"
        )
