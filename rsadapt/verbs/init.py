"""Init: look at a user's files and write a configuration for them, with comments."""

from __future__ import annotations

import colorsys
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsadapt import build, config
from rsadapt.build.regions import scene_bands
from rsadapt.classes import IGNORE_INDEX, NODATA, ClassScheme, Colour
from rsadapt.data.imagery import Places
from rsadapt.data.region import Region, Scene
from rsadapt.errors import DataError, OutputExistsError
from rsadapt.geo.location import located
from rsadapt.geo.place import sizes_differ
from rsadapt.geo.raster import Raster
from rsadapt.geo.vectors import is_vector
from rsadapt.infer.map_scores import CLASSES_TAG
from rsadapt.progress import Progress, watched

MAX_TILE = 256
"""Pixels of a training window's side where the scenes have room for it."""

DIGITS = 4
"""Of a pixel's size on the ground."""

TILE_STEP = 32
"""Windows are a multiple of this, the coarsest stride of the encoders, where that is possible."""

SHARE = 0.3
"""Share of the source kept for validation, where its scenes can be split by a line."""

NEAR = 2
"""Levels above the configuration's folder up to which files are named relative to it."""

CONTRAST = (
    "#ffb300",
    "#803e75",
    "#ff6800",
    "#a6bdd7",
    "#c10020",
    "#cea262",
    "#817066",
    "#007d34",
    "#f6768e",
    "#00538a",
    "#ff7a5c",
    "#53377a",
    "#ff8e00",
    "#b32851",
    "#f4c800",
    "#7f180d",
    "#93aa00",
    "#593315",
    "#f13a13",
    "#232c16",
)
"""Colours that differ as much as they can from those before them (Kelly 1965, "Twenty-two colors
of maximum contrast"), without black and white."""

GOLDEN = (math.sqrt(5) - 1) / 2
"""Steps of this much of the colour circle never meet."""


@dataclass(frozen=True)
class _Class:
    """A line of the class table.

    Attributes:
        name: what it is called until the user says better.
        ids: its label id, after a code for maps where the id itself cannot be one.
        colour: as "#rrggbb".
        share: of the labelled pixels.
    """

    name: str
    ids: tuple[int, ...]
    colour: str
    share: float


def init(
    source: Sequence[Path | str],
    labels: Sequence[Path | str],
    target: Sequence[Path | str],
    *,
    out: Path,
    progress: Progress | None = None,
) -> Path:
    """Write a configuration that trains as it is, to be improved by hand.

    Every label is read, so that the class table knows all ids. What cannot be known is guessed and
    said to be: names and colours of classes, unless the labels carry a class table of rsadapt.

    Args:
        source: labelled scenes, files, glob patterns or addresses.
        labels: their label rasters, in the same order, or vector files whose features are drawn.
        target: scenes to adapt to.
        out: the YAML file; paths near it are written relative to its folder.
        progress: called with a task's name, blocks read and blocks in all.

    Returns:
        `out`.

    Raises:
        OutputExistsError: where `out` exists.
        MissingFileError: for a file or pattern that matches nothing.
        DataError: for rasters that cannot be read or do not fit together, or labels that are none.
    """
    if out.exists():
        raise OutputExistsError(f"{out}: exists already; choose another name with --out")
    given = {"source": source, "labels": labels, "target": target}
    places, share = _open(given)
    regions = places.labelled()
    counts = _count_ids(regions, progress)
    ignored = sorted(_no_classes(counts) | _nodata(regions) | {IGNORE_INDEX})
    folder = out.resolve().parent
    pixels = _pixels(places)
    text = _write(
        {name: [_relative(path, folder) for path in paths] for name, paths in given.items()},
        classes=_classes(counts, ignored, _known(regions)),
        ignored=ignored,
        bands=_common_bands(places),
        share=share,
        tile=_tile(places, pixels),
        pixels=pixels,
    )
    folder.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    return out


def _relative(path: Path | str, folder: Path) -> str:
    """A file or pattern as the configuration names it: relative where it is near."""
    whole = located(path, Path.cwd())
    if not isinstance(whole, Path):
        return str(whole)
    relative = Path(os.path.relpath(whole, folder))
    return whole.as_posix() if relative.parts.count("..") > NEAR else relative.as_posix()


def _open(given: Mapping[str, Sequence[Path | str]]) -> tuple[Places[Region], float]:
    """Open both regions as training will; return the share for validation that works, too."""
    try:
        return build.geotiff_places(_draft(given, SHARE)), SHARE
    except DataError:  # no line splits the scenes, or they have a fault that shows again
        return build.geotiff_places(_draft(given, 0.0)), 0.0


