"""How weather, materials and a camera render what is seen of a procedural street."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.data.procedural.noise import Floats, blur, generator, hashed
from rsadapt.data.procedural.street_scene import Range, Street
from rsadapt.data.procedural.street_shapes import Material
from rsadapt.data.procedural.street_view import FROM_LEFT, FROM_RIGHT, TOWARDS, UPWARDS, Bools, View

RGB = tuple[float, float, float]

_TONES = 60  # a palette's length must divide it
_SHADOWS_UP_TO = 60.0  # metres ahead; farther ones are a pixel high


@dataclass(frozen=True)
class Facade:
    """How walls are built; lengths in metres.

    Attributes:
        pitch: distance of windows along the wall and up.
        window: share of the pitch that a window takes along and up.
        glass: its darkest and brightest colour, as the sky mirrors in it.
        frame: brightness of window frames over that of the wall; 1 for none.
        courses: strength of the lines between courses of brick, 0..1.
        course: height of a course; real bricks would be finer than a pixel.
        stains: strength of stains on the wall, 0..1.
    """

    pitch: tuple[float, float]
    window: tuple[float, float]
    glass: tuple[RGB, RGB]
    frame: float
    courses: float
    course: float
    stains: float


@dataclass(frozen=True)
class Sensor:
    """How a camera records light.

    Attributes:
        gain: white balance: factors of red, green and blue.
        exposure: factor of all, drawn for each frame.
        saturation: 0 for grey, 1 for true colours.
        contrast: slope of the response at middle grey; 1 for a straight one.
        gamma: exponent of the response.
        vignette: share of light that corners lose.
        blur: standard deviation of the point spread function in 1/128 of the frame's height.
        noise: standard deviation of the noise, of a range of 1.
    """

    gain: RGB
    exposure: Range
    saturation: float
    contrast: float
    gamma: float
    vignette: float
    blur: float
    noise: float


@dataclass(frozen=True)
class Look:
    """How a domain renders its streets: every strength of the gap in appearance.

    Attributes:
        palette: colours of each material; a thing's tone picks one. Lengths divide 60.
        facade: how walls are built.
        sky: colours at the zenith, at the horizon and of clouds.
        clouds: share of the sky under clouds.
        sun: share of the light that comes from the sun; none of it reaches shadows.
        sun_elevation: degrees.
        grain: strength of the grain of asphalt and pavements.
        wear: strength of stains and patches on asphalt and pavements.
        flags: length of the pavement's flags in metres.
        joints: strength of the joints between them.
        clumps: size of clumps of leaves in metres.
        foliage: contrast of leaves.
        gloss: strength of the sky's reflection on upper parts of cars.
        haze: colour of the haze.
        visibility: metres at which haze hides two thirds of the contrast.
        sensor: the camera.
    """

    palette: Mapping[Material, tuple[RGB, ...]]
    facade: Facade
    sky: tuple[RGB, RGB, RGB]
    clouds: float
    sun: float
    sun_elevation: Range
    grain: float
    wear: float
    flags: float
    joints: float
    clumps: float
    foliage: float
    gloss: float
    haze: RGB
    visibility: float
    sensor: Sensor


def paint(view: View, street: Street, look: Look, seed: int) -> NDArray[np.uint8]:
    """Render a view of a street.

    Args:
        view: what each pixel shows.
        street: for the shadows that its things throw.
        look: weather, materials and camera.
        seed: of sun, textures, clouds and noise.

    Returns:
        Red, green and blue, [height, width, 3].
    """
    rng = generator(seed, "look")
    salt = int(rng.integers(2**31))
    colour = _colours(view, look)
    _draw_windows(colour, view, look.facade, salt)
    colour *= _texture(view, look, salt)[..., None]
    colour *= _light(view, street, look, rng)[..., None]
    clear = np.exp(-view.depth / look.visibility)[..., None]
    colour = colour * clear + np.array(look.haze, np.float32) * (1 - clear)
    sky = view.material == Material.SKY
    colour[sky] = _sky(sky, look, salt)
    return _record(colour, look.sensor, rng)


def _colours(view: View, look: Look) -> Floats:
    """The colour of each pixel's material, [height, width, 3]."""
    table = np.full((len(Material), _TONES, 3), 0.5, np.float32)
    for material, colours in look.palette.items():
        table[material] = np.repeat(np.array(colours), _TONES // len(colours), axis=0)
    picked: Floats = table[view.material, (view.tone * _TONES).astype(np.intp)]
    return picked


def _draw_windows(colour: Floats, view: View, facade: Facade, salt: int) -> None:
    """Put windows into walls, each with its own share of mirrored sky."""
    wall = view.material == Material.WALL
    tone, along, up = view.tone[wall], view.along[wall], view.up[wall]
    pitch = (facade.pitch[0] * (0.8 + 0.4 * (7 * tone % 1)), facade.pitch[1])
    col, row = along / pitch[0], up / pitch[1]
    out = [
        np.abs(place % 1 - 0.5) * 2 / share
        for place, share in zip((col, row), facade.window, strict=True)
    ]
    furthest = np.maximum(out[0], out[1])
    mirrored = hashed(salt, np.floor(col).astype(np.int32), np.floor(row).astype(np.int32))
    dark, bright = (np.array(end, np.float32) for end in facade.glass)
    glass = dark + mirrored[:, None] * (bright - dark)
    painted = colour[wall]
    painted = np.where((furthest < 1.25)[:, None], painted * np.float32(facade.frame), painted)
    colour[wall] = np.where((furthest < 1)[:, None], glass, painted)


def _texture(view: View, look: Look, salt: int) -> Floats:
    """Factors of brightness that texture materials, [height, width], fading with distance."""
    factor = np.ones(view.depth.shape, np.float32)
    near = np.exp(-view.depth / 40)
    for material, strength in (
        (Material.ASPHALT, 0.0),
        (Material.PAVING, look.joints),
        (Material.LAWN, 0.0),
    ):
        where = view.material == material
        z, x = view.along[where], view.up[where]
        grain = value_noise(salt + material, 6 * z, 12 * x) - 0.5
        worn = value_noise(salt - material, 0.25 * z, 0.9 * x) - 0.5
        joint = ((z / look.flags % 1 < 0.12) | (x / look.flags % 1 < 0.12)).astype(np.float32)
        fade = near[where]
        factor[where] += fade * look.grain * grain + look.wear * worn - fade * strength * joint
    where = view.material == Material.WALL
    stains = value_noise(salt + 1, 0.5 * view.along[where], 0.35 * view.up[where]) - 0.5
    course = (view.up[where] / look.facade.course % 1 < 0.25).astype(np.float32)
    factor[where] += look.facade.stains * stains - look.facade.courses * near[where] * course
    where = view.material == Material.LEAVES
    along, up = view.along[where] / look.clumps, view.up[where] / look.clumps
    leaves = value_noise(salt + 2, along, up) + 0.6 * value_noise(salt + 3, 2.7 * along, 2.7 * up)
    factor[where] += look.foliage * (leaves - 0.8 + 0.04 * (view.up[where] - 4))
    where = (view.material == Material.PAINT) | (view.material == Material.CAR_GLASS)
    factor[where] += look.gloss * (view.up[where] - 0.7)
    return np.clip(factor, 0.15, 2.0)


def _light(view: View, street: Street, look: Look, rng: np.random.Generator) -> Floats:
    """The light on each pixel's surface over that of a sunny level place, [height, width]."""
    elevation = np.radians(rng.uniform(*look.sun_elevation))
    azimuth = rng.uniform(0.3, 0.7) * np.pi * rng.choice([-1, 1])  # from the sides, not in the view
    per_climb = 1 / np.tan(elevation)
    x, z = float(per_climb * np.sin(azimuth)), float(-per_climb * np.cos(azimuth))  # towards it
    facing = np.zeros(4, np.float32)
    facing[[UPWARDS, TOWARDS, FROM_LEFT, FROM_RIGHT]] = 1, -z, x, -x
    skylight = np.array([1.0, 0.8, 0.8, 0.8], np.float32)  # an upright wall sees half the sky
    direct = np.clip(facing, 0, 1.5)[view.facing]
    direct[_in_shadow(view, street, (x, z))] = 0
    return np.asarray((1 - look.sun) * skylight[view.facing] + look.sun * direct, np.float32)


def _in_shadow(view: View, street: Street, towards: tuple[float, float]) -> Bools:
    """Whether the line from a place on the ground to the sun meets a thing.

    A thing is taken as the box over its footprint. The line moves along x and z by `towards` for
    each metre that it climbs; it meets the box if it is within both extents of the footprint at
    once while it is below the top.
    """
    shadow = np.zeros(view.depth.shape, bool)
    ground = (view.facing == UPWARDS) & (view.depth < _SHADOWS_UP_TO)
    z, x = view.along[ground], view.up[ground]
    dark = np.zeros(x.shape, bool)
    order = [1 if step > 0 else -1 for step in towards]  # which edge the line enters by
    for thing in street.things:
        if thing.z[0] > _SHADOWS_UP_TO or thing.height == 0:
            continue
        enters_x, leaves_x = ((edge - x) / towards[0] for edge in thing.x[:: order[0]])
        enters_z, leaves_z = ((edge - z) / towards[1] for edge in thing.z[:: order[1]])
        enters = np.maximum(np.maximum(enters_x, enters_z), 0)
        dark |= (enters < np.minimum(leaves_x, leaves_z)) & (enters < thing.height)
    shadow[ground] = dark
    return shadow


def _sky(sky: Bools, look: Look, salt: int) -> Floats:
    """A sky that brightens to the horizon, with clouds, [pixels, 3] where there is sky."""
    row, col = np.nonzero(sky)
    down = (row / max(1, row.max(initial=0)))[:, None]
    zenith, horizon, cloud = (np.array(part, np.float32) for part in look.sky)
    clear = zenith + down * (horizon - zenith)
    y, x = 9 * row / len(sky), 4 * col / len(sky)
    puffs = 0.7 * value_noise(salt + 4, y, x) + 0.3 * value_noise(salt + 5, 2.6 * y, 2.6 * x)
    cover = np.clip((puffs - 0.5) * 5 + 2 * look.clouds - 0.5, 0, 1)[:, None]
    return np.asarray(clear + cover * (cloud - clear), np.float32)


def _record(light: Floats, sensor: Sensor, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn light [height, width, 3] of a range of 1 into what a camera stores."""
    height, width = light.shape[:2]
    exposure = np.float32(rng.uniform(*sensor.exposure))
    seen = light * exposure * np.array(sensor.gain, np.float32)
    grey = seen.mean(axis=2, keepdims=True)
    seen = grey + np.float32(sensor.saturation) * (seen - grey)
    row = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    col = np.linspace(-1, 1, width, dtype=np.float32)
    seen *= (1 - sensor.vignette * (row**2 + col**2) / 2)[..., None]
    if sensor.blur > 0:
        spread = sensor.blur * height / 128
        seen = np.stack([blur(band, spread) for band in np.moveaxis(seen, 2, 0)], axis=2)
    seen = np.clip(seen, 0, None) ** np.float32(sensor.gamma)
    seen = 0.5 + np.float32(sensor.contrast) * (seen - 0.5)
    if sensor.noise > 0:
        seen += np.float32(sensor.noise) * rng.standard_normal(seen.shape, dtype=np.float32)
    stored: NDArray[np.uint8] = np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8)
    return stored


def value_noise(salt: int, x: NDArray[Any], y: NDArray[Any]) -> Floats:
    """Smooth noise in [0, 1): random numbers at whole places, blended between them."""
    left, below = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    u, v = (x - left).astype(np.float32), (y - below).astype(np.float32)
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    corners = [[hashed(salt, left + i, below + j) for i in (0, 1)] for j in (0, 1)]
    low, high = (start + u * (end - start) for start, end in corners)
    return np.asarray(low + v * (high - low), np.float32)
