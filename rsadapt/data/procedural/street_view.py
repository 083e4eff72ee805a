"""What a camera sees of a procedural street: materials and places, not yet colours."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.data.procedural.noise import Floats, generator
from rsadapt.data.procedural.street_scene import Face, Ground, Range, Street
from rsadapt.data.procedural.street_shapes import Codes, Material

Bools = NDArray[np.bool_]

UPWARDS, TOWARDS, FROM_LEFT, FROM_RIGHT = range(4)
"""Which way a surface faces: up, the camera, or the street's middle from its left or right."""

_NEAREST = 0.5  # metres before the lens from which on something is seen
_KERB = 0.25  # metres


@dataclass(frozen=True)
class Camera:
    """How cameras of a domain are built in and held; a frame draws its own within the ranges.

    Attributes:
        height: least and greatest height above the ground in metres.
        focal: focal length over the image's width.
        horizon: share of the image's height above the horizon.
        heading: greatest angle between view and street in degrees, to either side.
        aside: least and greatest x of the camera in metres; it drives on the right.
        bonnet: share of the image's height that the car's own bonnet covers; 0 for none.
    """

    height: Range
    focal: Range
    horizon: Range
    heading: float
    aside: Range
    bonnet: float


@dataclass(frozen=True)
class View:
    """What each pixel shows; all arrays are [height, width].

    Attributes:
        material: code of its `Material`.
        facing: which way its surface faces, see `UPWARDS`.
        tone: of the thing it belongs to, 0..1; 0 on the ground.
        along: metres along the surface: z on the ground and on sides of the street, else x.
        up: metres above the ground; on the ground x.
        depth: metres before the lens, infinite in the sky.
    """

    material: Codes
    facing: Codes
    tone: Floats
    along: Floats
    up: Floats
    depth: Floats


@dataclass(frozen=True)
class _Rays:
    """Where the pixels look from (x, y, 0): metres moved for each metre of depth.

    Attributes:
        x: of the lens in metres.
        y: of the lens in metres.
        right: moves along x, [width].
        ahead: moves along z, [width].
        rise: moves along y, [height, 1].
        focal: focal length in pixels.
        centre: (row, col) in pixels of what lies straight ahead on the horizon.
        turn: angle between view and street in radians, positive to the right.
    """

    x: float
    y: float
    right: Floats
    ahead: Floats
    rise: Floats
    focal: float
    centre: tuple[float, float]
    turn: float


@dataclass(frozen=True)
class _Film:
    """What is seen so far, [height, width]: materials, depths and the numbers of faces."""

    material: Codes
    depth: Floats
    face: NDArray[np.int16]


def look_at(street: Street, camera: Camera, seed: int, *, height: int, width: int) -> View:
    """See a street through one of a domain's cameras.

    Args:
        street: what to see.
        camera: the ranges that the frame's camera is drawn from.
        seed: of the camera.
        height: of the frame in pixels.
        width: of the frame in pixels.
    """
    rays = _aim(camera, generator(seed, "camera"), height, width)
    film = _see_ground(street.ground, rays)
    faces = [face for thing in street.things for face in thing.faces]
    # Near ones first, so that what they hide is known to be hidden.
    faces.sort(key=lambda face: face.span[0] if face.runs == "along" else face.at)
    for number, face in enumerate(faces, start=1):
        _see_face(film, face, number, rays)
    _see_bonnet(film, camera.bonnet)
    return _view(film, faces, rays)


def _aim(camera: Camera, rng: np.random.Generator, height: int, width: int) -> _Rays:
    """Draw a camera; its pitch shifts the horizon, as a small angle does."""
    focal = width * rng.uniform(*camera.focal)
    centre = (height * rng.uniform(*camera.horizon), width / 2)
    turn = np.radians(camera.heading) * rng.uniform(-1, 1)
    aside = (np.arange(width) + 0.5 - centre[1]) / focal
    above = (centre[0] - np.arange(height) - 0.5) / focal
    return _Rays(
        x=rng.uniform(*camera.aside),
        y=rng.uniform(*camera.height),
        right=(aside * cos(turn) + sin(turn)).astype(np.float32),
        ahead=(cos(turn) - aside * sin(turn)).astype(np.float32),
        rise=above[:, None].astype(np.float32),
        focal=focal,
        centre=centre,
        turn=turn,
    )


def _see_ground(ground: Ground, rays: _Rays) -> _Film:
    """Road, kerbs, pavements and what lies behind them, below a sky."""
    sky = rays.rise >= 0
    depth = np.where(sky, np.float32(np.inf), -rays.y / np.where(sky, -1, rays.rise))
    reach = np.where(sky, 0, depth)
    x, z = rays.x + reach * rays.right, reach * rays.ahead
    out = np.abs(x)
    across = (z > ground.crossing[0]) & (z < ground.crossing[1])
    material = np.full(x.shape, Material.LAWN, np.uint8)
    material[out < ground.pavement] = Material.PAVING
    material[out < ground.road + _KERB] = Material.KERB
    material[(out < ground.road) | across] = Material.ASPHALT
    material[_marked(x, z, ground) & ~across] = Material.MARKING
    material[np.broadcast_to(sky, x.shape)] = Material.SKY
    return _Film(
        material=material,
        depth=np.broadcast_to(depth, x.shape).astype(np.float32),
        face=np.zeros(x.shape, np.int16),
    )


