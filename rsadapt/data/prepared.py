"""Frames decoded and resized once and kept as raw arrays, which load many times as fast."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.classes import ClassScheme
from rsadapt.data.folder import dataset_scheme
from rsadapt.data.frames import FramePixels, Frames
from rsadapt.data.images import PART, publish
from rsadapt.errors import ConfigError, DataError, MissingFileError, OutputExistsError
from rsadapt.progress import Progress, watched

FACTS = "prepared.json"
"""The file that says what a folder of prepared frames holds."""

DIGESTS = {
    "names_sha256": "the frames' names differ",
    "images_sha256": "the image files differ in size, as those of another folder do",
    "labels_sha256": "the label files differ in size, as those of another folder do",
}
"""What it means that two folders differ in one of these facts."""

HEADER = 128
"""Bytes of an array file before its pixels (NumPy's format 1.0)."""


@dataclass(frozen=True)
class Prepared:
    """Prepared frames in a folder: one array file for each.

    A file holds uint8 [3 or 4, height, width]: red, green and blue, then train ids where the
    frames were prepared with a class table. It is mapped into memory, so that labels that nobody
    asks for are not read.

    Attributes:
        folder: where they are.
        shape: of every array.
    """

    folder: Path
    shape: tuple[int, int, int]

    @classmethod
    def open(cls, folder: Path | str, frames: Frames, scheme: ClassScheme | None) -> Prepared:
        """Open a folder that `prepare` finished for these frames.

        Args:
            folder: what was `out` of `prepare`.
            frames: what it must hold.
            scheme: the class table it must hold; None for samples without labels, which it may
                hold nevertheless.

        Raises:
            MissingFileError: where nothing was prepared, or not all of it, or an original is gone.
            DataError: where its facts cannot be read.
            ConfigError: where other frames, another size or other classes were prepared.
        """
        folder = Path(folder)
        held = _read_facts(folder)
        if differing := _differences(held, _facts(frames, scheme)):
            raise ConfigError(
                f"{folder / FACTS}: {differing}; prepare the {frames.name} anew in another folder, "
                f"or go without"
            )
        count, done = len(frames.frames), _finished(folder)
        if missing := [number for number in range(count) if number not in done]:
            raise MissingFileError(
                f"{folder}: expected {count} prepared frames, {len(missing)} are missing; prepare "
                f"again: it goes on where it was stopped"
            )
        return cls(folder, _shape(frames, _labelled(held)))

    def image(self, number: int) -> NDArray[np.uint8]:
        """Red, green and blue, uint8 [3, height, width].

        Raises:
            MissingFileError: where the file is gone.
            DataError: where it is damaged.
        """
        return self._load(number)[:3]

    def label(self, number: int) -> NDArray[np.uint8]:
        """Train ids, uint8 [height, width]; raises as `image` does.

        Raises:
            DataError: where frames were prepared without a class table.
        """
        if self.shape[0] < 4:
            raise DataError(f"{self.folder}: these frames were prepared without a class table")
        train_ids: NDArray[np.uint8] = self._load(number)[3]
        return train_ids

    def _load(self, number: int) -> NDArray[np.uint8]:
        path = _file(self.folder, number)
        try:
            planes: NDArray[np.uint8] = np.asarray(np.load(path, mmap_mode="r"))
        except FileNotFoundError as error:
            raise MissingFileError(
                f"{path}: expected a prepared frame, found none; prepare again"
            ) from error
        except (ValueError, OSError, EOFError) as error:  # NumPy's words for damaged files
            raise DataError(_damaged(path, str(error))) from error
        if planes.shape != self.shape or planes.dtype != np.uint8:
            raise DataError(_damaged(path, f"{planes.dtype} {list(planes.shape)}"))
        return planes


def prepare(
    frames: Frames, scheme: ClassScheme | None, out: Path | str, progress: Progress | None = None
) -> Prepared:
    """Read every frame once and keep it at its size; a stopped run goes on where it was.

    The first report, before any work, says what the disk must hold. Frames that were prepared with
    labels serve without them, too. An original that changes later is noticed by its size alone.

    Args:
        frames: which.
        scheme: the run's class table, for train ids beside the images; None opens no label.
        out: the folder, new or prepared of the same frames.
        progress: told of every frame.

    Raises:
        ConfigError: for a class that the data set does not have.
        OutputExistsError: where the folder holds something else.
        MissingFileError: where an original is gone.
        DataError: where the disk has not enough room or a frame cannot be read.
    """
    out = Path(out)
    pixels, facts = FramePixels(frames, scheme), _facts(frames, scheme)
    held = _held(out, facts)
    if scheme is None and held is not None and _labelled(held):
        return Prepared.open(out, frames, None)
    done = _finished(out)
    left = [number for number in range(len(frames.frames)) if number not in done]
    need = len(left) * frame_bytes(frames, scheme)
    _check_room(out, need)
    if held is None:
        publish(out / FACTS, (json.dumps(facts, indent=1) + "\n").encode())
    task = f"prepare {frames.name}, {need / 1e9:.1f} GB"
    if progress is not None:
        progress(task, 0, len(left))
    for number in watched(left, task, progress):
        planes = np.empty(_shape(frames, scheme is not None), np.uint8)
        planes[:3] = pixels.image(number)
        if scheme is not None:
            planes[3] = pixels.label(number)
        _save(_file(out, number), planes)
    return Prepared.open(out, frames, scheme)


def frame_bytes(frames: Frames, scheme: ClassScheme | None) -> int:
    """What one prepared frame takes on the disk."""
    planes, height, width = _shape(frames, scheme is not None)
    return planes * height * width + HEADER


def _shape(frames: Frames, labelled: bool) -> tuple[int, int, int]:
    return (4 if labelled else 3, *frames.size)


def _facts(frames: Frames, scheme: ClassScheme | None) -> dict[str, Any]:
    """What two folders of prepared frames may differ in, as JSON gives it back."""
    classes = labels = None
    if scheme is not None:
        own = dataset_scheme(scheme, frames.dataset)
        classes = [[name, list(ids)] for name, ids in zip(own.names, own.ids, strict=True)]
        labels = _digest(_size(frame.label) for frame in frames.frames if frame.label is not None)
    return {
        "dataset": frames.dataset.title,
        "frames": len(frames.frames),
        "size": list(frames.size),
        "classes": classes,
        "names_sha256": _digest(frame.name for frame in frames.frames),
        "images_sha256": _digest(_size(frame.image) for frame in frames.frames),
        "labels_sha256": labels,
    }


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _size(path: Path) -> str:
    """A file's bytes: they tell folders of one layout apart, and a copy's are the original's.

    Times of change would not be: a data set that is copied or unpacked again has others.
    """
    try:
        return str(path.stat().st_size)
    except OSError as error:
        raise MissingFileError(
            f"{path}: expected a file of the data set, found none ({error.strerror}); copy or "
            f"download it again"
        ) from error


def _labelled(facts: dict[str, Any]) -> bool:
    return facts.get("classes") is not None


def _differences(held: dict[str, Any], wanted: dict[str, Any]) -> str:
    """How prepared frames differ from those wanted, in words; none where they may serve."""
    ignored = () if _labelled(wanted) else ("classes", "labels_sha256")
    keys = [key for key in wanted if key not in ignored and held.get(key) != wanted[key]]
    told = [
        f"expected {key} {wanted[key]}, found {held.get(key)}" for key in keys if key not in DIGESTS
    ]
    digests = [DIGESTS[key] for key in keys if key in DIGESTS]
    return "; ".join(told or digests[:1])


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(
            f"{path}: expected what `prepare` writes, found none; prepare the frames first"
        ) from error
    except ValueError as error:
        raise DataError(_damaged(path, str(error))) from error
    if not isinstance(facts, dict):
        raise DataError(_damaged(path, type(facts).__name__))
    return facts


def _held(out: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    """What a folder holds that may serve for these facts; None for a new or empty folder.

    Raises:
        OutputExistsError: where it holds something else.
    """
    if not (out / FACTS).exists():
        if out.exists() and any(path.suffix != PART for path in out.iterdir()):
            raise OutputExistsError(
                f"{out}: expected a new folder or one of prepared frames, found other files; "
                f"choose another"
            )
        return None
    held = _read_facts(out)
    if differing := _differences(held, facts):
        raise OutputExistsError(
            f"{out}: holds prepared frames of another choice ({differing}); choose another folder "
            f"or delete this one"
        )
    return held


def _check_room(out: Path, need: int) -> None:
    there = next(path for path in (out, *out.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if need > free:
        raise DataError(
            f"{out}: the prepared frames need {need / 1e9:.1f} GB, the disk has "
            f"{free / 1e9:.1f} GB free; choose a folder on another disk, or go without"
        )


def _finished(folder: Path) -> set[int]:
    return {int(path.stem) for path in folder.glob("*.npy") if path.stem.isdecimal()}


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npy"


def _save(path: Path, planes: NDArray[np.uint8]) -> None:
    content = io.BytesIO()
    np.save(content, planes)
    publish(path, content.getbuffer())


def _damaged(path: Path, found: str) -> str:
    return f"{path}: expected what `prepare` writes, found {found}; delete it and prepare again"
