"""A procedural pair of satellite regions: the same kinds of land under two sensors and seasons.

Land and look are apart on purpose. `Land` decides what lies where, `Look` how a sensor renders it;
both regions draw their land with the same code, so that fields are parcels and roads are thin in
either, and class shares differ only moderately. What a network has to be adapted to is the `Look`:
the season of crops, meadows and leaves, the region's soil and roofs, sun, haze, spectral response,
sharpness and noise. A band-wise affine normalisation cannot undo it.

Two more targets tell what a method is good for: one whose digital numbers alone were bent, band by
band, and one without any gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from affine import Affine

from rsadapt.classes import ClassScheme
from rsadapt.data.procedural.land import (
    BARE,
    BUILDING,
    FIELD,
    FOREST,
    GRASS,
    PIXEL_SIZE,
    ROAD,
    WATER,
    Land,
    make_scene,
)
from rsadapt.data.procedural.look import Curve, Look, bend, render
from rsadapt.data.procedural.noise import generator
from rsadapt.errors import ConfigError, OutputExistsError
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.writer import write_raster

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

WORLD_SIZE = 1280
"""Height and width of a region in pixels: room for several towns, lakes and woods in each part."""

BANDS = ("blue", "green", "red", "near-infrared")


@dataclass(frozen=True)
class Region:
    """A land, its look and its place on the ground.

    Attributes:
        land: what lies where.
        look: how it is rendered.
        epsg: EPSG code of the projected CRS.
        origin: (x, y) of the upper left corner of the first scene in metres.
        curves: how digital numbers are bent after all, one curve a band; None leaves them.
    """

    land: Land
    look: Look
    epsg: int
    origin: tuple[float, float]
    curves: tuple[Curve, ...] | None = None


SOURCE = Region(
    land=Land(
        lakes=0.075,
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
        lakes=0.06,
        river_width=19.0,
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

SAME = replace(SOURCE, epsg=TARGET.epsg, origin=TARGET.origin)
"""More of the source, elsewhere."""

BENT = replace(SAME, curves=((0.4, 4000), (1.7, 30000), (0.4, 4000), (2.0, 30000)))
"""The same, whose blue and red are stretched where they are dark and whose green and near-infrared
where they are bright: increasing curves, which no factor and offset undo."""

Gap = Literal["full", "radiometric", "none"]

TARGETS: dict[Gap, Region] = {"full": TARGET, "radiometric": BENT, "none": SAME}
"""The target by what sets it apart from the source: land and look; digital numbers alone; nothing.
"""


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


def write_world(
    out: Path, *, seed: int = 0, size: int = WORLD_SIZE, scenes: int = 1, gap: Gap = "full"
) -> World:
    """Draw the source and the target region and write them as GeoTIFF files.

    Args:
        out: folder; `source/scene_1.tif`, `source/labels/scene_1.tif`, ... and the same under
            `target` are written below it.
        seed: of both regions; they differ all the same.
        size: height and width of a scene in pixels of two metres.
        scenes: scenes of each region, side by side from west to east.
        gap: what sets the target apart, see `TARGETS`; never where things lie in it.

    Returns:
        The files.

    Raises:
        OutputExistsError: where one of the files exists already; nothing is written then.
        ConfigError: for no scene, too small a size, a negative seed or an unknown gap.
    """
    if gap not in TARGETS:
        raise ConfigError(f"a world's gap is {', '.join(TARGETS)}, found {gap}")
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
        (TARGETS[gap], "target", world.target_images, world.target_labels),
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
                seed=int(generator(seed, f"{name} {number}").integers(2**63)),
                size=size,
            )
    return world


def _write_scene(
    region: Region, number: int, *, image: Path, labels: Path, seed: int, size: int
) -> None:
    """Draw, render and write scene `number` of a region."""
    scene = make_scene(region.land, size, seed)
    left = region.origin[0] + number * size * PIXEL_SIZE
    transform = Affine(PIXEL_SIZE, 0.0, left, 0.0, -PIXEL_SIZE, region.origin[1])
    grid = Grid(height=size, width=size, transform=transform, crs=crs_of(region.epsg))
    numbers = render(scene, region.look, seed)
    if region.curves is not None:
        numbers = bend(numbers, region.curves)
    write_raster(image, numbers, grid, nodata=0, descriptions=BANDS)
    colours = dict(zip(WORLD_CLASSES.codes, WORLD_CLASSES.colours, strict=True))
    write_raster(labels, scene.labels, grid, nodata=0, colours=colours)
