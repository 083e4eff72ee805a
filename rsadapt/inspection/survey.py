"""Survey a region: read it once and gather the facts about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rsadapt.classes import ClassScheme
from rsadapt.data.imagery import Place
from rsadapt.data.region import Region, Scene
from rsadapt.geo.assumed import assumption
from rsadapt.geo.distances import Distribution, divergence, wasserstein
from rsadapt.geo.edges import borders
from rsadapt.geo.footprint import coverage, footprint
from rsadapt.geo.grid import Grid
from rsadapt.geo.masked import MaskedRaster
from rsadapt.geo.place import nearly
from rsadapt.geo.raster import Raster
from rsadapt.geo.stack import StackedRaster
from rsadapt.geo.statistics import PERCENTILES, BandStatistics
from rsadapt.geo.warp import WarpedRaster
from rsadapt.inspection.facts import (
    BandDistance,
    BandFacts,
    GridFacts,
    PartFacts,
    RegionFacts,
    SceneFacts,
    SceneGroup,
    Span,
)
from rsadapt.progress import Progress

UNTOLD = ("undefined", "gray", "grey")
"""Colours that files have where nothing is said of a band."""


def survey(
    place: Place[Region],
    scheme: ClassScheme,
    *,
    pixels: int | None = None,
    left_out: Sequence[str] = (),
    progress: Progress | None = None,
) -> RegionFacts:
    """Gather the facts about a region.

    Images are read once, once more where there are labels, and along some edges.

    Args:
        place: the region.
        scheme: the class table of its labels.
        pixels: about how many to take statistics of; all unless given.
        left_out: what was left out of it before, in words.
        progress: called with a task's name, blocks read and blocks in all.

    Raises:
        DataError: for rasters or labels that cannot be read, ids outside the class table, or bands
            without a valid pixel.
    """
    parts = [place.training] if place.validation is None else [place.training, place.validation]
    every = [scene for part in parts for scene in part.scenes]
    images = list({scene.image.path: scene for scene in every}.values())
    statistics = place.training.statistics(progress, pixels=pixels)
    bands = _bands(place.training, statistics)
    varying = [band.number for band in bands if not band.constant] or list(place.training.bands)
    scenes = tuple(map(_scene, images))
    return RegionFacts(
        scenes=scenes,
        groups=_groups(scenes),
        left_out=tuple(left_out),
        training=_part(place.training, scheme, progress),
        validation=None if place.validation is None else _part(place.validation, scheme, progress),
        holds=_holds(place.training),
        valid_share=statistics.valid_share,
        looked_at=statistics.pixels / statistics.total,
        ground_pixel=place.training.ground_pixel,
        coverage=coverage([s.image.grid.crop(s.area) for s in every if _placed(s)]),
        borders=borders([(scene.image, varying) for scene in images]),
        bands=bands,
    )


def distances(source: Iterable[BandFacts], target: Iterable[BandFacts]) -> tuple[BandDistance, ...]:
    """Measure how far apart the regions' values lie, band by band."""
    return tuple(_distance(ours, theirs) for ours, theirs in zip(source, target, strict=True))


def _distance(source: BandFacts, target: BandFacts) -> BandDistance:
    ours, theirs = (
        Distribution.of(band.histogram.edges, band.histogram.counts) for band in (source, target)
    )
    own, their_own = (
        shown.rescaled(band.mean, 1.0 if band.constant else band.std)
        for shown, band in ((ours, source), (theirs, target))
    )
    return BandDistance(
        wasserstein=None if source.constant else wasserstein(ours, theirs) / source.std,
        divergence=divergence(ours, theirs),
        own_wasserstein=wasserstein(own, their_own),
        own_divergence=divergence(own, their_own),
    )


# Bands


def _bands(region: Region, statistics: BandStatistics) -> tuple[BandFacts, ...]:
    image = region.scenes[0].image
    return tuple(
        BandFacts(
            number=number,
            name=image.descriptions[number - 1] or f"band {number}",
            colour=None if image.colours[number - 1] in UNTOLD else image.colours[number - 1],
            mean=statistics.mean[place],
            std=statistics.std[place],
            minimum=statistics.minimum[place],
            maximum=statistics.maximum[place],
            percentiles=dict(
                zip(map(str, PERCENTILES), statistics.percentiles[place], strict=True)
            ),
            histogram=statistics.histograms[place],
        )
        for place, number in enumerate(region.bands)
    )


# Scenes and parts


def _placed(scene: Scene) -> bool:
    """Whether a scene lies somewhere that is not made up."""
    found = assumption(scene.image)
    return found is None or not found.made_up


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
        footprint=None if _assumed(image) == "assumed_pixel" else footprint(image.grid),
    )


def _groups(scenes: Sequence[SceneFacts]) -> tuple[SceneGroup, ...]:
    alike: dict[tuple[object, ...], list[SceneFacts]] = {}
    for scene in scenes:
        own_crs = None if scene.was is None else scene.was.crs or "none"
        known = scene.ground_size is not None
        key = (scene.crs, scene.assumed, own_crs, scene.bands, scene.dtype, scene.nodata, known)
        alike.setdefault(key, []).append(scene)
    return tuple(_group(group) for group in alike.values())


def _group(scenes: Sequence[SceneFacts]) -> SceneGroup:
    first = scenes[0]
    sizes = [scene.ground_size for scene in scenes if scene.ground_size is not None]
    return SceneGroup(
        first=Path(first.path).name,
        count=len(scenes),
        crs=first.crs,
        assumed=first.assumed,
        own_crs=None if first.was is None else first.was.crs or "none",
        bands=first.bands,
        dtype=first.dtype,
        nodata=first.nodata,
        shape=_span([scene.shape for scene in scenes]),
        pixel_size=_span([scene.pixel_size for scene in scenes]),
        ground_size=_span(sizes) if sizes else None,
    )


def _span(pairs: Iterable[tuple[float, float]]) -> Span:
    down, across = zip(*pairs, strict=True)
    return (min(down), min(across)), (max(down), max(across))


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


def _holds(region: Region) -> int:
    """The side of the largest window that training can draw: see `RandomWindows`."""
    smallest = min(min(scene.image.grid.shape) for scene in region.scenes)
    return min(smallest, max(min(s.area.height, s.area.width) for s in region.scenes))
