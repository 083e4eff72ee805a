"""Random fields: filtered noise, blur and hashes that depend on a seed and a purpose only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def noise_field(rng: np.random.Generator, size: int, *, wavelength: float, slope: float) -> Floats:
    """Return filtered Gaussian noise of mean 0 and standard deviation 1.

    Amplitudes are flat down to the wavelength (in pixels) and fall beyond it with frequency to the
    power of minus `slope`; lower frequencies than a quarter of it are damped, so that scenes of any
    size hold their share of highs and lows.
    """
    white = rng.standard_normal((size, size), dtype=np.float32)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    relative = (frequency * wavelength).astype(np.float32)
    amplitude = 1 / (1 + relative**2) ** ((slope + 1) / 2)
    amplitude *= 1 - np.exp(-((4 * relative) ** 2))
    field = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(size, size)).astype(np.float32)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def blur(band: Floats, deviation: float) -> Floats:
    """Convolve with a Gaussian of a standard deviation in pixels, edges wrapped around."""
    rows, cols = band.shape
    square = np.fft.fftfreq(rows)[:, None] ** 2 + np.fft.rfftfreq(cols)[None, :] ** 2
    transfer = np.exp(-2 * (np.pi * deviation) ** 2 * square)
    return np.fft.irfft2(np.fft.rfft2(band) * transfer, s=band.shape).astype(np.float32)


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return the generator of one purpose; purposes do not disturb each other."""
    return np.random.default_rng(np.random.SeedSequence([seed, *purpose.encode()]))


def hash_keys(salt: int, *keys: NDArray[Any]) -> NDArray[np.uint32]:
    """Mix integers to 32 random-looking bits (the finaliser of MurmurHash3, Appleby 2011)."""
    mixed = np.full(keys[0].shape, salt & 0xFFFFFFFF, np.uint32)
    for key in keys:
        mixed ^= key.astype(np.uint32)
        mixed ^= mixed >> np.uint32(16)
        mixed *= np.uint32(0x85EBCA6B)
        mixed ^= mixed >> np.uint32(13)
        mixed *= np.uint32(0xC2B2AE35)
        mixed ^= mixed >> np.uint32(16)
    return mixed


def hashed(salt: int, *keys: NDArray[Any]) -> Floats:
    """Return `hash_keys` as numbers in [0, 1)."""
    return (hash_keys(salt, *keys) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
