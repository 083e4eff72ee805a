"""From settings to GeoTIFF regions: files by pattern, paired, split and checked."""

from __future__ import annotations

import itertools
import warnings
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from rsadapt import config
from rsadapt.build.bands import SceneFiles, open_scene
from rsadapt.build.damage import without_damaged
from rsadapt.build.files import listed_files, named_bands, named_files, named_scenes
from rsadapt.build.validity import usable
from rsadapt.data.imagery import Place
from rsadapt.data.region import Region, Scene
from rsadapt.errors import DataError
from rsadapt.geo.assumed import assumed, assumption, on_its_scene
from rsadapt.geo.blocks import split_blocks
from rsadapt.geo.grid import Grid
from rsadapt.geo.harmonise import alike, ground_pixel, harmonise, read_crs
from rsadapt.geo.labels import ColourLabels, Labels
from rsadapt.geo.location import Location
from rsadapt.geo.place import covered, overlapping, same_size
from rsadapt.geo.raster import Raster
from rsadapt.geo.regions import Areas, split_areas
from rsadapt.geo.vectors import Features, Legend, is_vector
from rsadapt.geo.warp import warped

Label = TypeVar("Label", bound=Location)


@dataclass(frozen=True)
class _Files:
    """The files of a region, or of its validation scenes.

    Attributes:
        scenes: at least one.
        labels: rasters in the order of the scenes, or vector files for all; none if unlabelled.
    """

    scenes: list[SceneFiles]
    labels: list[Location]


def geotiff_place(
    name: str, region: config.RegionSettings, settings: config.Configuration
) -> Place[Region]:
    """Open a region's scenes, on one lattice, and part them into training and validation.

    Raises:
        MissingFileError: for a file or pattern that matches nothing.
        ConfigError: for a CRS that there is not.
        DataError: for rasters that cannot be read or placed, or band counts that do not fit.
    """
    root = Path(settings.root) / region.folder
    split = region.validation
    both: list[config.RegionSettings | config.SplitSettings] = [region]
    both += [split] if split.scenes else []
    parts = [_files(name, part, root, region) for part in both]
    rasters = [placed_scene(name, file, region) for part in parts for file in part.scenes]
    images = _on_lattice(name, rasters, region)
    labels: list[Labels | None] = []
    for part in parts:
        own = slice(len(labels), len(labels) + len(part.scenes))
        labels += _labels(name, region, rasters[own], images[own], part.labels)
    bands = _bands(name, images, region.bands or settings.bands)
    used = usable(name, region, images, labels, bands=bands, root=root, side=settings.training.tile)
    if split.scenes:
        count = len(parts[0].scenes)
        _warn_of_overlap(name, images[:count], images[count:])
        training, validation = _there(used[:count]), _there(used[count:])
    else:
        training, validation = _split(_there(used), split)
    if not training:
        raise DataError(f"{name} region: nothing is left to train on; lower 'validation.share'")
    return Place(
        Region(name, training, bands), Region(name, validation, bands) if validation else None
    )


def _split(
    scenes: Sequence[Scene], split: config.SplitSettings
) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """The scenes of the training part and those of the validation part, one for each area."""
    grids = [scene.image.grid.crop(scene.area) for scene in scenes]
    training, validation = (
        tuple(
            replace(scene, area=area.within(scene.area))
            for scene, own in zip(scenes, areas, strict=True)
            for area in own
        )
        for areas in _areas(grids, split)
    )
    return training, validation


def _areas(grids: Sequence[Grid], split: config.SplitSettings) -> tuple[Areas, Areas]:
    """The areas of training and of validation in each grid."""
    if split.blocks is None:
        return split_areas(grids, share=split.share, side=split.side, buffer=split.buffer)
    return split_blocks(
        grids, blocks=split.blocks, share=split.share, seed=split.seed, buffer=split.buffer
    )