def _draft(given: Mapping[str, Sequence[Path | str]], share: float) -> config.Configuration:
    """The configuration that is known before any file is: one band that every raster has."""
    files = {name: [str(path) for path in paths] for name, paths in given.items()}
    return config.parse(
        {
            "root": str(Path.cwd()),
            "bands": [1],
            "classes": [{"name": "any", "id": 0, "colour": "#000000"}],
            "source": {
                "scenes": files["source"],
                "labels": files["labels"],
                "validation": {"share": share},
            },
            "target": {"scenes": files["target"], "validation": {"share": 0.0}},
            "method": {"name": "source_only"},
        },
        where="--source, --labels and --target",
    )


# What the files say


def _scenes(regions: Sequence[Region]) -> list[Scene]:
    return [scene for region in regions for scene in region.scenes]


def _labels(regions: Sequence[Region]) -> list[Raster]:
    """The labels that are rasters."""
    return [scene.label for scene in _scenes(regions) if isinstance(scene.label, Raster)]


def _count_ids(regions: Sequence[Region], progress: Progress | None) -> Counter[int]:
    """Pixels of each label id, nodata excluded."""
    counts: Counter[int] = Counter()
    for region in regions:
        for scene, window in watched(region.blocks(), f"read {region.name} labels", progress):
            if scene.label is None:
                continue
            raw, valid = scene.label.read(window, [1])
            values, pixels = np.unique(raw[0][valid], return_counts=True)
            if np.any(values != np.floor(values)):
                raise DataError(f"{scene.label.path}: expected label ids, found fractions")
            counts.update(dict(zip(map(int, values), map(int, pixels), strict=True)))
            if len(counts) > NODATA + 1:
                raise DataError(
                    f"{scene.label.path}: expected at most {NODATA} label ids, found more; "
                    f"is it an image? give label rasters with --labels"
                )
    if not counts:
        raise DataError("the labels have no valid pixel; check their nodata value")
    return counts


def _no_classes(ids: Counter[int]) -> set[int]:
    """Ids that by custom stand for unlabelled pixels: 255 and whatever is negative."""
    return {value for value in ids if value < 0 or value == IGNORE_INDEX}


def _nodata(regions: Sequence[Region]) -> set[int]:
    """The labels' own nodata values, where they are ids."""
    values = [label.nodata for label in _labels(regions)]
    return {int(value) for value in values if value is not None and float(value).is_integer()}


def _known(regions: Sequence[Region]) -> dict[int, tuple[str, Colour]]:
    """Name and colour of ids by the class tables that maps of rsadapt carry."""
    known: dict[int, tuple[str, Colour]] = {}
    for label in _labels(regions):
        if CLASSES_TAG in label.tags:
            scheme = ClassScheme.from_dict(json.loads(label.tags[CLASSES_TAG]))
            named = zip(scheme.names, scheme.colours, strict=True)
            known.update(zip(scheme.codes, named, strict=True))
    return known


def _classes(
    counts: Counter[int], ignored: Sequence[int], known: dict[int, tuple[str, Colour]]
) -> list[_Class]:
    ids = sorted(counts.keys() - set(ignored))
    free = iter(sorted(set(range(NODATA)) - set(ids) - set(ignored)))
    total = sum(counts[value] for value in ids)
    classes = []
    for number, value in enumerate(ids):
        name, colour = f"class {value}", _colour(number)
        if value in known:
            name, (red, green, blue) = known[value]
            colour = f"#{red:02x}{green:02x}{blue:02x}"
        codes = (value,) if value < NODATA else (next(free), value)
        classes.append(_Class(name, codes, colour, counts[value] / total))
    if not classes:
        raise DataError(f"the labels hold no id but {sorted(counts)}, which is unlabelled")
    return classes


def _colour(number: int) -> str:
    """The colour of a class: of greatest contrast, or around the colour circle beyond those."""
    if number < len(CONTRAST):
        return CONTRAST[number]
    red, green, blue = colorsys.hls_to_rgb(number * GOLDEN % 1, (0.35, 0.6)[number % 2], 0.7)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _common_bands(places: Places[Region]) -> list[int] | None:
    """The bands beside alpha that all scenes have; None where each has these by default."""
    images = [scene.image for scene in _scenes(_parts(places))]
    own = {scene_bands(image, None) for image in images}
    if len(own) > 1 and len(set(map(len, own))) == 1:
        return None  # alpha comes first in one region
    shared = sorted(set[int].intersection(*map(set, own)))
    return None if all(len(shared) == image.count for image in images) else shared


def _pixels(places: Places[Region]) -> dict[str, float]:
    """Metres on the ground to bring the region of the finer pixels to; of none if alike."""
    ours, theirs = places.source.training.ground_pixel, places.target.training.ground_pixel
    if ours is None or theirs is None or not sizes_differ(ours, theirs):
        return {}
    coarser = float(f"{max(ours, theirs):.{DIGITS}g}")
    return {"source" if ours < theirs else "target": coarser}


