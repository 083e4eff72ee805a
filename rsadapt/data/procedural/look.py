"""How a season and a sensor render the land of a procedural region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.data.procedural.land import (
    BARE,
    BUILDING,
    FIELD,
    FOREST,
    GRASS,
    PIXEL_SIZE,
    ROAD,
    WATER,
    Bools,
    Scene,
)
from rsadapt.data.procedural.noise import Floats, blur, generator, noise_field

Spectrum = tuple[float, float, float, float]

# Surface reflectance in blue, green, red and near-infrared: round figures of the shape that
# spectral libraries show (USGS Spectral Library Version 7, Kokaly et al. 2017), no measurements.
_CLEAR_WATER: Spectrum = (0.050, 0.045, 0.025, 0.012)
_TURBID_WATER: Spectrum = (0.070, 0.100, 0.095, 0.040)
_LEAVES: Spectrum = (0.022, 0.048, 0.028, 0.310)
_AUTUMN_LEAVES: Spectrum = (0.035, 0.070, 0.080, 0.250)
_LUSH: Spectrum = (0.035, 0.085, 0.045, 0.440)
_STRAW: Spectrum = (0.085, 0.135, 0.185, 0.310)
_TILE_ROOF: Spectrum = (0.085, 0.110, 0.210, 0.270)
_GREY_ROOF: Spectrum = (0.150, 0.160, 0.170, 0.190)
_METAL_ROOF: Spectrum = (0.360, 0.375, 0.380, 0.390)
_ASPHALT: Spectrum = (0.095, 0.105, 0.115, 0.130)

# Path reflectance of the bands relative to blue: wavelength to the power of -2, the relative
# scattering of a clear atmosphere (Chavez 1988, doi:10.1016/0034-4257(88)90019-3), at 0.485, 0.56,
# 0.66 and 0.83 micrometres.
_HAZE: Spectrum = (1.00, 0.75, 0.54, 0.34)


@dataclass(frozen=True)
class Look:
    """How a region's season and sensor render its land: every strength of the domain gap.

    Attributes:
        crops_lush: share of the fields under a green crop.
        crops_ripe: share of the fields under a ripe crop or stubble; the others are ploughed.
        meadow_dryness: 0 for lush meadows, 1 for straw.
        leaf_colouring: 0 for summer leaves, 1 for autumn leaves.
        turbidity: 0 for clear water, 1 for water full of sediment.
        soil: reflectance of ploughed soil in the four bands; bare ground is a brighter kin of it.
        bare_brightness: reflectance of bare ground over that of soil.
        tile_roofs: share of the roofs with red tiles.
        metal_roofs: share of the roofs of bright metal; the others are grey.
        road_dust: share of the soil's colour in that of roads.
        texture_scale: size of tree crowns and crop rows, 1 for 5 and 4 pixels.
        texture_contrast: strength of crowns, rows and mottling, 1 for the plain one.
        sun_azimuth: degrees clockwise from north.
        sun_elevation: degrees above the horizon.
        skylight: share of the light that reaches shadows.
        haze: mean path reflectance added in blue; less in the other bands.
        haze_variation: relative standard deviation of the haze across the scene.
        mixing: rows are the sensor's bands, columns the spectrum's: how broad bands overlap.
        gamma: exponent of the sensor's response.
        blur: standard deviation of the point spread function in pixels.
        noise: standard deviation of the noise in units of reflectance.
        dn_scale: digital number of reflectance one.
        dn_maximum: largest digital number of the sensor.
    """

    crops_lush: float
    crops_ripe: float
    meadow_dryness: float
    leaf_colouring: float
    turbidity: float
    soil: Spectrum
    bare_brightness: float
    tile_roofs: float
    metal_roofs: float
    road_dust: float
    texture_scale: float
    texture_contrast: float
    sun_azimuth: float
    sun_elevation: float
    skylight: float
    haze: float
    haze_variation: float
    mixing: tuple[Spectrum, Spectrum, Spectrum, Spectrum]
    gamma: float
    blur: float
    noise: float
    dn_scale: float
    dn_maximum: int


def render(scene: Scene, look: Look, seed: int) -> NDArray[np.uint16]:
    """Render a scene as a sensor sees it.

    Args:
        scene: the land.
        look: season and sensor.
        seed: of textures, haze and noise.

    Returns:
        Digital numbers [4, size, size] of blue, green, red and near-infrared: 0 outside the image
        and only there.
    """
    size = scene.labels.shape[0]
    crowns = noise_field(
        generator(seed, "crowns"), size, wavelength=5.0 * look.texture_scale, slope=0.5
    )
    surface = _reflectance(scene, look, seed)
    surface *= _light(scene, look, crowns)
    haze = noise_field(generator(seed, "haze"), size, wavelength=300.0, slope=2.5)
    veil = look.haze * np.clip(1 + look.haze_variation * haze, 0.1, None)
    at_sensor = surface * (1 - veil) + np.multiply.outer(np.array(_HAZE, np.float32), veil)
    mixed = np.einsum("bs,sij->bij", np.array(look.mixing, np.float32), at_sensor)
    blurred = np.stack([blur(band, look.blur) for band in mixed])
    noise = generator(seed, "noise").standard_normal(blurred.shape, dtype=np.float32)
    response = np.clip(blurred + look.noise * noise, 0, None) ** look.gamma
    numbers = np.clip(np.rint(look.dn_scale * response), 1, look.dn_maximum)
    return np.where(scene.valid, numbers, 0).astype(np.uint16)


Curve = tuple[float, float]
"""The exponent of a band's curve, and the digital number to which it takes the number 10000."""


