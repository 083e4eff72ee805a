"""What stands where in a procedural street: houses, trees, cars, people, poles and signs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rsadapt.data.procedural import street_shapes as shapes
from rsadapt.data.procedural.noise import generator
from rsadapt.data.procedural.street_shapes import Material, Shape

Range = tuple[float, float]

FAR, FAR_AND_SMALL = 110.0, 50.0
"""Metres ahead of the camera up to which things stand, and thin ones that would be a pixel wide."""


@dataclass(frozen=True)
class Layout:
    """How a town builds and fills its streets; lengths and distances in metres.

    Attributes:
        road: least and greatest width of the road.
        pavement: the same of the pavement on either side.
        house: width of a house along the street.
        storeys: number of storeys, 3 m each.
        setback: what lies between pavement and house.
        gap: probability that a garden lies where a house could stand.
        crossing: probability that another road crosses.
        trees: mean distance of street trees on a side.
        parked: mean distance of parked cars on a side.
        driving: mean distance of cars in a lane.
        persons: mean distance of people on a side.
        poles: mean distance of lamp posts on a side.
        signs: mean distance of traffic signs on a side.
    """

    road: Range
    pavement: Range
    house: Range
    storeys: Range
    setback: Range
    gap: float
    crossing: float
    trees: float
    parked: float
    driving: float
    persons: float
    poles: float
    signs: float


@dataclass(frozen=True)
class Face:
    """An upright rectangle that something's silhouette is cut from; metres.

    The street runs along z, x points right from its middle, y up from the ground.

    Attributes:
        shape: the silhouette.
        runs: "along" the street, at an x, or "across" it, at a z.
        at: that x or z.
        span: from and to, along z or x.
        height: bottom and top.
        tone: a number in [0, 1) of the whole thing: its colour, its kind.
    """

    shape: Shape
    runs: Literal["along", "across"]
    at: float
    span: Range
    height: Range
    tone: float


@dataclass(frozen=True)
class Thing:
    """Something upright; metres.

    Attributes:
        faces: its sides that a camera may see.
        x: from and to of the ground that it covers, across the street.
        z: the same along the street.
        height: of its top, to which it throws a shadow.
    """

    faces: tuple[Face, ...]
    x: Range
    z: Range
    height: float


@dataclass(frozen=True)
class Ground:
    """The ground of a street; metres.

    Attributes:
        road: |x| at which the road ends.
        pavement: |x| at which the pavement ends.
        crossing: from and to along z of the road that crosses, if it is not empty.
    """

    road: float
    pavement: float
    crossing: Range

    def crossed(self, start: float, end: float) -> bool:
        """Whether a stretch of the street lies in the crossing."""
        first, last = self.crossing
        return first < last and start < last and end > first


@dataclass(frozen=True)
class Street:
    """A street: its ground and what stands on it."""

    ground: Ground
    things: tuple[Thing, ...]


def make_street(layout: Layout, seed: int) -> Street:
    """Draw a street; the same seed gives the same one."""
    rng = generator(seed, "street")
    road = rng.uniform(*layout.road) / 2
    start = rng.uniform(14.0, 60.0)
    width = rng.uniform(6.0, 9.0) if rng.random() < layout.crossing else 0.0
    ground = Ground(road, road + rng.uniform(*layout.pavement), (start, start + width))
    things = [_backdrop(rng)]
    for side in (-1, 1):
        for kind in (_houses, _trees, _parked, _driving, _persons, _poles, _signs):
            things += kind(rng, layout, ground, side)
    return Street(ground, tuple(things))


Things = Iterator[Thing]


def _backdrop(rng: np.random.Generator) -> Thing:
    """Woods where the street ends."""
    shape = shapes.hedge
    return Thing(
        (Face(shape, "across", FAR + 5, (-150, 150), (0, rng.uniform(4, 9)), rng.random()),),
        x=(-150, 150),
        z=(FAR + 5, FAR + 6),
        height=0,
    )


def _houses(rng: np.random.Generator, layout: Layout, ground: Ground, side: int) -> Things:
    z, setback = -4.0, rng.uniform(*layout.setback)
    while z < FAR:
        width = rng.uniform(*layout.house)
        front = side * (ground.pavement + setback)
        span = (z, z + width)
        z += width
        if ground.crossed(*span):
            continue
        if rng.random() < layout.gap:
            yield from _garden(rng, side * ground.pavement, span, side)
            setback = rng.uniform(*layout.setback)
            continue
        top = 3.0 * round(rng.uniform(*layout.storeys)) + 1.0
        yield _block(shapes.house, front, span, depth=10.0 * side, top=top, tone=rng.random())


def _garden(rng: np.random.Generator, front: float, span: Range, side: int) -> Things:
    """A hedge along the pavement and trees behind it."""
    if rng.random() < 0.7:
        top = rng.uniform(0.9, 2.0)
        yield _block(
            shapes.hedge, front + 0.3 * side, span, depth=1.0 * side, top=top, tone=rng.random()
        )
    for z in np.arange(span[0] + 2, span[1] - 1, 4.5):
        yield _tree(rng, front + side * rng.uniform(3, 7), float(z), rng.uniform(5, 10))


def _trees(rng: np.random.Generator, layout: Layout, ground: Ground, side: int) -> Things:
    for z in _places(rng, layout.trees, ground):
        yield _tree(rng, side * (ground.road + 0.9), z, rng.uniform(4.5, 7.5))


def _parked(rng: np.random.Generator, layout: Layout, ground: Ground, side: int) -> Things:
    for z in _places(rng, layout.parked, ground):
        yield _car(rng, side * (ground.road - 1.2), z)


def _driving(rng: np.random.Generator, layout: Layout, ground: Ground, side: int) -> Things:
    for z in _places(rng, layout.driving, ground, after=9.0):
        yield _car(rng, side * (ground.road - 2.2) / 2, z)


def _persons(rng: np.random.Generator, layout: Layout, ground: Ground, side: int) -> Things:
    on_road = 0.15
    for z in _places(rng, layout.persons, ground, until=FAR_AND_SMALL):
        x = rng.uniform(ground.road + 0.5, ground.pavement - 0.3)
        if rng.random() < on_road:
            x = rng.uniform(0, ground.road)
        yield _board(
            shapes.person,
            side * x,
            z,
            width=0.75,
            height=(0, rng.uniform(1.5, 1.9)),
            tone=rng.random(),
        )


def _poles(rng: np.random.Generator, layout: Layout, ground: Ground, side: int) -> Things:
    pole = shapes.plain(Material.POLE)
    for z in _places(rng, layout.poles, ground, until=FAR_AND_SMALL):
        x, top, tone = side * (ground.road + 0.5), rng.uniform(5, 7), rng.random()
        arm = tuple(sorted((x, x - side * rng.uniform(0.8, 1.8))))
        lamp = Face(pole, "across", z, (arm[0], arm[1]), (top - 0.25, top), tone)
        post = _board(pole, x, z, width=0.24, height=(0, top), tone=tone)
        yield Thing((*post.faces, lamp), post.x, post.z, top)
    for z in _places(rng, 3 * layout.poles, ground):
        x = side * (ground.pavement - 0.4)
        box = shapes.plain(Material.BOX)
        yield _board(
            box,
            x,
            z,
            width=rng.uniform(0.5, 0.9),
            height=(0, rng.uniform(0.8, 1.2)),
            tone=rng.random(),
        )


def _signs(rng: np.random.Generator, layout: Layout, ground: Ground, side: int) -> Things:
    for z in _places(rng, layout.signs, ground, until=FAR_AND_SMALL):
        x, size, tone = side * (ground.road + 0.4), rng.uniform(0.8, 1.1), rng.random()
        top, pole = rng.uniform(2.5, 3.4), shapes.plain(Material.POLE)
        post = _board(pole, x, z, width=0.16, height=(0, top - size), tone=tone)
        board = _board(shapes.sign, x, z, width=size, height=(top - size, top), tone=tone)
        yield Thing((*post.faces, *board.faces), board.x, board.z, top)


def _places(
    rng: np.random.Generator, mean: float, ground: Ground, *, after: float = 5.0, until: float = FAR
) -> Iterator[float]:
    """Places along the street, `mean` metres apart on average, none in the crossing."""
    z = after + rng.uniform(0, mean)
    while z < until:
        if not ground.crossed(z - 1, z + 5):
            yield z
        z += max(5.5 if mean > 5.5 else 1.0, 0.4 * mean) + rng.exponential(0.6 * mean)


def _tree(rng: np.random.Generator, x: float, z: float, top: float) -> Thing:
    width, tone, bark = rng.uniform(0.45, 0.7) * top, rng.random(), shapes.plain(Material.TRUNK)
    trunk = _board(bark, x, z, width=0.04 * top, height=(0, 0.45 * top), tone=tone)
    leaves = _board(shapes.crown, x, z, width=width, height=(0.28 * top, top), tone=tone)
    return Thing((*trunk.faces, *leaves.faces), leaves.x, (z - width / 2, z + width / 2), top)


def _car(rng: np.random.Generator, x: float, z: float) -> Thing:
    tone = rng.random()
    length, half, top = rng.uniform(3.8, 4.8), rng.uniform(0.82, 0.95), rng.uniform(1.35, 1.75)
    back = Face(shapes.car_back, "across", z, (x - half, x + half), (0, top), tone)
    inner = x - np.sign(x) * 0.94 * half  # the side towards the middle of the street
    flank = Face(shapes.car_side, "along", float(inner), (z + 0.1, z + length), (0, top), tone)
    return Thing((back, flank), (x - half, x + half), (z, z + length), top)


def _block(shape: Shape, x: float, span: Range, *, depth: float, top: float, tone: float) -> Thing:
    """Something with a side along the street and an end towards the camera."""
    low, high = min(x, x + depth), max(x, x + depth)
    front = Face(shape, "along", x, span, (0, top), tone)
    end = Face(shape, "across", span[0], (low, high), (0, top), tone)
    return Thing((front, end), (low, high), span, top)


def _board(shape: Shape, x: float, z: float, *, width: float, height: Range, tone: float) -> Thing:
    """Something thin that faces the camera."""
    span = (x - width / 2, x + width / 2)
    face = Face(shape, "across", z, span, height, tone)
    return Thing((face,), span, (z - width / 4, z + width / 4), height[1])
