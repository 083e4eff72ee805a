"""The files that a configuration names: one by one, by pattern, by folder or by an index."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.vectors import is_vector, read_fields

RASTER_SUFFIXES = frozenset({".img", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".vrt"})
"""Of the files in a folder that are taken for scenes."""

COLUMNS = ("location", "path", "file", "scene", "filename")
"""What the column of an index may be called that names its files; gdaltindex writes the first."""


def named_files(patterns: Sequence[str], root: Path, *, indices: bool) -> list[Path]:
    """The files that patterns name, in order of patterns, each pattern's sorted, none twice.

    Args:
        patterns: files, glob patterns, folders (whose rasters and vector files are taken, those
            of its folders are not), or with `indices` a table of files: CSV, a vector file as
            gdaltindex writes it, or a STAC item. Relative paths in an index start at its folder.
        root: what relative patterns start at.
        indices: whether tables and vector files list other files.

    Raises:
        MissingFileError: for a file or pattern that matches nothing, or an index whose files are
            not there.
        DataError: for an index that cannot be read.
    """
    files: dict[Path, None] = {}
    for pattern in patterns:
        files.update(dict.fromkeys(_of(root / pattern, indices=indices)))
    return list(files)


def listed_files(files: Sequence[Path], lists: Sequence[str], root: Path) -> list[Path]:
    """Those of the files that text files list, a name a line, with its ending or without.

    Raises:
        MissingFileError: for a list that is not there, or where none of the files is listed.
        DataError: for a list that is no text.
    """
    if not lists:
        return list(files)
    names = {Path(line).name for entry in lists for line in _lines(root / entry)}
    found = [file for file in files if file.name in names or file.stem in names]
    if not found:
        raise MissingFileError(
            f"{root / lists[0]}: lists {len(names)} names, and none of {len(files)} scenes, such "
            f"as {files[0].name}, is among them; check 'listed'"
        )
    return found


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError as error:
        raise MissingFileError(f"{file}: no such file, though 'listed' names it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: expected a text file of names, found none ({error})") from error


def _of(whole: Path, *, indices: bool) -> Iterable[Path]:
    if whole.is_dir():
        return _in_folder(whole)
    if whole.is_file():
        listed = indices and (whole.suffix.lower() == ".csv" or is_vector(whole))
        return _listed(whole) if listed else [whole]
    anchor = Path(whole.anchor)
    found = sorted(file for file in anchor.glob(str(whole.relative_to(anchor))) if file.is_file())
    if not found:
        raise MissingFileError(f"{whole}: no such file, and no file of that pattern")
    return found


def _in_folder(folder: Path) -> list[Path]:
    found = sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and (file.suffix.lower() in RASTER_SUFFIXES or is_vector(file))
    )
    if not found:
        raise MissingFileError(
            f"{folder}: expected rasters in this folder, found none; name them by a pattern "
            f"({folder.name}/*)"
        )
    return found


def _listed(index: Path) -> list[Path]:
    """The files that an index lists, in its order."""
    names = _stac_assets(index) if index.suffix.lower() == ".json" else None
    if names is None:
        names = _column(_rows(index), index)
    files = [index.parent / name for name in names]
    for file in files:
        if not file.is_file():
            raise MissingFileError(f"{file}: no such file, though {index} lists it")
    return files


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


def _stac_assets(index: Path) -> list[str] | None:
    """The data asset of a STAC item (STAC 1.0, "Asset Object"); None for other JSON."""
    try:
        item = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{index}: expected JSON, found none ({error})") from error
    if not isinstance(item, dict) or "stac_version" not in item:
        return None
    assets = item.get("assets", {})
    data = [asset["href"] for asset in assets.values() if "data" in asset.get("roles", [])]
    if len(data) != 1:
        raise DataError(
            f"{index}: expected one asset with the role 'data', found {len(data)} among "
            f"{', '.join(assets) or 'none'}; join files of one band to one raster "
            f"(gdalbuildvrt -separate) and name that"
        )
    return data
