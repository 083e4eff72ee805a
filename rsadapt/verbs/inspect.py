"""Inspect: what both regions hold, side by side, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsadapt import build
from rsadapt.classes import ClassScheme
from rsadapt.data.geotiff import Region, Scene
from rsadapt.data.imagery import Place, Places
from rsadapt.geo.assumed import assumption
from rsadapt.geo.grid import Grid
from rsadapt.geo.masked import MaskedRaster
from rsadapt.geo.place import nearly, sizes_differ
from rsadapt.geo.raster import Raster
from rsadapt.geo.stack import StackedRaster
from rsadapt.geo.warp import WarpedRaster
from rsadapt.progress import Progress


@dataclass(frozen=True)
class GridFacts:
    """Where the pixels of a scene lie.

    Attributes:
        shape: (height, width).
        crs: as EPSG code or WKT, or None.
        pixel_size: (x, y) in CRS units.
        ground_size: (x, y) of the central pixel in metres, or None where the CRS does not say.
        placed_by: "transform", "control points", or what is assumed: "assumed_crs" or
            "assumed_pixel".
    """

    shape: tuple[int, int]
    crs: str | None
    pixel_size: tuple[float, float]
    ground_size: tuple[float, float] | None
    placed_by: str


@dataclass(frozen=True)
class SceneFacts:
    """One scene as it is trained on.

    Attributes:
        path: its file.
        label: the file of its labels, or None.
        shape: (height, width).
        crs: as EPSG code or WKT, or None.
        pixel_size: (x, y) in CRS units.
        ground_size: (x, y) of the central pixel in metres, or None where the CRS does not say.
        assumed: what of its place is assumed, not read: "assumed_crs", "assumed_pixel" or None.
        was: the file's own grid, where the scene is warped to another, else None.
        bands: how many it has.
        dtype: NumPy name of the values' type.
        nodata: the value of missing pixels as text, since JSON knows no NaN, or None.
    """

    path: str
    label: str | None
    shape: tuple[int, int]
    crs: str | None
    pixel_size: tuple[float, float]
    ground_size: tuple[float, float] | None
    assumed: str | None
    was: GridFacts | None
    bands: int
    dtype: str
    nodata: str | None


@dataclass(frozen=True)
class PartFacts:
    """The part of a region to train on, or the part kept for validation.

    Attributes:
        pixels: all of them, invalid ones included.
        classes: share of the labelled pixels by class, or None without labels.
        unlabelled: share of the valid pixels that have no class, or None without labels.
    """

    pixels: int
    classes: dict[str, float] | None
    unlabelled: float | None


@dataclass(frozen=True)
class BandFacts:
    """One band over the valid pixels of the training part, in the raster's units.

    Attributes:
        name: its description, or "band" and its 1-based number.
        mean: of the values.
        std: their standard deviation.
        minimum: the smallest.
        maximum: the greatest.
    """

    name: str
    mean: float
    std: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class RegionFacts:
    """One region.

    Attributes:
        scenes: all of them.
        training: the part to train on.
        validation: the part kept for validation, or None.
        valid_share: valid pixels among those of the training part, 0..1.
        bands: the bands that are read.
    """

    scenes: tuple[SceneFacts, ...]
    training: PartFacts
    validation: PartFacts | None
    valid_share: float
    bands: tuple[BandFacts, ...]


@dataclass(frozen=True)
class Inspection:
    """Both regions.

    Attributes:
        source: the labelled one.
        target: the one to adapt to.
        findings: what may go wrong, each with its cure.
    """

    source: RegionFacts
    target: RegionFacts
    findings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, ready for JSON."""
        return asdict(self)


