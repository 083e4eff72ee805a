"""Maps of several scenes as one: a VRT that shows them, or one cloud-optimised GeoTIFF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rsadapt.errors import DataError, OutputExistsError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.maps import companions, join, link
from rsadapt.geo.raster import Raster
from rsadapt.infer.layers import Layer, LayerName
from rsadapt.infer.map_scores import MOSAIC
from rsadapt.infer.predict import FINGERPRINT

MosaicKind = Literal["vrt", "cog"]


@dataclass(frozen=True)
class PredictedMosaic:
    """The maps of several scenes as one.

    Attributes:
        layers: the raster of each layer.
        files: all that was written, the layers first.
        note: worth a word to the user; nothing.
    """

    layers: Mapping[LayerName, Path]
    files: tuple[Path, ...]
    note: str = ""


def mosaic_files(
    out: Path, layers: Sequence[Layer], kind: MosaicKind, *, mark: str, overwrite: bool
) -> dict[LayerName, Path]:
    """The file of each layer's mosaic: `mosaic_<layer>`.

    Args:
        out: the folder.
        layers: what the maps hold.
        kind: of files.
        mark: a fingerprint of all that decides the mosaics, which theirs are kept by.
        overwrite: whether files that are there are replaced.

    Raises:
        OutputExistsError: for another one that is there already, without `overwrite`.
    """
    suffix = ".vrt" if kind == "vrt" else ".tif"
    files = {layer.name: out / f"{MOSAIC}_{layer.name}{suffix}" for layer in layers}
    for file in files.values():
        replaced = file.is_file() and (overwrite or _marked(file, mark))
        if file.exists() and not replaced:
            raise OutputExistsError.left(file, choose="another folder")
    return files


def write_mosaic(
    maps: Sequence[Mapping[LayerName, Path]],
    files: Mapping[LayerName, Path],
    *,
    grid: Grid,
    windows: Sequence[Window],
    layers: Sequence[Layer],
    mark: str,
    overwrite: bool,
) -> PredictedMosaic:
    """Write a mosaic of each layer; later scenes lie over earlier ones, their nodata over nothing.

    It says of its origin what all its maps say. One that is whole already is kept.

    Args:
        maps: of each scene.
        files: what to write of each layer, by its suffix.
        grid: of the mosaic.
        windows: the pixels of the grid that each scene holds.
        layers: what the maps hold.
        mark: see `mosaic_files`.
        overwrite: whether whole ones are written again.

    Raises:
        DataError: where it cannot be written.
    """
    for layer in layers:
        path = files[layer.name]
        if _marked(path, mark) and not overwrite:
            continue
        parts = [(scene[layer.name], window) for scene, window in zip(maps, windows, strict=True)]
        tags = _common([Raster(part).tags for part, _ in parts]) | {FINGERPRINT: mark}
        if path.suffix == ".vrt":
            link(parts, path, grid, layer.bands, tags=tags)
        else:
            join(parts, path, grid, layer.bands, tags=tags, overlapping=True)
    beside = [file for layer in layers for file in companions(files[layer.name], layer.bands)]
    return PredictedMosaic(files, (*files.values(), *beside))


def _marked(file: Path, mark: str) -> bool:
    """Whether a mosaic is there that the same decided."""
    try:
        return file.is_file() and Raster(file).tags.get(FINGERPRINT) == mark
    except DataError:
        return False


def _common(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The tags of this package that all have alike."""
    first, *others = tags
    return {
        key: value
        for key, value in first.items()
        if key.startswith("RSADAPT_") and all(other.get(key) == value for other in others)
    }