def _there(scenes: Sequence[Scene | None]) -> tuple[Scene, ...]:
    """The scenes that are used."""
    return tuple(scene for scene in scenes if scene is not None)


def placed_scene(name: str, scene: SceneFiles, region: config.RegionSettings) -> Raster:
    """Open a scene, in the place that its region assumes where its files say none.

    Raises:
        MissingFileError, DataError: as `Raster` and `StackedRaster`.
        ConfigError: for a CRS that there is not.
    """
    text = region.assumed_crs
    crs = None if text is None else read_crs(text, f"{name}.assumed_crs")
    place = partial(assumed, crs=crs, pixel=region.assumed_pixel)
    return open_scene(scene, region.resampling, place)


def _files(
    name: str,
    part: config.RegionSettings | config.SplitSettings,
    root: Path,
    region: config.RegionSettings,
) -> _Files:
    """The files that patterns name: scenes that are listed and sound, labels in their order."""
    label_files = named_files(part.labels, root)
    known = set(label_files)
    files = [file for file in _scenes(part, root, region) if file not in known]
    if not files:
        raise DataError(f"{name} region: every scene is also named as a label; name them apart")
    files = listed_files(files, part.listed, root)
    if not any(map(is_vector, label_files)):
        label_files = _in_order_of(files, label_files)
    if region.damaged == "leave_out":
        paired = len(label_files) == len(files) and not any(map(is_vector, label_files))
        opened = partial(placed_scene, name, region=region)
        files, sound = without_damaged(name, files, label_files if paired else [], opened)
        label_files = sound if paired else label_files
    return _Files(files, label_files)


def _scenes(
    part: config.RegionSettings | config.SplitSettings, root: Path, region: config.RegionSettings
) -> Sequence[SceneFiles]:
    if isinstance(part, config.RegionSettings) and part.band_files:
        return named_bands(part.band_files, root)
    return named_scenes(part.scenes, root, bands=region.bands or ())


def _warn_of_overlap(name: str, training: Sequence[Raster], kept: Sequence[Raster]) -> None:
    """Warn where validation scenes show what training scenes show, too."""
    known = {str(image.path) for image in training}
    same = [str(image.path) in known for image in kept]
    seen = list(itertools.compress(kept, same))
    ours = [image for image in training if _true_place(image)]
    theirs = [image for image, twice in zip(kept, same, strict=True) if not twice]
    theirs = [image for image in theirs if _true_place(image)]
    seen += [theirs[number] for number in overlapping(ours, theirs)]
    if seen:
        meaning = (
            "training sees their labels, so that scores are too good; choose other scenes"
            if name == "source"
            else "training sees them without labels, which is worth a word beside the scores"
        )
        warnings.warn(
            f"{name} region: {len(seen)} of {len(kept)} validation scenes overlap training scenes "
            f"on the ground, such as {seen[0].path.name}; {meaning}",
            stacklevel=2,
        )


def _true_place(image: Raster) -> bool:
    """Tell whether a scene has a place that is not made up."""
    return image.grid.crs is not None and not _made_up(image)


def _made_up(image: Raster) -> bool:
    """Tell whether a scene has the size of a pixel alone, in a place that means nothing."""
    found = assumption(image)
    return found is not None and found.made_up


