"""From settings to GeoTIFF regions: files by pattern, paired, split and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsadapt import config
from rsadapt.build.files import named_files
from rsadapt.data.geotiff import Labels, Region, check_label_grid, open_scenes
from rsadapt.data.imagery import Place
from rsadapt.errors import DataError
from rsadapt.geo.raster import Raster
from rsadapt.geo.regions import split_areas
from rsadapt.geo.vectors import Features, Legend, is_vector


def geotiff_place(
    name: str, region: config.RegionSettings, settings: config.Configuration
) -> Place[Region]:
    """Open a region's scenes and cut them into a training and a validation part.

    Raises:
        MissingFileError: for a file or pattern that matches nothing.
        DataError: for rasters that cannot be read, or grids or band counts that do not fit.
    """
    root = Path(settings.root)
    label_files = named_files(region.labels, root, indices=False)
    scenes = named_files(region.scenes, root, indices=True)
    files = [file for file in scenes if file not in label_files]
    if not files:
        raise DataError(f"{name} region: every scene is also named as a label; name them apart")
    images = [Raster(file) for file in files]
    labels = _labels(name, region, images, label_files)
    bands = _bands(name, images, region.bands or settings.bands)
    split = region.validation
    areas = split_areas([image.grid for image in images], share=split.share, side=split.side)
    training, validation = (open_scenes(images, labels, part) for part in areas)
    if not training:
        raise DataError(f"{name} region: nothing is left to train on; lower 'validation.share'")
    return Place(
        Region(name, training, bands), Region(name, validation, bands) if validation else None
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
        legend = Legend(rules.field, rules.ids, rules.inside, rules.outside)
        features = Features(vectors, legend, layer=rules.layer)
        return [features.on(image.grid, image.path) for image in images]
    if len(files) != len(images):
        raise DataError(
            f"{name} region: {len(images)} scenes and {len(files)} label files; "
            f"expected one a scene, in the same order"
        )
    labels = [Raster(file) for file in _in_order_of([image.path for image in images], files)]
    for label, image in zip(labels, images, strict=True):
        check_label_grid(label, image)
    return list(labels)


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
