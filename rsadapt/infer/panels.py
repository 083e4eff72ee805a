"""Finished panels of a prediction, kept until its maps are whole: after a kill it goes on."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import OutputExistsError
from rsadapt.geo.fingerprint import fingerprint
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.maps import Bands, PartWriter
from rsadapt.geo.writer import SIDECARS

JOURNAL, LOCK = "journal.json", "lock"

PASSING = "unfinished-"
"""How the names of what serves no later call begin."""

NAMED = re.compile(r"lane-(\d+)-panel-(\d+)")
"""The names of finished panels."""

Panel = tuple[int, int]
"""The number of a panel's lane, and its own within that."""


@dataclass(frozen=True)
class Panels:
    """The panels of one scene that are finished, in a hidden folder beside its maps.

    A panel is a folder of one file a layer; it gets its name when all are whole, so that what has a
    name is finished. `journal.json` holds the fingerprint of all that decides them.

    Attributes:
        folder: where they lie.
        started: when the prediction was begun for the first time, as ISO 8601.
    """

    folder: Path
    started: str

    def path(self, lane: int, number: int) -> Path:
        """The folder of a panel."""
        return self.folder / f"lane-{lane}-panel-{number}"

    def finished(self, lane: int, number: int) -> bool:
        """Whether a panel is whole."""
        return self.path(lane, number).is_dir()

    def all_finished(self) -> set[Panel]:
        """The panels that are whole."""
        found = (NAMED.fullmatch(path.name) for path in self.folder.iterdir())
        return {(int(name[1]), int(name[2])) for name in found if name}

    def file(self, lane: int, number: int, layer: str) -> Path:
        """A layer of a panel."""
        return self.path(lane, number) / f"{layer}.tif"

    def passing(self, name: str) -> Path:
        """A new path for what is dropped when the folder is next opened."""
        return self.folder / f"{PASSING}{name}-{uuid.uuid4().hex}"

    @property
    def maps(self) -> Path:
        """The folder in which maps and what is made of them wait to be published."""
        return self.folder / "maps"

    @property
    def publishing(self) -> bool:
        """Whether maps were whole and on their way to their folder when all was stopped."""
        return self._announced.exists()

    @property
    def _announced(self) -> Path:
        return self.folder / "publishing.json"

    def publish(self, out: Path) -> list[Path]:
        """Move all that is in `maps` to its folder, in place of what is there; return it, sorted.

        Once that has begun nothing else is left to do, and a later call goes on with it.
        """
        if not self.publishing:
            names = sorted(part.name for part in self.maps.iterdir())
            _write_whole(self._announced, names)
        names = json.loads(self._announced.read_text(encoding="utf-8"))
        for name in names:
            for stale in {f"{name}{suffix}" for suffix in SIDECARS}.difference(names):
                (out / stale).unlink(missing_ok=True)
            if (self.maps / name).exists():
                (self.maps / name).replace(out / name)
        return [out / name for name in names]

    @contextmanager
    def writing(
        self, lane: int, number: int, grid: Grid, layers: Mapping[str, Bands]
    ) -> Iterator[PanelWriter]:
        """Write a panel, which is finished where no exception leaves the context.

        Several processes may write the same one, as where a worker was only thought lost: each
        into a folder of its own, and the first that is whole stays.

        Args:
            lane: of the panel.
            number: of the panel in its lane.
            grid: its pixels' place on the ground.
            layers: what each of its layers holds.

        Raises:
            DataError: where it cannot be written, as on a full disk.
        """
        unfinished = self.passing(f"{lane}-{number}")
        unfinished.mkdir()
        try:
            with ExitStack() as stack:
                yield PanelWriter(
                    {
                        name: stack.enter_context(
                            PartWriter(unfinished / f"{name}.tif", grid, bands)
                        )
                        for name, bands in layers.items()
                    }
                )
            self._finish(unfinished, lane, number)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def _finish(self, unfinished: Path, lane: int, number: int) -> None:
        """Give a panel its name, unless another process was first: then it is dropped."""
        try:
            unfinished.rename(self.path(lane, number))
        except OSError:
            if not self.finished(lane, number):
                raise
            shutil.rmtree(unfinished)

    def parts(
        self, layer: str, windows: Mapping[tuple[int, int], Window]
    ) -> list[tuple[Path, Window]]:
        """The files of a layer with the pixels that each holds."""
        return [(self.file(*panel, layer), window) for panel, window in windows.items()]


@dataclass(frozen=True)
class PanelWriter:
    """The layers of a panel that is being written."""

    parts: Mapping[str, PartWriter]

    def write_rows(self, layers: Mapping[str, NDArray[np.generic]]) -> None:
        """Write the next rows [bands, rows, width] of each layer."""
        for name, values in layers.items():
            self.parts[name].write_rows(values)


@contextmanager
def opened(out: Path, stem: str, facts: Mapping[str, Any]) -> Iterator[Panels]:
    """Open the panels of a scene, those of an earlier call where the same decides them.

    Panels of anything else are dropped. What is left after an exception serves the next call; it is
    removed where none was finished.

    Args:
        out: the folder of the maps; it is there.
        stem: of their names.
        facts: all that decides them, JSON-ready.

    Raises:
        OutputExistsError: where another process is at work on them.
    """
    folder = out / f".{stem}.panels"
    folder.mkdir(exist_ok=True)
    with _locked(folder):
        yield Panels(folder, _journal(folder, fingerprint(dict(facts))))
        (folder / JOURNAL).unlink()  # a kill from here on leaves nothing that a call would take up
        shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[IO[str]]:
    """Keep other processes out; the system lets go of the lock however this one ends."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputExistsError(
                f"{folder}: another process is predicting the same scene; wait for it, or choose "
                f"another folder for the maps"
            ) from error
        try:
            yield lock
        except BaseException:
            if not any(folder.glob("lane-*")):
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _journal(folder: Path, expected: str) -> str:
    """When the prediction began; of another fingerprint, or unreadable, everything is dropped."""
    file = folder / JOURNAL
    try:
        journal = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        journal = {}
    same = journal.get("fingerprint") == expected
    for old in folder.iterdir():
        passing = old.name.startswith(PASSING)
        if old.name == LOCK or (same and not passing):
            continue
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=passing)  # a worker may still be at it, and will fail
        else:
            old.unlink()
    if same:
        return str(journal["started"])
    started = datetime.now(UTC).isoformat(timespec="seconds")
    _write_whole(file, {"fingerprint": expected, "started": started})
    return started


def _write_whole(file: Path, values: Any) -> None:
    """Write JSON that is there whole or not at all."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(values), encoding="utf-8")
    part.replace(file)
