"""From settings to GeoTIFF regions: files by pattern, paired, split and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rsadapt import config
from rsadapt.build.damage import without_damaged
from rsadapt.build.files import named_files
from rsadapt.build.validity import usable
from rsadapt.data.geotiff import Region, Scene
from rsadapt.data.imagery import Place
from rsadapt.errors import DataError
from rsadapt.geo.blocks import split_blocks
from rsadapt.geo.grid import Grid
from rsadapt.geo.harmonise import alike, harmonise, read_crs
from rsadapt.geo.labels import Labels
from rsadapt.geo.place import covered
from rsadapt.geo.raster import Raster
from rsadapt.geo.regions import Areas, split_areas
from rsadapt.geo.vectors import Features, Legend, is_vector
from rsadapt.geo.warp import warped


def geotiff_place(
    name: str, region: config.RegionSettings, settings: config.Configuration
) -> Place[Region]:
    """Open a region's scenes, on one lattice, and cut them into a training and a validation part.

    Raises:
        MissingFileError: for a file or pattern that matches nothing.
        ConfigError: for a CRS that there is not.
        DataError: for rasters that cannot be read or placed, or band counts that do not fit.
    """
    root = Path(settings.root)
    label_files = named_files(region.labels, root, indices=False)
    scenes = named_files(region.scenes, root, indices=True)
    files = [file for file in scenes if file not in label_files]
    if not files:
        raise DataError(f"{name} region: every scene is also named as a label; name them apart")
    paired = len(label_files) == len(files) and not any(map(is_vector, label_files))
    if paired:
        label_files = _in_order_of(files, label_files)
    if region.damaged == "leave_out":
        files, sound = without_damaged(name, files, label_files if paired else [])
        label_files = sound if paired else label_files
    images = _on_lattice(name, [Raster(file) for file in files], region)
    labels = _labels(name, region, images, label_files)
    bands = _bands(name, images, region.bands or settings.bands)
    used = usable(name, region, images, labels, bands=bands, root=root, side=settings.training.tile)
    training, validation = _split(used, region.validation)
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


def _labels(
    name: str,
    region: config.RegionSettings,
    images: Sequence[Raster],
    files: Sequence[Path],
) -> list[Labels] | None:
    """The labels of each image; None for an unlabelled region."""
    if not files:
        return None
    vectors = [file for file in files if is_vector(file)]
    if vectors:
        if len(vectors) < len(files):
            raise DataError(
                f"{name} region: expected labels that are all rasters or all vector files, found "
                f"both, such as {files[0].name} and {vectors[0].name}; name one kind"
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
    return [_on_scene(Raster(file), image) for file, image in zip(files, images, strict=True)]


def _on_lattice(name: str, images: list[Raster], region: config.RegionSettings) -> list[Raster]:
    """Scenes as they are where they fit together and nothing else is asked for, else warped."""
    crs = None if region.crs is None else read_crs(region.crs, f"{name}.crs")
    if crs is None and region.pixel is None and alike(images):
        return images
    grids = harmonise(images, crs=crs, pixel=region.pixel)
    return [
        warped(image, grid, region.resampling) for image, grid in zip(images, grids, strict=True)
    ]


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


def _in_order_of(scenes: Sequence[Path], labels: Sequence[Path]) -> list[Path]:
    """Labels in the order of their scenes: by name where names tell, else in the order given.

    Names tell where each scene has one label called as itself, or as itself and more that begins
    with neither letter nor digit, as in `s1.tif` and `s1_label.tif`.
    """
    found = []
    for scene in scenes:
        named = [
            label
            for label in labels
            if label.stem.startswith(scene.stem)
            and not label.stem.removeprefix(scene.stem)[:1].isalnum()
        ]
        if len(named) != 1:
            return list(labels)
        found += named
    return found if len(set(found)) == len(labels) else list(labels)


def _bands(
    name: str, images: Sequence[Raster], chosen: Sequence[int | str] | None
) -> tuple[int, ...]:
    """The bands to read, which every image must have, at the same numbers."""
    counts = {image.count for image in images}
    if chosen is None and len(counts) > 1:
        listed = ", ".join(f"{image.path.name} {image.count}" for image in images)
        raise DataError(f"{name} region: scenes of different band count ({listed}); set 'bands'")
    first, *others = [scene_bands(image, chosen) for image in images]
    for image, bands in zip(images[1:], others, strict=True):
        if bands != first:
            raise DataError(
                f"{image.path}: has the bands {chosen} at {list(bands)}, and {images[0].path} at "
                f"{list(first)}; expected one order in a region: reorder them (gdal_translate -b)"
            )
    return first


def scene_bands(image: Raster, chosen: Sequence[int | str] | None) -> tuple[int, ...]:
    """The 1-based numbers of the bands to read of an image; all of them where none are chosen.

    Raises:
        DataError: where it lacks one, or has several of a name.
    """
    if chosen is None:
        return tuple(range(1, image.count + 1))
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
