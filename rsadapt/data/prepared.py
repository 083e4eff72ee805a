"""Frames decoded and resized once and kept as raw arrays, which load many times as fast."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.classes import ClassScheme
from rsadapt.data.folder import dataset_scheme
from rsadapt.data.frames import FramePixels, Frames
from rsadapt.errors import ConfigError, DataError, MissingFileError, OutputExistsError
from rsadapt.progress import Progress, watched

FACTS = "prepared.json"
"""The file that says what a folder of prepared frames holds."""

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
            scheme: the class table it must hold; None for samples without labels.

        Raises:
            MissingFileError: where nothing was prepared, or not all of it.
            DataError: where its facts cannot be read.
            ConfigError: where other frames, another size or other classes were prepared.
        """
        folder = Path(folder)
        held = _read_facts(folder)
        wanted = _facts(frames, scheme)
        if scheme is None:
            wanted["classes"] = held.get("classes")
        differing = [key for key, value in wanted.items() if held.get(key) != value]
        if differing:
            raise ConfigError(
                f"{folder / FACTS}: "
                + "; ".join(
                    f"expected {key} {wanted[key]}, found {held.get(key)}" for key in differing
                )
                + f"; prepare the {frames.name} anew in another folder, or go without"
            )
        count, done = len(frames.frames), _finished(folder)
        if missing := [number for number in range(count) if number not in done]:
            raise MissingFileError(
                f"{folder}: expected {count} prepared frames, {len(missing)} are missing; prepare "
                f"again: it goes on where it was stopped"
            )
        return cls(folder, _shape(frames, held["classes"] is not None))

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

    The first report, before any work, says what the disk must hold. Source files that change
    later are not noticed.

    Args:
        frames: which.
        scheme: the run's class table, for train ids beside the images; None opens no label.
        out: the folder, new or prepared of the same frames.
        progress: told of every frame.

    Raises:
        ConfigError: for a class that the data set does not have.
        OutputExistsError: where the folder holds something else.
        DataError: where the disk has not enough room or a frame cannot be read.
    """
    out = Path(out)
    pixels, count = FramePixels(frames, scheme), len(frames.frames)
    done = _finished(out)
    left = [number for number in range(count) if number not in done]
    need = len(left) * frame_bytes(frames, scheme)
    _check_room(out, need)
    _claim(out, _facts(frames, scheme))
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
    names = "\n".join(frame.name for frame in frames.frames)
    classes = None
    if scheme is not None:
        own = dataset_scheme(scheme, frames.dataset)
        classes = [[name, list(ids)] for name, ids in zip(own.names, own.ids, strict=True)]
    return {
        "dataset": frames.dataset.title,
        "frames": len(frames.frames),
        "names_sha256": hashlib.sha256(names.encode()).hexdigest(),
        "size": list(frames.size),
        "classes": classes,
    }


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


def _claim(out: Path, facts: dict[str, Any]) -> None:
    """Make the folder one of these facts, or see that it is."""
    if not (out / FACTS).exists():
        if out.exists() and any(out.iterdir()):
            raise OutputExistsError(
                f"{out}: expected a new folder or one of prepared frames, found other files; "
                f"choose another"
            )
        out.mkdir(parents=True, exist_ok=True)
        part = out / f"{FACTS}.part"
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        part.replace(out / FACTS)
    elif _read_facts(out) != facts:
        raise OutputExistsError(
            f"{out}: holds prepared frames of another choice of frames, size or classes (see "
            f"{FACTS}); choose another folder or delete this one"
        )


def _check_room(out: Path, need: int) -> None:
    there = next(path for path in (out, *out.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if need > free:
        raise DataError(
            f"{out}: the prepared frames need {need / 1e9:.1f} GB, the disk has "
            f"{free / 1e9:.1f} GB free; choose a folder on another disk, or go without"
        )


def _finished(folder: Path) -> set[int]:
    return {int(path.stem) for path in folder.glob("*.npy")}


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npy"


def _save(path: Path, planes: NDArray[np.uint8]) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, planes)
    part.replace(path)


def _damaged(path: Path, found: str) -> str:
    return f"{path}: expected what `prepare` writes, found {found}; delete it and prepare again"