def _labels(
    name: str,
    region: config.RegionSettings,
    scenes: Sequence[Raster],
    images: Sequence[Raster],
    files: Sequence[Location],
) -> Sequence[Labels | None]:
    """The labels of each image, None where the region has none."""
    if not files:
        return [None] * len(images)
    vectors = [file for file in files if isinstance(file, Path) and is_vector(file)]
    if vectors:
        if len(vectors) < len(files):
            raise DataError(
                f"{name} region: expected labels that are all rasters or all vector files, found "
                f"both, such as {files[0].name} and {vectors[0].name}; name one kind"
            )
        nowhere = next((image for image in images if _made_up(image)), None)
        if nowhere is not None:
            raise DataError(
                f"{nowhere.path}: says nowhere where it lies, so that the features of {vectors[0]} "
                f"cannot be placed on it; give its labels as a raster"
            )
        rules = region.polygons
        legend = Legend(rules.field, rules.ids, rules.inside, rules.outside, rules.radius)
        features = Features(vectors, legend, layer=rules.layer)
        return [features.on(image.grid, image.path) for image in images]
    if len(files) != len(images):
        raise DataError(
            f"{name} region: {len(images)} scenes and {len(files)} label files; "
            f"expected one a scene, in the same order"
        )
    text = region.assumed_crs
    crs = None if text is None else read_crs(text, f"{name}.assumed_crs")
    opened = (
        assumed(on_its_scene(Raster(file), scene), crs=crs)
        for file, scene in zip(files, scenes, strict=True)
    )
    rasters = [_on_scene(label, image) for label, image in zip(opened, images, strict=True)]
    if not region.label_colours:
        _refuse_colours(rasters)
        return list(rasters)
    return [ColourLabels(raster, region.label_colours) for raster in rasters]


def _refuse_colours(labels: Sequence[Raster]) -> None:
    """Refuse labels in colour, of which the first band would be taken for ids.

    Raises:
        DataError: for labels of three bands or more.
    """
    for label in labels:
        if label.count >= 3:
            raise DataError(
                f"{label.path}: expected label ids in one band, found {label.count} bands; where "
                f"they are colours, name the id of each: label_colours: {{'#ff0000': 1}}"
            )


def _on_lattice(name: str, images: list[Raster], region: config.RegionSettings) -> list[Raster]:
    """Scenes as they are where they fit together and nothing else is asked for, else warped."""
    made_up = [image for image in images if _made_up(image)]
    if made_up and len(made_up) < len(images):
        raise DataError(
            f"{made_up[0].path}: says nowhere where it lies, and {len(images) - len(made_up)} of "
            f"{len(images)} scenes of the {name} region say it; leave it out, or give it a place"
        )
    if region.crs == "own":
        return [_of_size(image, region) for image in images]
    crs = None if region.crs is None else read_crs(region.crs, f"{name}.crs")
    if crs is None and region.pixel is None and alike(images):
        return images
    grids = harmonise(images, crs=crs, pixel=region.pixel)
    return [
        warped(image, grid, region.resampling) for image, grid in zip(images, grids, strict=True)
    ]


def _of_size(image: Raster, region: config.RegionSettings) -> Raster:
    """A scene in its own CRS, or UTM, at the region's ground size where it has one."""
    if region.pixel is None:
        return image
    if image.grid.north_up and same_size(ground_pixel(image), region.pixel):
        return image
    (grid,) = harmonise([image], pixel=region.pixel)
    return warped(image, grid, region.resampling)


def _on_scene(label: Raster, image: Raster) -> Raster:
    """Labels on the grid of their scene, warped where they lie on another.

    Raises:
        DataError: for labels that lie elsewhere, or of which it cannot be told where.
    """
    moved = warped(label, image.grid, "nearest")
    if moved is label:
        return label
    ours, theirs = (covered(raster, image.grid.crs) for raster in (image, label))
    if any(max(ours[i], theirs[i]) >= min(ours[i + 2], theirs[i + 2]) for i in (0, 1)):
        raise DataError(
            f"{label.path}: expected labels of {image.path}, found some that lie elsewhere "
            f"({_bounds(theirs)}, the scene {_bounds(ours)} in {image.grid.crs}); name labels in "
            f"the order of their scenes"
        )
    return moved


def _bounds(bounds: Sequence[float]) -> str:
    left, bottom, right, top = bounds
    return f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g}"


