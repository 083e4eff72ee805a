"""The files that a configuration names: one by one, by pattern, by folder or by an index."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsadapt.build.bands import BandFiles, SceneFiles, band_scenes, stac_scene
from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.location import Location, Subdataset, located
from rsadapt.geo.raster import raster_suffixes
from rsadapt.geo.vectors import is_vector, read_fields

COLUMNS = ("location", "path", "file", "scene", "filename")
"""What the column of an index may be called that names its files; gdaltindex writes the first."""


def named_files(patterns: Sequence[str], root: Path) -> list[Location]:
    """The files that patterns name, in order of patterns, each pattern's sorted, none twice.

    Args:
        patterns: files, addresses, glob patterns, or folders, whose rasters and vector files are
            taken; those of its folders are not.
        root: what relative patterns start at.

    Raises:
        MissingFileError: for a file or pattern that matches nothing.
        DataError: for a pattern of addresses, or a vector file that is not local.
    """
    return list(dict.fromkeys(file for pattern in patterns for file in _of(pattern, root)))


def named_scenes(
    patterns: Sequence[str], root: Path, *, bands: Sequence[int | str] = ()
) -> list[SceneFiles]:
    """The scenes that patterns name, as `named_files`; tables of files are opened, and STAC items.

    Args:
        patterns: as of `named_files`, or tables: CSV, or vector files as gdaltindex writes them.
            Relative paths in a table or item start at its folder.
        root: what relative patterns start at.
        bands: that are asked for: of a STAC item, no others are opened.

    Raises:
        MissingFileError: as `named_files`, or for a table whose files are not there.
        DataError: as `named_files`, or for a table or item that cannot be read.
    """
    scenes: dict[SceneFiles, None] = {}
    for pattern in patterns:
        for file in _of(pattern, root):
            single = file == located(pattern, root)
            scenes.update(dict.fromkeys(_expanded(file, bands, single=single)))
    return list(scenes)


def vector_files(patterns: Sequence[str], root: Path) -> list[Path]:
    """The vector files that patterns name, which lie on this machine.

    Raises:
        MissingFileError, DataError: as `named_files`, or for an address.
    """
    files = named_files(patterns, root)
    local = [file for file in files if isinstance(file, Path)]
    if len(local) < len(files):
        remote = next(file for file in files if not isinstance(file, Path))
        raise DataError(f"{remote}: expected a local vector file, found an address; download it")
    return local


def listed_files(files: Sequence[SceneFiles], lists: Sequence[str], root: Path) -> list[SceneFiles]:
    """Those of the files that text files list, a name a line, with its ending or without.

    Raises:
        MissingFileError: for a list that is not there, or where none of the files is listed.
        DataError: for a list that is no text.
    """
    if not lists:
        return list(files)
    names = {Path(line).name for entry in lists for line in _lines(root / entry)}
    found = [file for file in files if _called(file) & names]
    if not found:
        raise MissingFileError(
            f"{root / lists[0]}: lists {len(names)} names, and none of {len(files)} scenes, such "
            f"as {max(_called(files[0]), key=len)}, is among them; check 'listed'"
        )
    return found


def _called(file: SceneFiles) -> set[str]:
    """The names by which a list may know a scene."""
    return {file.stem, file.path.name if isinstance(file, BandFiles) else file.name}


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError as error:
        raise MissingFileError(f"{file}: no such file, though 'listed' names it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: expected a text file of names, found none ({error})") from error


def named_bands(patterns: Mapping[str, str], root: Path) -> list[BandFiles]:
    """The scenes whose bands lie in files of their own, by a pattern of each band.

    Raises:
        MissingFileError, DataError: as `named_files`, or where files cannot be paired.
    """
    return band_scenes(patterns, {band: named_files([p], root) for band, p in patterns.items()})


def scene_named(text: Path | str, bands: Sequence[int | str]) -> SceneFiles:
    """One scene: a file, an address or a STAC item.

    Raises:
        MissingFileError, DataError: for an item that cannot be read.
    """
    file = located(text)
    item = stac_item(file)
    return file if item is None else _stac(item[0], item[1], bands)


def _of(pattern: str, root: Path) -> Sequence[Location]:
    whole = located(pattern, root)
    if not isinstance(whole, Path):
        return [_address(whole)]
    if whole.is_dir():
        return _in_folder(whole)
    if whole.is_file():
        return [whole]
    anchor = Path(whole.anchor)
    found = sorted(file for file in anchor.glob(str(whole.relative_to(anchor))) if file.is_file())
    if not found:
        raise MissingFileError(f"{whole}: no such file, and no file of that pattern")
    return found


def _address(location: Location) -> Location:
    """Refuse what is read from this machine's folders only."""
    if "*" in str(location):
        raise DataError(
            f"{location}: expected the address of one raster, found a pattern, and servers are not "
            f"asked what they hold; name every file, or list them in a local table (CSV)"
        )
    local = isinstance(location, Subdataset)
    if not local and (location.suffix.lower() == ".csv" or is_vector(location)):
        raise DataError(
            f"{location}: expected a raster at this address, found a table or vector file by its "
            f"name; download it and name the local file"
        )
    return location


def _in_folder(folder: Path) -> list[Path]:
    suffixes = raster_suffixes()
    found = sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and (file.suffix.lower() in suffixes or is_vector(file))
    )
    if not found:
        raise MissingFileError(
            f"{folder}: expected rasters in this folder, found none; name them by a pattern "
            f"({folder.name}/*)"
        )
    return found


def _expanded(file: Location, bands: Sequence[int | str], *, single: bool) -> Sequence[SceneFiles]:
    """The scenes of an index or STAC item; another file itself.

    A pattern or folder may hold vector files of labels, so that of theirs only items are opened.
    """
    item = stac_item(file)
    if item is not None:
        return [_stac(item[0], item[1], bands)]
    if single and isinstance(file, Path) and (file.suffix.lower() == ".csv" or is_vector(file)):
        return _listed(file)
    return [file]


def _listed(index: Path) -> list[Location]:
    """The files that an index lists, in its order."""
    files = [located(name, index.parent) for name in _column(_rows(index), index)]
    for file in files:
        _check_listed(file, index)
    return files


def _check_listed(file: Location, index: Path) -> None:
    if isinstance(file, Path) and not file.is_file():
        raise MissingFileError(f"{file}: no such file, though {index} lists it")


def _rows(index: Path) -> list[dict[str, Any]]:
    if index.suffix.lower() != ".csv":
        return read_fields(index)
    try:
        with index.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{index}: expected a table with a header, found none ({error})") from error


def _column(rows: Sequence[dict[str, Any]], index: Path) -> list[str]:
    fields = list(rows[0]) if rows else []
    column = next((name for name in fields if str(name).lower() in COLUMNS), None)
    if column is None:
        raise DataError(
            f"{index}: expected a column of files called {', '.join(COLUMNS)}, found "
            f"{', '.join(map(str, fields)) or 'no row'}; rename it"
        )
    return [str(row[column]) for row in rows]


def stac_item(file: Location) -> tuple[Path, dict[str, Any]] | None:
    """A STAC item's file and what it holds; None for any other file."""
    if not isinstance(file, Path) or file.suffix.lower() != ".json" or not file.is_file():
        return None
    try:
        item = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: expected JSON, found none ({error})") from error
    return (file, item) if isinstance(item, dict) and "stac_version" in item else None


def _stac(item: Path, values: dict[str, Any], bands: Sequence[int | str]) -> SceneFiles:
    scene = stac_scene(item, values, bands)
    for file in scene.files if isinstance(scene, BandFiles) else (scene,):
        _check_listed(file, item)
    return scene
