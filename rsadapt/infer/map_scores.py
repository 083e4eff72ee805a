"""Finished maps in, one confusion matrix out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.grid import Window
from rsadapt.geo.raster import Raster
from rsadapt.infer.metrics import ConfusionMatrix
from rsadapt.progress import Progress, watched

RASTER_SUFFIXES = (".tif", ".tiff", ".png", ".jp2", ".img", ".vrt")
"""What counts as a raster in a folder; the rest (.xml, .qml, .tfw ...) goes with one."""

COMPANIONS = ("confidence", "entropy", "margin", "probabilities")
"""The layers besides classes that `predict` writes of a scene."""

MOSAIC = "mosaic"
"""What the maps of several scenes as one are called, in place of a scene's name."""

CLASSES_TAG = "RSADAPT_CLASSES"
"""The tag of a class map that holds its class table, JSON."""


def evaluate_maps(
    pairs: Sequence[tuple[Path, Path]], scheme: ClassScheme, progress: Progress | None = None
) -> ConfusionMatrix:
    """Count finished maps against label rasters, block by block.

    Args:
        pairs: (map, label raster), each pair on one grid. Nodata and ignored ids of a label are
            left out; those of a map are counted as missed.
        scheme: the class table of both.
        progress: called with "score maps", maps done and maps in all.

    Raises:
        DataError: for a pair on two grids, an unreadable file or ids outside the class table.
        MissingFileError: for a file that is not there.
    """
    matrix = ConfusionMatrix(len(scheme))
    for map_path, label_path in watched(pairs, "score maps", progress):
        prediction, label = Raster(map_path), Raster(label_path)
        _check_grids(prediction, label)
        for window in label.blocks(None):
            matrix.update(_train_ids(label, window, scheme), _train_ids(prediction, window, scheme))
    return matrix


def scheme_of_maps(maps: Sequence[Path]) -> ClassScheme:
    """The class table that `predict` wrote into maps.

    Raises:
        DataError: for a map without one, or maps of different tables.
    """
    tables = {}
    for path in maps:
        text = Raster(path).tags.get(CLASSES_TAG)
        if text is None:
            raise DataError(
                f"{path}: holds no class table; name a configuration that has it (--classes)"
            )
        tables[text] = path
    if len(tables) != 1:
        listed = " and ".join(path.name for path in tables.values())
        raise DataError(f"{maps[0].parent}: {listed} have different class tables; score them apart")
    return ClassScheme.from_dict(json.loads(next(iter(tables))))


def pair_by_name(maps: Path, labels: Path) -> list[tuple[Path, Path]]:
    """Pair the maps of one folder with the label rasters of another by file stem.

    A map may carry the suffix "_classes" that `predict_scene` gives it; the other layers beside
    it, and a mosaic of the maps, are passed over.

    Args:
        maps: the folder of class maps.
        labels: the folder of label rasters.

    Returns:
        (map, label) in the order of their names.

    Raises:
        MissingFileError: for a folder that is not there.
        DataError: for rasters without a partner, all named, two of one name, or none at all.
    """
    by_label = _by_name((path, path.stem) for path in _rasters(labels))
    by_map = _by_name(
        (path, path.stem if path.stem in by_label else path.stem.removesuffix("_classes"))
        for path in _class_maps(maps)
    )
    lone = [by_map[name] for name in sorted(by_map.keys() - by_label.keys())]
    lone += [by_label[name] for name in sorted(by_label.keys() - by_map.keys())]
    if lone:
        raise DataError(
            f"every map needs a label raster of the same name and the other way round; without a "
            f"partner are {', '.join(map(str, lone))}; rename or remove them"
        )
    if not by_map:
        raise DataError(f"no raster in {maps} and {labels}; expected {', '.join(RASTER_SUFFIXES)}")
    return [(by_map[name], by_label[name]) for name in sorted(by_map)]


def _check_grids(prediction: Raster, label: Raster) -> None:
    if not prediction.grid.matches(label.grid):
        raise DataError(
            f"a map and its labels must lie on one grid, found {_place(prediction)} and "
            f"{_place(label)}; warp the labels to the map's grid"
        )


def _place(raster: Raster) -> str:
    grid = raster.grid
    return (
        f"{raster.path} ({grid.height} x {grid.width} pixels, CRS {grid.crs}, transform "
        f"{tuple(grid.transform)[:6]})"
    )


def _train_ids(raster: Raster, window: Window, scheme: ClassScheme) -> NDArray[np.uint8]:
    """Read train ids [height, width], 255 where the raster is invalid."""
    values, valid = raster.read(window, [1])
    return scheme.encode(values[0], valid, where=raster.path)


def _rasters(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MissingFileError(f"expected a folder of rasters, found none at {folder}")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in RASTER_SUFFIXES)


def _class_maps(folder: Path) -> list[Path]:
    """List the rasters of a folder without the maps that `predict` writes beside class maps."""
    paths = _rasters(folder)
    scenes = {
        path.stem.removesuffix("_classes") for path in paths if path.stem.endswith("_classes")
    }
    companions = {f"{scene}_{layer}" for scene in scenes for layer in COMPANIONS}
    if scenes - {MOSAIC}:
        companions.add(f"{MOSAIC}_classes")
    return [path for path in paths if path.stem not in companions]


def _by_name(named: Iterable[tuple[Path, str]]) -> dict[str, Path]:
    table: dict[str, Path] = {}
    for path, name in named:
        if name in table:
            raise DataError(f"{table[name]} and {path} have one name; keep one of them")
        table[name] = path
    return table
