"""What is there of a data set of regions and what is wrong with it, told without raising."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rsadapt import config
from rsadapt.build.bands import SceneFiles
from rsadapt.build.configuration import scheme_of
from rsadapt.build.files import listed_files, named_files
from rsadapt.build.regions import labels_of
from rsadapt.classes import ClassScheme
from rsadapt.data.folder_check import DatasetReport, Size, SplitReport
from rsadapt.errors import MissingFileError, RsadaptError
from rsadapt.geo.labels import ColourLabels
from rsadapt.geo.raster import Raster
from rsadapt.geo.vectors import is_vector
from rsadapt.progress import Progress, watched


def check_parts(
    dataset: config.DatasetSettings,
    data: Path,
    *,
    decode: bool = True,
    progress: Progress | None = None,
) -> DatasetReport:
    """Count and pair the files of a data set's parts, and decode each of them.

    Labels that are rasters are held against the class table as they are decoded; vector files are
    only counted on to be there.

    Args:
        dataset: which.
        data: the folder that its folder lies in.
        decode: False only counts and pairs.
        progress: told of every scene that is decoded.

    Raises:
        ConfigError: for a class table that contradicts itself.
    """
    root = data / dataset.folder
    scheme = scheme_of(dataset.classes, dataset.ignored_ids)
    parts = []
    for name, part in dataset.parts.items():
        region = config.RegionSettings.model_validate(dataset.region(name))
        parts.append(
            _check_part(
                name,
                region,
                official=part.count,
                root=root,
                scheme=scheme if decode else None,
                told=f"check {dataset.title} {name}",
                progress=progress,
            )
        )
    return DatasetReport(dataset.title, root, tuple(parts), decode, dataset.download)


def _check_part(
    name: str,
    region: config.RegionSettings,
    *,
    official: int | None,
    root: Path,
    scheme: ClassScheme | None,
    told: str,
    progress: Progress | None,
) -> SplitReport:
    """What there is of a part; its files are decoded where there is a class table."""
    damaged: dict[Path, str] = {}
    scenes = _found(region.scenes, root)
    if region.listed:
        try:
            every = [file for group in scenes for file in group]
            chosen: set[SceneFiles] = set(listed_files(every, region.listed, root))
        except RsadaptError as error:
            damaged[root / region.listed[0]] = str(error)
            chosen = set()
        scenes = [[file for file in group if file in chosen] for group in scenes]
    labels = _found(region.labels, root)
    drawn = any(is_vector(file) for group in labels for file in group)
    pairs = {file: None for group in scenes for file in group} if drawn else _pairs(scenes, labels)
    used = set(pairs.values())
    sizes: Counter[Size] = Counter()
    unlike = 0
    for scene, label in watched(list(pairs.items()) if scheme else [], told, progress):
        image = _size(scene, damaged)
        ids = None if label is None else _size(label, damaged, region, scheme)
        sizes.update([image] if image else [])
        unlike += image is not None and ids is not None and image != ids
    expected = bool(region.labels) and not drawn
    return SplitReport(
        split=name,
        found=len(pairs),
        official=official,
        without_label=tuple(s.name for s, label in pairs.items() if expected and label is None),
        without_image=tuple(
            label.name
            for group in labels
            for label in group
            if expected and not region.listed and label not in used
        ),
        damaged=damaged,
        sizes=dict(sizes),
        unlike=unlike,
    )


def _found(patterns: Sequence[str], root: Path) -> list[list[Path]]:
    """The files of each pattern, none where there are none."""
    found = []
    for pattern in patterns:
        try:
            files = named_files([pattern], root)
            found.append([file for file in files if isinstance(file, Path)])
        except MissingFileError:
            found.append([])
    return found


def _pairs(
    scenes: Sequence[Sequence[Path]], labels: Sequence[Sequence[Path]]
) -> dict[Path, Path | None]:
    """The label of each scene, among those of the pattern that stands where the scene's does."""
    if len(scenes) != len(labels):
        scenes, labels = (
            [[file for group in groups for file in group]] for groups in (scenes, labels)
        )
    pairs: dict[Path, Path | None] = {}
    for group, own in zip(scenes, labels, strict=True):
        ordered = sorted(own, key=lambda label: label.stem)
        named = [labels_of(scene, ordered) for scene in group]
        in_order = len(group) == len(own) and not any(named)
        for number, scene in enumerate(group):
            one = named[number][0] if len(named[number]) == 1 else None
            pairs[scene] = own[number] if in_order else one
    return pairs


def _size(
    file: Path,
    damaged: dict[Path, str],
    labels: config.RegionSettings | None = None,
    scheme: ClassScheme | None = None,
) -> Size | None:
    """Height and width of a file, or None where it is put among the damaged."""
    try:
        raster = Raster(file)
        colours = labels.label_colours if labels else {}
        read = ColourLabels(raster, colours).read if colours else raster.read
        for window in raster.blocks():
            values, valid = read(window, [1] if labels else None)
            if labels and scheme:
                scheme.encode(values[0], valid, where=file)
    except RsadaptError as error:
        damaged[file] = str(error)
        return None
    return raster.grid.shape