def bend(numbers: NDArray[np.uint16], curves: Sequence[Curve]) -> NDArray[np.uint16]:
    """Bend digital numbers, each band by an increasing curve: what a sensor's response would do.

    Args:
        numbers: [bands, height, width], 0 outside the image.
        curves: one a band.

    Returns:
        Digital numbers of the same kind.
    """
    exponents, tops = (np.array(part)[:, None, None] for part in zip(*curves, strict=True))
    bent = np.clip(np.rint(tops * (numbers / 10000) ** exponents), 1, 65535)
    return np.where(numbers == 0, 0, bent).astype(np.uint16)


@dataclass(frozen=True)
class _Cover:
    """How a class reflects: a blend of two spectra; each part a number or an image.

    Attributes:
        first: reflectance [4] or [4, size, size].
        second: the same.
        share: of the second spectrum, clipped to 0..1.
        brightness: factor of the blend.
    """

    first: NDArray[Any]
    second: NDArray[Any]
    share: NDArray[Any] | float
    brightness: NDArray[Any] | float


def _reflectance(scene: Scene, look: Look, seed: int) -> Floats:
    """Return surface reflectance [4, size, size] before light and sensor."""
    shape = scene.labels.shape
    surface = np.full((4, *shape), 0.1, np.float32)
    for label, cover in _covers(scene, look, seed).items():
        where = scene.labels == label
        share = np.clip(np.broadcast_to(cover.share, shape)[where], 0, 1)
        brightness = np.clip(np.broadcast_to(cover.brightness, shape)[where], 0.3, 2.0)
        for band in range(4):
            first = np.broadcast_to(cover.first[band], shape)[where]
            second = np.broadcast_to(cover.second[band], shape)[where]
            surface[band][where] = (first + share * (second - first)) * brightness
    return surface


