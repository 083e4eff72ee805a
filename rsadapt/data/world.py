"""A procedural pair of satellite regions: the same kinds of land under two sensors and seasons.

Land and look are apart on purpose. `Land` decides what lies where, `Look` how a sensor renders it;
both regions draw their land with the same code, so that fields are parcels and roads are thin in
either, and class shares differ only moderately. What a network has to be adapted to is the `Look`:
the season of crops, meadows and leaves, the region's soil and roofs, sun, haze, spectral response,
sharpness and noise. A band-wise affine normalisation cannot undo it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from rsadapt.classes import ClassScheme
from rsadapt.errors import ConfigError, OutputExistsError
from rsadapt.geo.grid import Grid

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Spectrum = tuple[float, float, float, float]

WATER, FOREST, FIELD, GRASS, BARE, BUILDING, ROAD = range(1, 8)

WORLD_CLASSES = ClassScheme(
    names=("water", "forest", "field", "grass", "bare", "building", "road"),
    ids=((WATER,), (FOREST,), (FIELD,), (GRASS,), (BARE,), (BUILDING,), (ROAD,)),
    colours=(
        (70, 130, 180),
        (34, 102, 51),
        (240, 214, 120),
        (154, 205, 90),
        (190, 160, 130),
        (200, 60, 50),
        (90, 90, 95),
    ),
    ignored=(0, 255),
)
"""The seven land-cover classes of the world; 0 lies outside the image."""

BANDS = ("blue", "green", "red", "near-infrared")
PIXEL_SIZE = 2.0
"""Metres; every length in pixels below was drawn with it in mind."""

MINIMUM_SIZE = 64

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


@dataclass(frozen=True)
class Region:
    """A land, its look and its place on the ground.

    Attributes:
        land: what lies where.
        look: how it is rendered.
        epsg: EPSG code of the projected CRS.
        origin: (x, y) of the upper left corner of the first scene in metres.
    """

    land: Land
    look: Look
    epsg: int
    origin: tuple[float, float]


SOURCE = Region(
    land=Land(
        lakes=0.05,
        river_width=16.0,
        forest=0.24,
        forest_patch=130.0,
        bare=0.08,
        meadow=0.26,
        town=0.20,
        lot=19.0,
        farm_block=190.0,
        parcel=(26.0, 52.0),
        relief=10.0,
    ),
    look=Look(
        crops_lush=0.55,
        crops_ripe=0.30,
        meadow_dryness=0.10,
        leaf_colouring=0.0,
        turbidity=0.15,
        soil=(0.075, 0.100, 0.125, 0.185),
        bare_brightness=1.9,
        tile_roofs=0.60,
        metal_roofs=0.10,
        road_dust=0.10,
        texture_scale=1.0,
        texture_contrast=1.0,
        sun_azimuth=150.0,
        sun_elevation=56.0,
        skylight=0.25,
        haze=0.012,
        haze_variation=0.2,
        mixing=(
            (1.00, 0.00, 0.00, 0.00),
            (0.00, 1.00, 0.00, 0.00),
            (0.00, 0.00, 1.00, 0.00),
            (0.00, 0.00, 0.00, 1.00),
        ),
        gamma=1.0,
        blur=0.65,
        noise=0.006,
        dn_scale=10000.0,
        dn_maximum=65535,
    ),
    epsg=32633,
    origin=(500_000.0, 5_400_000.0),
)
"""A temperate region in early summer, seen clearly: surface reflectance times 10000."""

TARGET = Region(
    land=Land(
        lakes=0.08,
        river_width=22.0,
        forest=0.19,
        forest_patch=100.0,
        bare=0.11,
        meadow=0.32,
        town=0.25,
        lot=16.0,
        farm_block=160.0,
        parcel=(20.0, 40.0),
        relief=14.0,
    ),
    look=Look(
        crops_lush=0.34,
        crops_ripe=0.38,
        meadow_dryness=0.32,
        leaf_colouring=0.16,
        turbidity=0.45,
        soil=(0.071, 0.097, 0.129, 0.188),
        bare_brightness=2.2,
        tile_roofs=0.45,
        metal_roofs=0.18,
        road_dust=0.22,
        texture_scale=1.15,
        texture_contrast=0.9,
        sun_azimuth=110.0,
        sun_elevation=48.0,
        skylight=0.32,
        haze=0.025,
        haze_variation=0.35,
        mixing=(
            (0.90, 0.10, 0.00, 0.00),
            (0.06, 0.82, 0.12, 0.00),
            (0.00, 0.10, 0.86, 0.04),
            (0.00, 0.00, 0.12, 0.88),
        ),
        gamma=0.92,
        blur=0.70,
        noise=0.006,
        dn_scale=1900.0,
        dn_maximum=2047,
    ),
    epsg=32748,
    origin=(700_000.0, 9_250_000.0),
)
"""A drier region late in the season, seen through haze by an 11-bit sensor of broad bands."""


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


@dataclass(frozen=True)
class World:
    """Where a pair of regions was written.

    Attributes:
        source_images: scenes of the source, uint16, four bands, nodata 0.
        source_labels: raw ids of `WORLD_CLASSES`, in the order of the images.
        target_images: scenes of the target.
        target_labels: for evaluation alone.
    """

    source_images: tuple[Path, ...]
    source_labels: tuple[Path, ...]
    target_images: tuple[Path, ...]
    target_labels: tuple[Path, ...]


def make_labels(land: Land, size: int, seed: int) -> NDArray[np.uint8]:
    """Draw the labels of a land.

    Args:
        land: shares and sizes.
        size: height and width in pixels.
        seed: the same seed gives the same land.

    Returns:
        Raw ids 1..7 [size, size], 0 outside the image's wavy border.
    """
    return make_scene(land, size, seed).labels


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
    elevation = _noise(_generator(seed, "elevation"), size, wavelength=420.0, slope=2.0)
    farms = _cells(_generator(seed, "farms"), size, land.farm_block)
    parcels = _parcels(_generator(seed, "parcels"), farms, land)
    town = _top(
        _noise(_generator(seed, "town"), size, wavelength=330.0, slope=2.2) - 0.3 * elevation,
        land.town,
    )
    streets, houses, lot, yard = _town(_generator(seed, "streets"), size, land.lot)
    trees = _noise(_generator(seed, "trees"), size, wavelength=12.0, slope=1.0)
    ragged = 1 + 0.25 * _noise(_generator(seed, "farmsteads"), size, wavelength=40.0, slope=1.5)
    reach = land.lot * (1.0 + 1.4 * farms.pick) * ragged
    longest = np.maximum(np.abs(farms.along), np.abs(farms.across))
    farmstead = (longest < reach) & (farms.pick < 0.45)
    forest = _noise(_generator(seed, "forest"), size, wavelength=land.forest_patch, slope=1.6)
    pits = _noise(_generator(seed, "pits"), size, wavelength=90.0, slope=1.8)
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
    river = _path(_generator(seed, "river"), size, winding=0.55)
    labels[river < land.river_width / 2] = WATER
    labels[_path(_generator(seed, "highway"), size, winding=0.30) < 3.2] = ROAD
    labels[_top(-elevation, land.lakes)] = WATER
    valid = _footprint(_generator(seed, "border"), size)
    labels[~valid] = 0

    roofs = labels == BUILDING
    return Scene(
        labels=labels,
        valid=valid,
        elevation=elevation * np.float32(land.relief),
        height=np.where(roofs, 4.0 + 6.0 * _hashed(3, lot), 0.0).astype(np.float32),
        parcel=np.where(built, _hashed(1, lot), parcels.crop),
        tone=np.where(built, _hashed(2, lot), parcels.tone),
        across=farms.across,
    )


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
    crowns = _noise(
        _generator(seed, "crowns"), size, wavelength=5.0 * look.texture_scale, slope=0.5
    )
    surface = _reflectance(scene, look, seed)
    surface *= _light(scene, look, crowns)
    haze = _noise(_generator(seed, "haze"), size, wavelength=300.0, slope=2.5)
    veil = look.haze * np.clip(1 + look.haze_variation * haze, 0.1, None)
    at_sensor = surface * (1 - veil) + np.multiply.outer(np.array(_HAZE, np.float32), veil)
    mixed = np.einsum("bs,sij->bij", np.array(look.mixing, np.float32), at_sensor)
    blurred = np.stack([_blur(band, look.blur) for band in mixed])
    noise = _generator(seed, "noise").standard_normal(blurred.shape, dtype=np.float32)
    response = np.clip(blurred + look.noise * noise, 0, None) ** look.gamma
    numbers = np.clip(np.rint(look.dn_scale * response), 1, look.dn_maximum)
    return np.where(scene.valid, numbers, 0).astype(np.uint16)


def write_world(out: Path, *, seed: int = 0, size: int = 768, scenes: int = 1) -> World:
    """Draw the source and the target region and write them as GeoTIFF files.

    Args:
        out: folder; `source/scene_1.tif`, `source/labels/scene_1.tif`, ... and the same under
            `target` are written below it.
        seed: of both regions; they differ all the same.
        size: height and width of a scene in pixels of two metres.
        scenes: scenes of each region, side by side from west to east.

    Returns:
        The files.

    Raises:
        OutputExistsError: where one of the files exists already; nothing is written then.
        ConfigError: for no scene, too small a size or a negative seed.
    """
    if scenes < 1:
        raise ConfigError(f"a world needs at least one scene, found {scenes}")
    if seed < 0:
        raise ConfigError(f"a world's seed is 0 or more, found {seed}")
    out = Path(out)
    names = [f"scene_{number}.tif" for number in range(1, scenes + 1)]
    world = World(
        source_images=tuple(out / "source" / name for name in names),
        source_labels=tuple(out / "source" / "labels" / name for name in names),
        target_images=tuple(out / "target" / name for name in names),
        target_labels=tuple(out / "target" / "labels" / name for name in names),
    )
    sides = (
        (SOURCE, "source", world.source_images, world.source_labels),
        (TARGET, "target", world.target_images, world.target_labels),
    )
    for path in (path for _, _, *both in sides for paths in both for path in paths):
        if path.exists():
            raise OutputExistsError(f"{path} exists already; remove it or choose another folder")
    for region, name, images, labels in sides:
        for number in range(scenes):
            _write_scene(
                region,
                number,
                image=images[number],
                labels=labels[number],
                seed=int(_generator(seed, f"{name} {number}").integers(2**63)),
                size=size,
            )
    return world


def _write_scene(
    region: Region, number: int, *, image: Path, labels: Path, seed: int, size: int
) -> None:
    """Draw, render and write scene `number` of a region."""
    from rasterio.crs import CRS

    from rsadapt.geo.writer import write_raster

    scene = make_scene(region.land, size, seed)
    left = region.origin[0] + number * size * PIXEL_SIZE
    transform = Affine(PIXEL_SIZE, 0.0, left, 0.0, -PIXEL_SIZE, region.origin[1])
    grid = Grid(height=size, width=size, transform=transform, crs=CRS.from_epsg(region.epsg))
    write_raster(image, render(scene, region.look, seed), grid, nodata=0, descriptions=BANDS)
    colours = dict(zip(WORLD_CLASSES.codes, WORLD_CLASSES.colours, strict=True))
    write_raster(labels, scene.labels, grid, nodata=0, colours=colours)


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
    mottle = contrast * _noise(_generator(seed, "mottle"), size, wavelength=18 * scale, slope=1)
    grain = contrast * _noise(_generator(seed, "grain"), size, wavelength=4 * scale, slope=0.3)
    patches = _noise(_generator(seed, "patches"), size, wavelength=120, slope=1.5)
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
    warp = [_noise(rng, size, wavelength=200.0, slope=2.5) for _ in range(2)]
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
        key=_hash(salt, first_key),
        along=offset_row * np.cos(angle) + offset_col * np.sin(angle),
        across=offset_col * np.cos(angle) - offset_row * np.sin(angle),
        edge=(second - nearest) / (2 * np.maximum(apart, 1)),
        pick=_hashed(salt + 1, first_key),
        pair=_hashed(salt + 2, low, high),
    )


def _parcels(rng: np.random.Generator, farms: _Cells, land: Land) -> _Parcels:
    """Cut farm blocks into strips and strips into parcels."""
    salt = int(rng.integers(2**31))
    narrow, wide = land.parcel
    width = narrow + (wide - narrow) * _hashed(salt, farms.key)
    length = 2.5 * wide * (0.8 + 1.2 * _hashed(salt + 1, farms.key))
    strip = np.floor(farms.across / width).astype(np.int32)
    shift = _hashed(salt + 2, farms.key, strip)
    part = np.floor(farms.along / length + shift).astype(np.int32)
    # Meadows gather: half of the draw is the farm's own.
    draw = 0.5 * _hashed(salt + 3, farms.key) + 0.5 * _hashed(salt + 4, farms.key, strip, part)
    return _Parcels(
        meadow=draw < np.quantile(draw, land.meadow),
        crop=_hashed(salt + 5, farms.key, strip, part),
        tone=_hashed(salt + 6, farms.key, strip, part),
    )


def _town(
    rng: np.random.Generator, size: int, lot: float
) -> tuple[Bools, Bools, NDArray[np.uint32], Floats]:
    """Return streets, houses, lot keys and a number for each yard, as if all land were town."""
    quarters = _cells(rng, size, 9.0 * lot)
    salt = int(rng.integers(2**31))
    street = 4.6
    # Lots are larger in one quarter out of five: halls and works instead of houses.
    frontage = lot * np.where(quarters.pick < 0.2, 2.2, 0.9 + 0.3 * _hashed(salt, quarters.key))
    depth = 2 * frontage * 1.15 + street
    length = frontage * (3 + np.floor(3 * _hashed(salt + 1, quarters.key))) + street
    block_row, in_row = np.divmod(quarters.along, depth)
    block_col, in_col = np.divmod(quarters.across, length)
    streets = (in_row < street) | (in_col < street) | (quarters.edge < street / 2)
    lot_row, deep = np.divmod((in_row - street) / (depth - street) * 2, 1.0)
    lot_col, broad = np.divmod((in_col - street) / frontage, 1.0)
    key = _hash(
        salt,
        quarters.key,
        *(index.astype(np.int32) for index in (block_row, block_col, lot_row, lot_col)),
    )
    half_deep = 0.20 + 0.20 * _hashed(salt + 2, key)
    half_broad = 0.24 + 0.18 * _hashed(salt + 3, key)
    # Houses stand nearer to the street than to the neighbour behind.
    to_street = np.where(lot_row % 2 == 0, deep, 1 - deep) - 0.45
    inside = (np.abs(to_street) < half_deep) & (np.abs(broad - 0.5) < half_broad)
    notch = (
        (_hashed(salt + 4, key) < 0.3)
        & (to_street > 0.3 * half_deep)
        & (broad - 0.5 > 0.2 * half_broad)
    )
    houses = inside & ~notch & ~streets & (_hashed(salt + 5, key) < 0.88)
    return streets, houses, key, _hashed(salt + 6, key)


def _path(rng: np.random.Generator, size: int, *, winding: float) -> Floats:
    """Return the distance in pixels to one line that winds from side to side.

    The line is a level set of a ramp plus noise, the distance its first-order estimate: value over
    gradient.
    """
    angle = rng.uniform(0, 2 * np.pi)
    axis = (np.arange(size, dtype=np.float32) - size / 2) / 100
    ramp = np.cos(angle) * axis[:, None] + np.sin(angle) * axis[None, :]
    field = ramp + winding * _noise(rng, size, wavelength=260.0, slope=3.0) + rng.uniform(-0.8, 0.8)
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


def _noise(rng: np.random.Generator, size: int, *, wavelength: float, slope: float) -> Floats:
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


def _blur(band: Floats, deviation: float) -> Floats:
    """Convolve with a Gaussian of a standard deviation in pixels, edges wrapped around."""
    rows, cols = band.shape
    square = np.fft.fftfreq(rows)[:, None] ** 2 + np.fft.rfftfreq(cols)[None, :] ** 2
    transfer = np.exp(-2 * (np.pi * deviation) ** 2 * square)
    return np.fft.irfft2(np.fft.rfft2(band) * transfer, s=band.shape).astype(np.float32)


def _generator(seed: int, purpose: str) -> np.random.Generator:
    """Return the generator of one purpose; purposes do not disturb each other."""
    return np.random.default_rng(np.random.SeedSequence([seed, *purpose.encode()]))


def _hash(salt: int, *keys: NDArray[Any]) -> NDArray[np.uint32]:
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


def _hashed(salt: int, *keys: NDArray[Any]) -> Floats:
    """Return `_hash` as numbers in [0, 1)."""
    return (_hash(salt, *keys) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
