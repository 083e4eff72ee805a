"""What lies where in a procedural region: water, woods, farms, towns and the roads between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsadapt.data.procedural.noise import Floats, generator, hash_keys, hashed, noise_field
from rsadapt.errors import ConfigError

Bools = NDArray[np.bool_]

WATER, FOREST, FIELD, GRASS, BARE, BUILDING, ROAD = range(1, 8)

PIXEL_SIZE = 2.0
"""Metres; every length in pixels below was drawn with it in mind."""

MINIMUM_SIZE = 64


@dataclass(frozen=True)
class Land:
    """What lies where: shares of the region and sizes of what is drawn in it.

    Shares are those of the layer before later layers cover it (towns cover forest, water covers
    towns), so the classes come out a little rarer.

    Attributes:
        lakes: share of the land under lakes, taken from the lowest ground.
        river_width: width of the river in pixels.
        forest: share under forest.
        forest_patch: typical size of a forest patch in pixels.
        bare: share under bare ground: pits, building sites, eroded slopes.
        meadow: share of the parcels that are meadow, not cropland.
        town: share of built-up land.
        lot: width of a building lot in pixels.
        farm_block: distance of neighbouring farm blocks in pixels; lanes run between them.
        parcel: smallest and largest width of a parcel in pixels.
        relief: standard deviation of the elevation in metres.
    """

    lakes: float
    river_width: float
    forest: float
    forest_patch: float
    bare: float
    meadow: float
    town: float
    lot: float
    farm_block: float
    parcel: tuple[float, float]
    relief: float


@dataclass(frozen=True)
class Scene:
    """The land of one scene, layer by layer; arrays are [size, size].

    Attributes:
        labels: raw ids of `WORLD_CLASSES`, 0 outside the image.
        valid: inside the image.
        elevation: of the ground in metres.
        height: of buildings above the ground in metres, 0 elsewhere.
        parcel: a number in [0, 1) for each parcel or lot: which crop, which roof.
        tone: another, independent of `parcel`: how bright it is.
        across: distance across the rows of the farm block in pixels, for crop rows.
    """

    labels: NDArray[np.uint8]
    valid: Bools
    elevation: Floats
    height: Floats
    parcel: Floats
    tone: Floats
    across: Floats


def make_scene(land: Land, size: int, seed: int) -> Scene:
    """Draw a land: its labels and what else its rendering needs.

    Args:
        land: shares and sizes.
        size: height and width in pixels.
        seed: the same seed gives the same land.

    Raises:
        ConfigError: for a size too small to hold a land.
    """
    if size < MINIMUM_SIZE:
        raise ConfigError(f"a world needs at least {MINIMUM_SIZE} pixels a side, found {size}")
    elevation = noise_field(generator(seed, "elevation"), size, wavelength=240.0, slope=2.0)
    farms = _cells(generator(seed, "farms"), size, land.farm_block)
    parcels = _parcels(generator(seed, "parcels"), farms, land)
    town = _top(
        noise_field(generator(seed, "town"), size, wavelength=330.0, slope=2.2) - 0.3 * elevation,
        land.town,
    )
    streets, houses, lot, yard = _town(generator(seed, "streets"), size, land.lot)
    trees = noise_field(generator(seed, "trees"), size, wavelength=12.0, slope=1.0)
    ragged = 1 + 0.25 * noise_field(generator(seed, "farmsteads"), size, wavelength=40.0, slope=1.5)
    reach = land.lot * (1.0 + 1.4 * farms.pick) * ragged
    longest = np.maximum(np.abs(farms.along), np.abs(farms.across))
    farmstead = (longest < reach) & (farms.pick < 0.45)
    forest = noise_field(generator(seed, "forest"), size, wavelength=land.forest_patch, slope=1.6)
    pits = noise_field(generator(seed, "pits"), size, wavelength=90.0, slope=1.8)
    lanes = (farms.edge < 1.8) & (farms.pair < 0.75)

    labels = np.where(parcels.meadow, GRASS, FIELD).astype(np.uint8)
    labels[_top(pits, land.bare)] = BARE
    labels[_top(forest + 0.25 * elevation, land.forest)] = FOREST
    labels[lanes & ~town] = ROAD
    built = town | farmstead
    labels[built] = np.where(yard < 0.10, BARE, GRASS)[built]
    labels[built & (trees > 1.4)] = FOREST
    labels[built & houses] = BUILDING
    labels[town & streets] = ROAD
    river = _path(generator(seed, "river"), size, winding=0.55)
    labels[river < land.river_width / 2] = WATER
    labels[_path(generator(seed, "highway"), size, winding=0.30) < 3.2] = ROAD
    labels[_top(-elevation, land.lakes)] = WATER
    valid = _footprint(generator(seed, "border"), size)
    labels[~valid] = 0

    roofs = labels == BUILDING
    return Scene(
        labels=labels,
        valid=valid,
        elevation=elevation * np.float32(land.relief),
        height=np.where(roofs, 4.0 + 6.0 * hashed(3, lot), 0.0).astype(np.float32),
        parcel=np.where(built, hashed(1, lot), parcels.crop),
        tone=np.where(built, hashed(2, lot), parcels.tone),
        across=farms.across,
    )


@dataclass(frozen=True)
class _Cells:
    """Nearest cells of a jittered grid, pixel by pixel; lengths in pixels."""

    key: NDArray[np.uint32]
    along: Floats
    across: Floats
    edge: Floats
    pick: Floats
    pair: Floats


@dataclass(frozen=True)
class _Parcels:
    """What grows on the parcels."""

    meadow: Bools
    crop: Floats
    tone: Floats


def _cells(rng: np.random.Generator, size: int, spacing: float) -> _Cells:
    """Return a Voronoi diagram of a jittered grid, slightly warped, each cell with its own axes.

    The distance to the edge is that to the bisector of the two nearest seeds. Neighbours one grid
    cell away suffice, as seeds stay within the middle 70 % of theirs.
    """
    warp = [noise_field(rng, size, wavelength=200.0, slope=2.5) for _ in range(2)]
    axis = np.arange(size, dtype=np.float32)
    row = axis[:, None] + np.float32(0.03 * spacing) * warp[0]
    col = axis[None, :] + np.float32(0.03 * spacing) * warp[1]
    count = int(size / spacing) + 5
    seeds = (
        np.stack(np.meshgrid(np.arange(count), np.arange(count), indexing="ij"))
        - 2
        + 0.5
        + rng.uniform(-0.35, 0.35, (2, count, count))
    ).astype(np.float32) * np.float32(spacing)
    home_row = np.clip(np.floor(row / spacing).astype(np.int32) + 2, 1, count - 2)
    home_col = np.clip(np.floor(col / spacing).astype(np.int32) + 2, 1, count - 2)
    nearest = np.full((size, size), np.inf, np.float32)
    second = nearest.copy()
    first_key = np.zeros((size, size), np.int32)
    second_key = first_key.copy()
    for step_row in (-1, 0, 1):
        for step_col in (-1, 0, 1):
            key = (home_row + step_row) * count + home_col + step_col
            distance = (row - seeds[0].ravel()[key]) ** 2 + (col - seeds[1].ravel()[key]) ** 2
            closer = distance < nearest
            between = ~closer & (distance < second)
            second_key = np.where(closer, first_key, np.where(between, key, second_key))
            second = np.where(closer, nearest, np.where(between, distance, second))
            first_key = np.where(closer, key, first_key)
            nearest = np.where(closer, distance, nearest)
    flat = seeds.reshape(2, -1)
    apart = np.hypot(*(flat[:, first_key] - flat[:, second_key]))
    angle = rng.uniform(0, np.pi, count * count).astype(np.float32)[first_key]
    offset_row, offset_col = row - flat[0][first_key], col - flat[1][first_key]
    salt = int(rng.integers(2**31))
    low, high = np.minimum(first_key, second_key), np.maximum(first_key, second_key)
    return _Cells(
        key=hash_keys(salt, first_key),
        along=offset_row * np.cos(angle) + offset_col * np.sin(angle),
        across=offset_col * np.cos(angle) - offset_row * np.sin(angle),
        edge=(second - nearest) / (2 * np.maximum(apart, 1)),
        pick=hashed(salt + 1, first_key),
        pair=hashed(salt + 2, low, high),
    )


def _parcels(rng: np.random.Generator, farms: _Cells, land: Land) -> _Parcels:
    """Cut farm blocks into strips and strips into parcels."""
    salt = int(rng.integers(2**31))
    narrow, wide = land.parcel
    width = narrow + (wide - narrow) * hashed(salt, farms.key)
    length = 2.5 * wide * (0.8 + 1.2 * hashed(salt + 1, farms.key))
    strip = np.floor(farms.across / width).astype(np.int32)
    shift = hashed(salt + 2, farms.key, strip)
    part = np.floor(farms.along / length + shift).astype(np.int32)
    # Meadows gather: half of the draw is the farm's own.
    draw = 0.5 * hashed(salt + 3, farms.key) + 0.5 * hashed(salt + 4, farms.key, strip, part)
    return _Parcels(
        meadow=draw < np.quantile(draw, land.meadow),
        crop=hashed(salt + 5, farms.key, strip, part),
        tone=hashed(salt + 6, farms.key, strip, part),
    )


def _town(
    rng: np.random.Generator, size: int, lot: float
) -> tuple[Bools, Bools, NDArray[np.uint32], Floats]:
    """Return streets, houses, lot keys and a number for each yard, as if all land were town."""
    quarters = _cells(rng, size, 9.0 * lot)
    salt = int(rng.integers(2**31))
    street = 4.6
    # Lots are larger in one quarter out of five: halls and works instead of houses.
    frontage = lot * np.where(quarters.pick < 0.2, 2.2, 0.9 + 0.3 * hashed(salt, quarters.key))
    depth = 2 * frontage * 1.15 + street
    length = frontage * (3 + np.floor(3 * hashed(salt + 1, quarters.key))) + street
    block_row, in_row = np.divmod(quarters.along, depth)
    block_col, in_col = np.divmod(quarters.across, length)
    streets = (in_row < street) | (in_col < street) | (quarters.edge < street / 2)
    lot_row, deep = np.divmod((in_row - street) / (depth - street) * 2, 1.0)
    lot_col, broad = np.divmod((in_col - street) / frontage, 1.0)
    key = hash_keys(
        salt,
        quarters.key,
        *(index.astype(np.int32) for index in (block_row, block_col, lot_row, lot_col)),
    )
    half_deep = 0.20 + 0.20 * hashed(salt + 2, key)
    half_broad = 0.24 + 0.18 * hashed(salt + 3, key)
    # Houses stand nearer to the street than to the neighbour behind.
    to_street = np.where(lot_row % 2 == 0, deep, 1 - deep) - 0.45
    inside = (np.abs(to_street) < half_deep) & (np.abs(broad - 0.5) < half_broad)
    notch = (
        (hashed(salt + 4, key) < 0.3)
        & (to_street > 0.3 * half_deep)
        & (broad - 0.5 > 0.2 * half_broad)
    )
    houses = inside & ~notch & ~streets & (hashed(salt + 5, key) < 0.88)
    return streets, houses, key, hashed(salt + 6, key)


def _path(rng: np.random.Generator, size: int, *, winding: float) -> Floats:
    """Return the distance in pixels to one line that winds from side to side.

    The line is a level set of a ramp plus noise, the distance its first-order estimate: value over
    gradient.
    """
    angle = rng.uniform(0, 2 * np.pi)
    axis = (np.arange(size, dtype=np.float32) - size / 2) / 100
    ramp = np.cos(angle) * axis[:, None] + np.sin(angle) * axis[None, :]
    field = (
        ramp
        + winding * noise_field(rng, size, wavelength=260.0, slope=3.0)
        + rng.uniform(-0.8, 0.8)
    )
    slope_row, slope_col = np.gradient(field)
    return np.asarray(np.abs(field) / np.maximum(np.hypot(slope_row, slope_col), 3e-3), np.float32)


def _footprint(rng: np.random.Generator, size: int) -> Bools:
    """Return where the image is: inside four slanted, wavy edges."""
    across = np.linspace(-1, 1, size, dtype=np.float32)
    row = np.arange(size, dtype=np.float32)[:, None]
    col = np.arange(size, dtype=np.float32)[None, :]
    edges = []
    for _ in range(4):
        waves = sum(
            rng.uniform(0.3, 1.0)
            * np.sin(rng.uniform(2, 4) * 2**octave * across + rng.uniform(0, 6))
            for octave in range(4)
        )
        margin = 0.028 + rng.uniform(-0.018, 0.018) * across + 0.004 * waves
        edges.append(np.clip(size * margin, 1, None))
    north, south, west, east = edges
    return np.asarray(
        (row >= north[None, :])
        & (size - 1 - row >= south[None, :])
        & (col >= west[:, None])
        & (size - 1 - col >= east[:, None])
    )


def _top(field: Floats, share: float) -> Bools:
    """Return the highest `share` of a field."""
    return np.asarray(field > np.quantile(field, 1 - share))
