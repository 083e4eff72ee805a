"""What a procedural street is made of: materials, their label ids, and silhouettes."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from rsadapt.data.driving import CITYSCAPES_IDS
from rsadapt.data.procedural.noise import Floats

Codes = NDArray[np.uint8]
Shape = Callable[[Floats, Floats, float], Codes]
"""Turns places on a rectangle, 0..1 to the right and up, and its tone into materials."""


class Material(IntEnum):
    """What a pixel shows; `LABEL_IDS` tells its class, a look its colour."""

    NOTHING = 0
    SKY = 1
    ASPHALT = 2
    MARKING = 3
    KERB = 4
    PAVING = 5
    LAWN = 6
    WALL = 7
    ROOF = 8
    LEAVES = 9
    TRUNK = 10
    PAINT = 11
    CAR_GLASS = 12
    TYRE = 13
    LAMP = 14
    SKIN = 15
    SHIRT = 16
    TROUSERS = 17
    POLE = 18
    SIGN = 19
    SIGN_RIM = 20
    BOX = 21
    BONNET = 22


_CLASS_OF = {
    "road": (Material.ASPHALT, Material.MARKING),
    "sidewalk": (Material.KERB, Material.PAVING),
    "building": (Material.WALL, Material.ROOF),
    "pole": (Material.POLE,),
    "traffic sign": (Material.SIGN, Material.SIGN_RIM),
    "vegetation": (Material.LEAVES, Material.TRUNK),
    "terrain": (Material.LAWN,),
    "sky": (Material.SKY,),
    "person": (Material.SKIN, Material.SHIRT, Material.TROUSERS),
    "car": (Material.PAINT, Material.CAR_GLASS, Material.TYRE, Material.LAMP),
}
_EGO_VEHICLE, _STATIC = 1, 4  # label ids of Cityscapes that are no class


def _label_ids() -> Codes:
    ids = np.zeros(len(Material), np.uint8)
    for name, materials in _CLASS_OF.items():
        ids[list(materials)] = CITYSCAPES_IDS[name]
    ids[Material.BONNET], ids[Material.BOX] = _EGO_VEHICLE, _STATIC
    return ids


LABEL_IDS = _label_ids()
"""The Cityscapes label id of each material, uint8 by its code."""


def plain(material: Material) -> Shape:
    """A rectangle of one material."""
    return lambda right, up, _tone: np.full(
        np.broadcast_shapes(right.shape, up.shape), material, np.uint8
    )


def house(right: Floats, up: Floats, tone: float) -> Codes:
    """A wall, in half of the houses below a steep roof."""
    eaves = 0.78 if tone < 0.5 else 1.0
    return _layers((np.broadcast_to(up > eaves, _shape(right, up)), Material.ROOF), rest=True)


def crown(right: Floats, up: Floats, tone: float) -> Codes:
    """The crown of a tree: six overlapping discs around the middle."""
    turn = 2 * np.pi * (np.arange(6) / 6 + tone)
    radius = 0.24 + 0.10 * np.modf(7 * tone + 0.37 * np.arange(6))[0]
    inside = (right - 0.5) ** 2 + (up - 0.5) ** 2 < 0.30**2
    for angle, reach in zip(turn, radius, strict=True):
        away = (right - 0.5 - 0.25 * np.cos(angle)) ** 2 + (up - 0.5 - 0.25 * np.sin(angle)) ** 2
        inside = inside | (away < reach**2)
    return _layers((inside, Material.LEAVES))


def hedge(right: Floats, up: Floats, tone: float) -> Codes:
    """Shrubs side by side, each rounded at its top."""
    bumps = np.abs(np.sin(np.pi * (7 * right + tone))) + 0.5 * np.sin(17 * right + 9 * tone)
    return _layers((up < 0.72 + 0.2 * bumps, Material.LEAVES))


def car_back(right: Floats, up: Floats, tone: float) -> Codes:
    """A car from behind or in front, 1.8 m wide and 1.5 m high."""
    out = np.abs(2 * right - 1)
    cabin = 0.94 - 0.55 * np.clip(up - 0.58, 0, None)
    return _layers(
        ((up > 0.64) & (up < 0.93) & (out < cabin - 0.12), Material.CAR_GLASS),
        ((up > 0.40) & (up < 0.54) & (out > 0.68) & (out < 0.96), Material.LAMP),
        ((up > 0.14) & (out < np.where(up > 0.58, cabin, 1.0)), Material.PAINT),
        ((up <= 0.22) & (out > 0.58) & (out < 0.94), Material.TYRE),
    )


def car_side(right: Floats, up: Floats, tone: float) -> Codes:
    """A car from its side, 4.3 m long and 1.5 m high."""
    out = np.abs(right - 0.5)
    cabin = 0.36 - 0.40 * np.clip(up - 0.60, 0, None)
    wheels = ((out - 0.31) / 0.075) ** 2 + ((up - 0.21) / 0.21) ** 2
    glass = (up > 0.66) & (up < 0.92) & (out < cabin - 0.03) & (out > 0.015)
    return _layers(
        (wheels < 1, Material.TYRE),
        (glass, Material.CAR_GLASS),
        ((up > 0.17) & (out < np.where(up > 0.60, cabin, 0.5)), Material.PAINT),
    )


def person(right: Floats, up: Floats, tone: float) -> Codes:
    """Somebody standing or walking, 0.7 m wide."""
    out = np.abs(right - 0.5)
    head = (out / 0.17) ** 2 + ((up - 0.92) / 0.08) ** 2 < 1
    stride = 0.02 + 0.14 * tone * (0.47 - up)
    return _layers(
        (head, Material.SKIN),
        ((up > 0.45) & (up < 0.85) & (out < 0.42 - 0.25 * np.abs(up - 0.6)), Material.SHIRT),
        ((up <= 0.47) & (out > stride) & (out < stride + 0.24), Material.TROUSERS),
    )


def sign(right: Floats, up: Floats, tone: float) -> Codes:
    """A disc, a triangle or a board with a rim, by its tone."""
    across, above = 2 * right - 1, 2 * up - 1
    if tone < 0.4:
        edge = np.hypot(across, above)
    elif tone < 0.6:
        edge = np.maximum(2 * np.abs(across) + above, -above)
    else:
        edge = np.maximum(np.abs(across), np.abs(above))
    return _layers((edge < 0.72, Material.SIGN), (edge < 1, Material.SIGN_RIM))


def _shape(right: Floats, up: Floats) -> tuple[int, ...]:
    return np.broadcast_shapes(right.shape, up.shape)


def _layers(*layers: tuple[NDArray[np.bool_], Material], rest: bool = False) -> Codes:
    """The first material whose mask holds, a wall or nothing where none does."""
    codes = np.full(layers[0][0].shape, Material.WALL if rest else Material.NOTHING, np.uint8)
    for mask, material in reversed(layers):
        codes[mask] = material
    return codes