def _marked(x: Floats, z: Floats, ground: Ground) -> Bools:
    """Dashes in the middle, a line beside the parked cars, stripes before a crossing."""
    out = np.abs(x)
    marked: Bools = ((out < 0.09) & (z % 6 < 3)) | (np.abs(out - ground.road + 2.2) < 0.06)
    if ground.crossing[0] < ground.crossing[1]:
        before = np.abs(z - ground.crossing[0] + 2) < 1.5
        marked |= before & (x % 1 < 0.5) & (out < ground.road)
    return marked


def _see_face(film: _Film, face: Face, number: int, rays: _Rays) -> None:
    """Paint a face where nothing nearer hides it."""
    box, nearest = _box(face, rays, film.depth.shape)
    hides = film.depth[box]
    if hides.size == 0 or hides.max() <= nearest:
        return
    right, ahead, rise = rays.right[box[1]], rays.ahead[box[1]], rays.rise[box[0]]
    away, slope = (face.at - rays.x, right) if face.runs == "along" else (face.at, ahead)
    depth = np.float32(away) / np.where(np.abs(slope) < 1e-6, np.float32(1e-6), slope)
    along = depth * ahead if face.runs == "along" else rays.x + depth * right
    share_along = _share(along, face.span)
    share_up = _share(rays.y + depth * rise, face.height)
    codes = face.shape(share_along, share_up, face.tone)
    seen = (codes != Material.NOTHING) & (depth < hides) & (share_up >= 0) & (share_up < 1)
    seen &= (depth > _NEAREST) & (share_along >= 0) & (share_along < 1)
    np.copyto(film.material[box], codes, where=seen)
    np.copyto(hides, depth, where=seen)
    np.copyto(film.face[box], np.int16(number), where=seen)


def _share(place: NDArray[Any], span: Range) -> Floats:
    """Where places lie in a span: 0 at its beginning, 1 at its end."""
    return np.asarray((place - span[0]) / (span[1] - span[0]), np.float32)


def _box(face: Face, rays: _Rays, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], float]:
    """The rectangle of pixels around a face's corners, and the depth of its nearest."""
    rows, cols, depths = [], [], []
    for end in face.span:
        x, z = (face.at, max(end, _NEAREST)) if face.runs == "along" else (end, face.at)
        depth = max((x - rays.x) * sin(rays.turn) + z * cos(rays.turn), _NEAREST)
        aside = (x - rays.x) * cos(rays.turn) - z * sin(rays.turn)
        depths.append(depth)
        cols.append(rays.centre[1] + rays.focal * aside / depth)
        rows += [rays.centre[0] - rays.focal * (y - rays.y) / depth for y in face.height]
    return (_pixels(rows, shape[0]), _pixels(cols, shape[1])), min(depths)


def _pixels(places: list[float], size: int) -> slice:
    """The pixels of an axis between the first and the last of some places."""
    return slice(max(0, int(min(places))), max(0, min(size, int(max(places)) + 1)))


def _see_bonnet(film: _Film, share: float) -> None:
    """Cover the bottom of the frame by the car's own bonnet."""
    height, width = film.depth.shape
    row = (np.arange(height)[:, None] + 0.5) / height
    col = (np.arange(width) + 0.5) / width
    seen = row > 1 - share * (1 - 1.6 * (col - 0.5) ** 2)
    film.material[seen], film.depth[seen], film.face[seen] = Material.BONNET, 1, 0


def _view(film: _Film, faces: list[Face], rays: _Rays) -> View:
    """Gather what the film's faces and depths tell about each pixel."""
    facing = np.array([UPWARDS, *(_facing(face) for face in faces)], np.uint8)[film.face]
    tone = np.array([0, *(face.tone for face in faces)], np.float32)[film.face]
    reach = np.where(np.isinf(film.depth), 0, film.depth)
    x, z = rays.x + reach * rays.right, reach * rays.ahead
    return View(
        material=film.material,
        facing=facing,
        tone=tone,
        along=np.where(facing == TOWARDS, x, z).astype(np.float32),
        up=np.where(facing == UPWARDS, x, rays.y + reach * rays.rise).astype(np.float32),
        depth=film.depth,
    )


def _facing(face: Face) -> int:
    if face.runs == "across":
        return TOWARDS
    return FROM_LEFT if face.at < 0 else FROM_RIGHT