def _tile(places: Places[Region], pixels: Mapping[str, float]) -> int:
    """The largest window up to `MAX_TILE` that every scene and some training area can hold."""
    room = [float(MAX_TILE)]
    for name, place in (("source", places.source), ("target", places.target)):
        own = place.training.ground_pixel
        shrunk, edge = 1.0, 0
        if own is not None and name in pixels:
            shrunk, edge = own / pixels[name], 1  # warping may take a row
        parts = [part for part in (place.training, place.validation) if part is not None]
        smallest = min(min(scene.image.grid.shape) for scene in _scenes(parts))
        widest = max(min(s.area.height, s.area.width) for s in place.training.scenes)
        room += [shrunk * smallest - edge, shrunk * widest - edge]
    return max(TILE_STEP, int(min(room)) // TILE_STEP * TILE_STEP)


def _parts(places: Places[Region]) -> list[Region]:
    parts = [places.source.training, places.source.validation, places.target.training]
    return [part for part in parts if part is not None]


# The file


def _write(
    patterns: Mapping[str, Sequence[str]],
    *,
    classes: Sequence[_Class],
    ignored: Sequence[int],
    bands: list[int] | None,
    share: float,
    tile: int,
    pixels: Mapping[str, float],
) -> str:
    table = "\n".join(
        f"  - {{name: {json.dumps(entry.name)}, id: {_ids(entry.ids)}, "
        f'colour: "{entry.colour}"}} # {entry.share:.1%} of the labelled pixels'
        for entry in classes
    )
    chosen = "# bands: [1, 2, 3] # 1-based; all but alpha unless given"
    if bands is not None:
        chosen = f"bands: {bands} # 1-based; those that every scene has, without alpha"
    return f"""\
# Written by `rsadapt init`. Look at the data with `rsadapt inspect`, then `rsadapt train`.
# Every field that is not here has a default; a run's config.yaml lists all of them.
seed: 0
root: . # files below are relative to this folder, and it to this file's

# Position is the network's class; id is what labels and maps hold. Give every class its name and
# colour. Several ids can be one class: id: [3, 4]; the first is what maps hold (0 to 254).
classes:
{table}
ignored_ids: {list(ignored)} # label ids of unlabelled pixels; add 0 here if that is what it means
{chosen}
normalise_by: region # each region by its own statistics; source: both by the source's
# statistics: {{pixels: 50000000}} # of a sample of about so many pixels; of all unless given

source: # labelled
{_files("scenes", patterns["source"])}
{_files("labels", patterns["labels"])}
{_polygons(patterns["labels"])}{_pixel("source", pixels)}  # kept apart, to score; 0 keeps none:
  validation: {{side: east, share: {share}}}

target: # adapted to; training never opens its labels
{_files("scenes", patterns["target"])}
{_pixel("target", pixels)}  # labels: [labels/*.tif] # in the scenes' order, to score
  # the part kept apart, whose share must then be above 0:
  validation: {{side: east, share: 0.0}}

network:
  encoder: resnet18 # small: quickest, for a first look; resnet34, resnet50, resnet101: slower
  pretrained: false # true: start from ImageNet weights (downloaded once); not with small
  levels: 2
  batch_norm: per_domain # the target is predicted with statistics of its own
  batch_norm_momentum: 0.02

method: # adversarial, in output space; the baseline: --set 'method={{name: source_only}}'
  name: output_space
  segmentation: [0.4, 1.0] # weight of the supervised loss at each level, main level last
  adversarial: [0.04, 0.2] # of the adversarial loss; lower it where classes vanish from the maps

optimiser:
  name: adamw
  rate: 0.001
  head_factor: 1.0
  weight_decay: 0.01

# It helps to train source_only first and to go on from there: init_from: runs/source
training:
  steps: 4000
  batch_size: 4 # windows of each region in a step
  tile: {tile} # pixels of a window's side; the smallest scene and a training part must hold it
  augment: [dihedral] # flips and quarter turns; also: rotate, scale, brightness, contrast, noise

prediction:
  tile: 1024
  overlap: 192

device:
  accelerator: auto # the GPU where there is one
"""


def _polygons(labels: Sequence[str]) -> str:
    """How labels that are vector files are drawn; nothing for rasters."""
    if not any(is_vector(Path(pattern)) for pattern in labels):
        return ""
    return (
        "  polygons: {inside: 1, outside: 0} # label ids; where a field tells the class:\n"
        "  # polygons: {field: NAME, ids: {VALUE: 1, OTHER: 2}, outside: 0}\n"
    )


def _ids(ids: tuple[int, ...]) -> str:
    return str(ids[0]) if len(ids) == 1 else str(list(ids))


def _pixel(name: str, pixels: Mapping[str, float]) -> str:
    """The line that brings a region to another ground size; none where it is the coarser one's."""
    if name not in pixels:
        return ""
    other = "target" if name == "source" else "source"
    return f"  pixel: {pixels[name]:g} # metres on the ground: warps scenes to the {other}'s\n"


def _files(field: str, patterns: Sequence[str]) -> str:
    """A list of files, quoted, since names may hold what YAML takes for something else."""
    lines = (f"    - {json.dumps(pattern, ensure_ascii=False)}" for pattern in patterns)
    return "\n".join([f"  {field}:", *lines])
