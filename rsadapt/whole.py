"""Files that are there whole or not at all, whatever ends the process or the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".part"
"""What stands behind the name of a file that is not whole yet."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give the name to write a file under, which becomes `path` once all of it is on the disk.

    What was at `path` stays until then. A kill may leave the other name, `path` with `PART` behind
    it, which the next writing replaces.
    """
    part = path.with_name(path.name + PART)
    try:
        yield part
        sync(part)
        part.replace(path)
    except BaseException:  # Ctrl-C, too
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    folder = path.is_dir()
    if folder and os.name != "posix":  # elsewhere folders cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
