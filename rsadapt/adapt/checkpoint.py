"""Checkpoints: tensors and plain values in one file, written whole, read without running code."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
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
        raise CheckpointError(
            f"{path}: not loaded, since it holds more than tensors and plain values and could run "
            f"code ({_reason(error)}); save its tensors alone, or get it from another source"
        ) from error
    except DAMAGE as error:
        raise CheckpointError(
            f"{path}: damaged or no checkpoint ({_first_line(error)}); copy it again"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: expected named tensors, found a {type(state).__name__}")
    return state


def _check_sums(path: Path) -> None:
    """Read a file's checksums, which torch.load does not; files of PyTorch 1.5 and older have none.

    Raises:
        BadZipFile: for contents that were changed.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")


def _reason(error: Exception) -> str:
    """What the file asks for; torch's first line advises to run the code."""
    told = (line for line in str(error).splitlines() if line.startswith(("Trying to", "Unsupp")))
    return next(told, "not in PyTorch's format")


def _first_line(error: Exception) -> str:
    if isinstance(error, KeyError):  # whose text is the key alone
        return f"KeyError {error}"
    return next(iter(str(error).splitlines()), type(error).__name__)
