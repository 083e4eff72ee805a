"""Checkpoints: tensors and plain values in one file, written whole, read without running code."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from rsadapt.errors import CheckpointError, DamagedCheckpointError, MissingFileError
from rsadapt.whole import written_whole

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

MARK = b"sha256:"
"""What the comment begins with that `save` ends the archive with; the digest follows."""

COMMENT = len(MARK) + 2 * hashlib.sha256().digest_size
"""Bytes of it."""

PIECE = 2**20
"""Bytes read at a time to take a digest."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values to a file, under another name until it is whole.

    It is an archive as `torch.save` writes it, whose comment is the SHA-256 of all before it: the
    archive's own checksums leave out its table of contents.

    Args:
        path: the file.
        state: nested dictionaries and lists of tensors, numbers and texts.
    """
    with written_whole(path) as part, part.open("w+b") as file:
        torch.save(state, file)
        file.seek(-2, os.SEEK_END)  # the length of the comment, none so far
        file.write(struct.pack("<H", COMMENT))
        file.write(MARK + _digest(file, file.tell()).encode())


def load(path: Path) -> dict[str, Any]:
    """Read a file that `save` wrote, onto the CPU.

    Raises:
        MissingFileError: where there is none.
        DamagedCheckpointError: for a damaged file, or one that is no checkpoint.
        CheckpointError: for one that would run code, or holds no named values.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no checkpoint here; name a run folder or a weight file")
    try:
        _check_whole(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(path, error) from error
    except DAMAGE as error:
        raise DamagedCheckpointError(
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


def _check_whole(path: Path) -> None:
    """Hold a file against its digest or, where another program wrote it, its checksums.

    `torch.load` looks at neither; files of PyTorch 1.5 and older have none.

    Raises:
        BadZipFile: for contents that were changed or cut short.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - COMMENT))
        comment = file.read()
        if MARK in comment:  # behind its place where the file was cut short
            if comment != MARK + _digest(file, size - COMMENT).encode():
                raise zipfile.BadZipFile("its digest is wrong")
            return
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if file.read(len(ZIP)) == ZIP:  # is_zipfile looks for an archive's end
                raise zipfile.BadZipFile("cut short")
        return
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")


def _digest(file: BinaryIO, size: int) -> str:
    """The SHA-256 of a file's first `size` bytes, hexadecimal; leaves off behind them."""
    file.seek(0)
    found = hashlib.sha256()
    while size and (piece := file.read(min(size, PIECE))):
        found.update(piece)
        size -= len(piece)
    return found.hexdigest()


def _refusal(path: Path, error: pickle.UnpicklingError) -> CheckpointError:
    """Why a file was not read, and the cure; torch's own text advises to run the code."""
    asked = re.search(r"GLOBAL (\S+)|unrecognized function (.+)", str(error))
    if asked is None:
        return DamagedCheckpointError(
            f"{path}: not in PyTorch's format, or damaged; a saved web page or a git-lfs pointer? "
            f"Get the file itself, or copy it again"
        )
    return CheckpointError(
        f"{path}: not loaded, since it holds more than tensors and plain values and could run code "
        f"(it asks for {asked[1] or asked[2]}); save its tensors alone, or get it from another "
        f"source"
    )


def _first_sentence(error: Exception) -> str:
    if isinstance(error, KeyError):  # whose text is the key alone
        return f"KeyError {error}"
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return "another format" if "weights_only" in first else first.partition(". ")[0]
