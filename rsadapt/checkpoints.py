"""The checkpoints of a run: which are kept, and which is read."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsadapt.adapt import checkpoint
from rsadapt.errors import CheckpointError, DamagedCheckpointError
from rsadapt.run import RunFolder
from rsadapt.whole import sync


@dataclass(frozen=True)
class Found:
    """A checkpoint that was read.

    Attributes:
        file: where it lies.
        state: what it holds.
    """

    file: Path
    state: dict[str, Any]


def candidates(run: RunFolder) -> list[Path]:
    """The checkpoints of a run, newest first."""
    newest = [run.checkpoint] if run.checkpoint.exists() else []
    return newest + [file for _, file in run.older_checkpoints()]


def load(path: Path) -> Found:
    """Read a file, or a run's newest checkpoint that is not damaged; warn where that is an older.

    Args:
        path: a checkpoint, or the folder of a run.

    Raises:
        MissingFileError: where there is none.
        CheckpointError: where all are damaged, or one would run code.
    """
    files = candidates(RunFolder(path)) if path.is_dir() else [path]
    if not files:
        files = [RunFolder(path).checkpoint]
    damage: list[DamagedCheckpointError] = []
    for file in files:
        try:
            found = Found(file, checkpoint.load(file))
        except DamagedCheckpointError as error:
            damage.append(error)
            continue
        if path.is_dir() and file != RunFolder(path).checkpoint:
            _warn(path, damage, found)
        return found
    if len(damage) == 1:
        raise damage[0]
    raise CheckpointError(
        f"{path}: none of its {len(damage)} checkpoints can be read "
        f"({', '.join(file.name for file in files)}); copy one back, or train anew"
    ) from damage[0]


def _warn(path: Path, damage: list[DamagedCheckpointError], found: Found) -> None:
    """Say that an older checkpoint is used, of which step, and why."""
    why = "; ".join(map(str, damage)) or f"{RunFolder(path).checkpoint}: not there"
    warnings.warn(
        f"{why}. Used instead: {found.file.name}, of step {found.state.get('step', 'unknown')}",
        stacklevel=3,
    )


class Keeper:
    """Writes the checkpoints of a run and keeps the older ones that are wanted.

    The newest is `RunFolder.checkpoint`; before another takes that name, the file gets a second
    one that says its step. So there is a whole one at every moment once there was one.

    Args:
        run: the folder.
        keep: how many of the last to keep, the newest included, 1 or greater.
        keep_every: keep those of steps that this divides for good, too; 0 for none.
        found: the checkpoint that training goes on from, if any; those after it are damaged.
    """

    def __init__(
        self, run: RunFolder, *, keep: int, keep_every: int, found: Found | None = None
    ) -> None:
        self.run, self.keep, self.keep_every = run, keep, keep_every
        self._last = None if found is None else (int(found.state["step"]), found.file)

    def write(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after so many steps."""
        if self._last is not None:
            self._set_aside(*self._last)
        checkpoint.save(self.run.checkpoint, state)
        self._last = step, self.run.checkpoint
        self._prune()

    def _set_aside(self, step: int, file: Path) -> None:
        """Let the last whole checkpoint have its step's name; drop damaged ones after it."""
        for later, other in self.run.older_checkpoints():
            if later > step:
                other.unlink()
        aside = self.run.older_checkpoint(step)
        if self.keep == 1 and not self._for_good(step):
            if file != self.run.checkpoint:
                file.replace(self.run.checkpoint)
            return
        if file == aside:
            return
        aside.unlink(missing_ok=True)  # of a run that was killed here
        try:
            os.link(file, aside)
        except OSError:  # a file system without second names: readers look for the other, too
            file.replace(aside)
        sync(self.run.path)

    def _prune(self) -> None:
        """Remove older checkpoints that are not wanted."""
        older = self.run.older_checkpoints()
        for step, file in older[self.keep - 1 :]:
            if not self._for_good(step):
                file.unlink()

    def _for_good(self, step: int) -> bool:
        return self.keep_every > 0 and step % self.keep_every == 0