def _covers(scene: Scene, look: Look, seed: int) -> dict[int, _Cover]:
    """Return how each class reflects in the season of the look."""
    size = scene.labels.shape[0]
    scale, contrast = look.texture_scale, look.texture_contrast
    mottle = contrast * noise_field(generator(seed, "mottle"), size, wavelength=18 * scale, slope=1)
    grain = contrast * noise_field(generator(seed, "grain"), size, wavelength=4 * scale, slope=0.3)
    patches = noise_field(generator(seed, "patches"), size, wavelength=120, slope=1.5)
    period = (3.5 + 1.5 * scene.tone) * scale
    rows = contrast * np.sin(2 * np.pi * scene.across / period)

    soil = np.array(look.soil)
    lush, straw = np.array(_LUSH), np.array(_STRAW)
    ploughed = scene.parcel >= look.crops_lush + look.crops_ripe
    tiles = scene.parcel < look.tile_roofs
    return {
        WATER: _Cover(
            first=np.array(_CLEAR_WATER),
            second=np.array(_TURBID_WATER),
            share=look.turbidity + 0.10 * patches,
            brightness=1 + 0.02 * grain,
        ),
        FOREST: _Cover(
            first=np.array(_LEAVES),
            second=np.array(_AUTUMN_LEAVES),
            share=look.leaf_colouring * (1 + 0.5 * patches + 0.3 * grain),
            brightness=1 + 0.10 * mottle,
        ),
        FIELD: _Cover(
            first=lush,
            second=_choose(ploughed, soil, straw),
            share=np.where(scene.parcel < look.crops_lush, 0.05, 0.95)
            + 0.10 * rows
            + 0.06 * mottle,
            brightness=(0.85 + 0.30 * scene.tone) * (1 + 0.07 * rows + 0.03 * grain),
        ),
        # Even a lush meadow is less dense than a crop and holds some straw.
        GRASS: _Cover(
            first=0.8 * lush,
            second=0.9 * straw,
            share=0.16 + look.meadow_dryness + 0.13 * mottle + 0.10 * patches,
            brightness=(0.92 + 0.16 * scene.tone) * (1 + 0.05 * grain),
        ),
        BARE: _Cover(
            first=look.bare_brightness * soil,
            second=0.8 * soil + 0.05,
            share=0.30 + 0.25 * mottle,
            brightness=1 + 0.06 * grain,
        ),
        BUILDING: _Cover(
            first=_choose(tiles, np.array(_TILE_ROOF), np.array(_GREY_ROOF)),
            second=np.array(_METAL_ROOF),
            share=np.where(scene.parcel >= 1 - look.metal_roofs, 1.0, 0.0),
            brightness=0.75 + 0.5 * scene.tone,
        ),
        ROAD: _Cover(
            first=np.array(_ASPHALT),
            second=1.4 * soil,
            share=look.road_dust + 0.05 * patches,
            brightness=1 + 0.04 * grain,
        ),
    }


def _choose(where: Bools, yes: NDArray[Any], no: NDArray[Any]) -> NDArray[Any]:
    """Return one spectrum where a mask holds and another elsewhere, [4, size, size]."""
    return np.where(where, yes[:, None, None], no[:, None, None])


def _light(scene: Scene, look: Look, crowns: Floats) -> Floats:
    """Return the light on the surface over that on level ground, one figure a band."""
    azimuth = np.radians(look.sun_azimuth)
    slope_of_sun = np.tan(np.radians(look.sun_elevation))
    towards = (-np.cos(azimuth), np.sin(azimuth))
    forest = scene.labels == FOREST
    canopy = np.where(forest, 12.0 + 1.8 * look.texture_contrast * look.texture_scale * crowns, 0)
    above = (scene.height + canopy).astype(np.float32)
    ground_row, ground_col = np.gradient(scene.elevation + np.where(forest, canopy, 0))
    rise = (ground_row * towards[0] + ground_col * towards[1]) / PIXEL_SIZE
    direct = np.clip(1 - rise / slope_of_sun, 0.1, 1.8).astype(np.float32)
    shadow = np.zeros(above.shape, bool)
    for step in range(1, 1 + int(np.ceil(above.max() / (PIXEL_SIZE * slope_of_sun)))):
        shift = (-round(step * towards[0]), -round(step * towards[1]))
        blocked = np.roll(above, shift, axis=(0, 1)) - step * PIXEL_SIZE * slope_of_sun
        shadow |= blocked > above + 0.5
    direct[shadow] = 0
    sky = look.skylight * np.array((1.15, 1.0, 0.9, 0.8), np.float32)[:, None, None]
    return np.asarray(sky + (1 - sky) * direct, np.float32)
