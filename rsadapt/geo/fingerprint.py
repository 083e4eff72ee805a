"""A short text that tells whether pixels are still those that something was taken of."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

DIGITS = 32
"""Hexadecimal digits of a fingerprint."""


def fingerprint(*parts: Any) -> str:
    """Hash what pixels are made of: files, grids, masks, areas, bands and choices.

    A file counts by its name, size and time of change, so that a folder may be moved; what is no
    file of this machine counts by its address alone. Objects of this package count by what they
    pickle as, which must be all that decides their pixels, and those that tell their `files` by
    these too.

    Args:
        parts: plain values, paths, and objects of this package or of others that pickle.

    Returns:
        The first `DIGITS` digits of the hash; another one where anything changed.
    """
    text = json.dumps([_plain(part) for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _plain(value: Any) -> Any:
    """What a value is, for JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return _file(value)
    if type(value) in (list, tuple, dict):
        parts = value.items() if isinstance(value, dict) else value
        return [_plain(part) for part in parts]
    if type(value).__module__.split(".")[0] != __name__.split(".")[0]:
        return hashlib.sha256(pickle.dumps(value)).hexdigest()
    return [type(value).__name__, *_plain(_made_of(value))]


def _made_of(value: Any) -> list[Any]:
    """What makes an object of this package: its fields, or what it pickles as, and its files."""
    own = vars(type(value))
    if is_dataclass(value):
        return [getattr(value, field.name) for field in fields(value)]
    if "__reduce__" in own:
        _, made_of = value.__reduce__()
        return [*made_of, *(value.files() if "files" in own else ())]
    return list(vars(value).items())


def _file(path: Path) -> list[Any]:
    try:
        found = path.stat()
    except OSError:  # in an archive or elsewhere on the net
        return [str(path)]
    return [path.name, found.st_size, found.st_mtime_ns]