def inspect(
    config: Path, assignments: Sequence[str] = (), *, progress: Progress | None = None
) -> Inspection:
    """Read both regions of a configuration, every pixel once or twice.

    Args:
        config: the configuration, YAML.
        assignments: "dotted.key=value" changes to it.
        progress: called with a task's name, blocks read and blocks in all.

    Raises:
        RsadaptError: for whatever training would refuse about the files.
    """
    settings = build.configuration(config, assignments)
    scheme = build.class_scheme(settings)
    places = build.geotiff_places(settings)
    return Inspection(
        _region(places.source, scheme, progress),
        _region(places.target, scheme, progress),
        findings=_sizes(places),
    )


def _sizes(places: Places[Region]) -> tuple[str, ...]:
    """Whether a pixel is as large in the source as in the target."""
    ours, theirs = places.source.training.ground_pixel, places.target.training.ground_pixel
    if ours is None or theirs is None or not sizes_differ(ours, theirs):
        return ()
    return (
        f"a pixel is {ours:.3g} m on the ground in the source and {theirs:.3g} m in the target, so "
        f"that things look of other sizes; bring them to one: --set target.pixel={ours:.3g}",
    )


def _region(place: Place[Region], scheme: ClassScheme, progress: Progress | None) -> RegionFacts:
    parts = [place.training] if place.validation is None else [place.training, place.validation]
    scenes = {scene.image.path: scene for part in parts for scene in part.scenes}
    statistics = place.training.statistics(progress)
    figures = zip(
        _band_names(place.training),
        statistics.mean,
        statistics.std,
        statistics.minimum,
        statistics.maximum,
        strict=True,
    )
    return RegionFacts(
        scenes=tuple(map(_scene, scenes.values())),
        training=_part(place.training, scheme, progress),
        validation=None if place.validation is None else _part(place.validation, scheme, progress),
        valid_share=statistics.valid_share,
        bands=tuple(BandFacts(*figure) for figure in figures),
    )


def _scene(scene: Scene) -> SceneFacts:
    image = scene.image.original if isinstance(scene.image, MaskedRaster) else scene.image
    first = image.parts[0] if isinstance(image, StackedRaster) else image
    return SceneFacts(
        path=str(image.path),
        label=None if scene.label is None else str(scene.label.path),
        shape=image.grid.shape,
        crs=_crs(image),
        pixel_size=image.grid.pixel_size,
        ground_size=image.grid.ground_size(),
        assumed=_assumed(image),
        was=_own_grid(first.original) if isinstance(first, WarpedRaster) else None,
        bands=image.count,
        dtype=image.dtype,
        nodata=None if image.nodata is None else f"{image.nodata:g}",
    )


def _own_grid(raster: Raster) -> GridFacts:
    grid = nearly(raster)
    return GridFacts(
        shape=grid.shape,
        crs=_crs(raster, grid),
        pixel_size=grid.pixel_size,
        ground_size=grid.ground_size(),
        placed_by=_assumed(raster) or ("control points" if raster.control else "transform"),
    )


def _assumed(raster: Raster) -> str | None:
    """The field by which a raster's place is assumed; None where its file says it, or nothing."""
    found = assumption(raster)
    if found is None:
        return None
    return "assumed_pixel" if found.made_up else "assumed_crs"


def _crs(raster: Raster, grid: Grid | None = None) -> str | None:
    """The CRS of a raster, or of what it nearly is; None where it has none or a made-up one."""
    crs = (grid or raster.grid).crs
    return None if crs is None or _assumed(raster) == "assumed_pixel" else str(crs)


def _part(region: Region, scheme: ClassScheme, progress: Progress | None) -> PartFacts:
    pixels = sum(scene.area.height * scene.area.width for scene in region.scenes)
    if not region.labelled:
        return PartFacts(pixels, None, None)
    *counts, unlabelled = map(int, region.class_counts(scheme, progress))
    labelled = sum(counts)
    shares = [count / max(labelled, 1) for count in counts]
    return PartFacts(
        pixels,
        dict(zip(scheme.names, shares, strict=True)),
        unlabelled / max(labelled + unlabelled, 1),
    )


def _band_names(region: Region) -> list[str]:
    names = region.scenes[0].image.descriptions
    return [names[band - 1] or f"band {band}" for band in region.bands]