def _in_order_of(scenes: Sequence[SceneFiles], labels: Sequence[Location]) -> list[Location]:
    """Labels in the order of their scenes: by name where names tell, else in the order given.

    Names tell where each scene has one label called as itself, or as itself and more that begins
    with neither letter nor digit, as in `s1.tif` and `s1_label.tif`. Labels of scenes that are not
    used are passed over then.
    """
    ordered = sorted(labels, key=lambda label: label.stem)
    named = [labels_of(scene, ordered) for scene in scenes]
    found = [names[0] for names in named if len(names) == 1]
    told = len(found) == len(scenes) and len(set(found)) == len(found)
    return found if told else list(labels)


def labels_of(scene: SceneFiles, ordered: Sequence[Label]) -> list[Label]:
    """The labels that are called as a scene, among labels in the order of their stems."""
    first = bisect_left(ordered, scene.stem, key=lambda label: label.stem)
    named = []
    for label in itertools.islice(ordered, first, None):
        if not label.stem.startswith(scene.stem):
            break
        if not label.stem.removeprefix(scene.stem)[:1].isalnum():
            named.append(label)
    return named


def _bands(
    name: str, images: Sequence[Raster], chosen: Sequence[int | str] | None
) -> tuple[int, ...]:
    """The bands to read, which every image must have, at the same numbers."""
    first, *others = found = [scene_bands(image, chosen) for image in images]
    if chosen is None and len(set(map(len, found))) > 1:
        listed = ", ".join(
            f"{image.path.name} {len(bands)}" for image, bands in zip(images, found, strict=True)
        )
        raise DataError(f"{name} region: scenes of different band count ({listed}); set 'bands'")
    for image, bands in zip(images[1:], others, strict=True):
        if bands != first:
            raise DataError(
                f"{image.path}: has the bands {chosen or 'beside alpha'} at {list(bands)}, and "
                f"{images[0].path} at {list(first)}; expected one order in a region: reorder them "
                f"(gdal_translate -b)"
            )
    if chosen is None:
        _warn_of_alpha(name, images)
    return first


def _warn_of_alpha(name: str, images: Sequence[Raster]) -> None:
    """Tell of alpha that is read as a mask alone: rasterio flags the fourth of four bands so."""
    flagged = [image for image in images if len(scene_bands(image, None)) < image.count]
    if flagged:
        image, bands = flagged[0], scene_bands(flagged[0], None)
        warnings.warn(
            f"{name} region: {image.path.name} flags band {image.colours.index('alpha') + 1} as "
            f"alpha, which tells what is valid and is no input; say so by --set "
            f"'bands={list(bands)}', or name that band too where it is imagery",
            stacklevel=2,
        )


def scene_bands(image: Raster, chosen: Sequence[int | str] | None) -> tuple[int, ...]:
    """The 1-based numbers of the bands to read of an image; all but alpha where none are chosen.

    Raises:
        DataError: where it lacks one, or has several of a name.
    """
    if chosen is None:
        every = range(1, image.count + 1)
        seen = [n for n, shown in zip(every, image.colours, strict=True) if shown != "alpha"]
        return tuple(seen or every)
    bands = [band if isinstance(band, int) else _named(image, band) for band in chosen]
    if min(bands, default=0) < 1 or max(bands) > image.count:
        raise DataError(
            f"{image.path}: has bands 1 to {image.count}, and bands {list(chosen)} are asked for; "
            f"choose others with 'bands', or another image"
        )
    return tuple(bands)


def _named(image: Raster, name: str) -> int:
    """The number of the band so described, or else of that colour."""
    for names in (image.descriptions, image.colours):
        found = [
            number
            for number, known in enumerate(names, start=1)
            if known is not None and known.casefold() == name.casefold()
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(f"{image.path}: bands {found} are all called '{name}'; use a number")
    listed = ", ".join(
        f"{number} {description or colour}"
        for number, (description, colour) in enumerate(
            zip(image.descriptions, image.colours, strict=True), start=1
        )
    )
    raise DataError(
        f"{image.path}: expected a band called '{name}', found {listed}; name one of them or use "
        f"its number in 'bands'"
    )
