"""Checkpoints: tensors and plain values in one file, written whole, read without running code."""

from __future__ import annotations

import os
import pickle
import re
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from rsadapt.errors import CheckpointError, MissingFileError

DAMAGE = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    struct.error,
    zipfile.BadZipFile,
)
"""What `torch.load` is seen to raise for files cut short, altered or of another kind."""

ZIP = b"PK\x03\x04"
"""What a zip archive begins with."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values to a file, under another name until it is whole.

    Args:
        path: the file.
        state: nested dictionaries and lists of tensors, numbers and texts.
    """
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a file that `save` wrote, onto the CPU.

    Raises:
        MissingFileError: where there is none.
        CheckpointError: for a damaged file, one that is no checkpoint, or one that would run code.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no checkpoint here; name a run folder or a weight file")
    try:
        _check_sums(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: {_refusal(error)}") from error
    except DAMAGE as error:
        raise CheckpointError(
            f"{path}: damaged or no checkpoint ({_first_sentence(error)}); copy it again"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: expected named tensors, found a {type(state).__name__}")
    return state


def require(state: dict[str, Any], parts: Iterable[str], *, where: Path) -> None:
    """Make sure that what `load` gave has its parts.

    Raises:
        CheckpointError: naming those that are missing.
    """
    missing = [part for part in parts if part not in state]
    if missing:
        raise CheckpointError(
            f"{where}: no whole checkpoint of a run, {', '.join(missing)} missing; copy it again, "
            f"or train anew"
        )


def _check_sums(path: Path) -> None:
    """Read a file's checksums, which torch.load does not; files of PyTorch 1.5 and older have none.

    Raises:
        BadZipFile: for contents that were changed or cut short.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if file.read(len(ZIP)) == ZIP:  # is_zipfile looks for an archive's end
                raise zipfile.BadZipFile("cut short")
        return
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")


def _refusal(error: pickle.UnpicklingError) -> str:
    """Why a file was not read, and the cure; torch's own text advises to run the code."""
    asked = re.search(r"GLOBAL (\S+)|unrecognized function (.+)", str(error))
    if asked is None:
        return (
            "not in PyTorch's format, or damaged; a saved web page or a git-lfs pointer? Get the "
            "file itself, or copy it again"
        )
    return (
        f"not loaded, since it holds more than tensors and plain values and could run code (it "
        f"asks for {asked[1] or asked[2]}); save its tensors alone, or get it from another source"
    )


def _first_sentence(error: Exception) -> str:
    if isinstance(error, KeyError):  # whose text is the key alone
        return f"KeyError {error}"
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return "another format" if "weights_only" in first else first.partition(". ")[0]
