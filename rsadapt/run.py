"""A run's folder: what stands where in it, and the record of how it came to be."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from rsadapt.errors import MissingFileError, OutputExistsError
from rsadapt.whole import PART, sync, write_text

RECORDED = ("rsadapt", "torch", "torchvision", "lightning-fabric", "numpy", "rasterio")
"""Packages whose versions a run records."""

NO_MATTER = (
    "root",
    "training.workers",
    "training.scratch",
    "training.keep",
    "training.keep_every",
    "training.tensorboard",
)
"""Fields that may change where a run goes on: none changes a result."""

OLDER = re.compile(r"checkpoint-(\d+)\.pt")
"""Names of checkpoints before the latest: they say the steps done."""

SHOWN = 3
"""Fields that a message names before it only says that there are more."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one training run.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def configuration(self) -> Path:
        """The resolved configuration, YAML."""
        return self.path / "config.yaml"

    @property
    def record(self) -> Path:
        """Seed, commit, environment and the facts every result must state, JSON."""
        return self.path / "run.json"

    @property
    def statistics(self) -> Path:
        """Statistics of each domain's bands, JSON; not there where nothing needed them."""
        return self.path / "statistics.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: losses, figures, validations and warnings by step."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """A folder of curves and example tiles, where they were asked for."""
        return self.path / "tensorboard"

    @property
    def checkpoint(self) -> Path:
        """The latest state."""
        return self.path / "checkpoint.pt"

    @property
    def weights(self) -> Path:
        """The network of the latest state for other programs, safetensors."""
        return self.path / "network.safetensors"

    def older_checkpoint(self, step: int) -> Path:
        """Where the state after so many steps lies once there is a later one."""
        return self.path / f"checkpoint-{step:08d}.pt"

    def older_checkpoints(self) -> list[tuple[int, Path]]:
        """The states before the latest with the steps done in each, last first."""
        named = ((OLDER.fullmatch(file.name), file) for file in self.path.glob("checkpoint-*.pt"))
        return sorted(((int(name[1]), file) for name, file in named if name), reverse=True)

    def unbegun(self) -> bool:
        """Whether the folder is there and empty, or a run died in `create` before it was whole."""
        if not self.path.is_dir():
            return False
        first = (self.record, self.statistics, self.metrics)
        ours = {self.configuration.name + PART} | {file.name for file in first}
        return {file.name for file in self.path.iterdir()} <= ours

    def check_free(self) -> None:
        """Make sure that nothing would be overwritten.

        Raises:
            OutputExistsError: where the folder holds anything but what a run left that died
                before it began, or is a file.
        """
        if self.unbegun():
            return
        if self.configuration.exists():
            raise OutputExistsError(
                f"{self.path}: already holds a run; choose another folder, or --resume to go on"
            )
        if self.path.exists():
            raise OutputExistsError(f"{self.path}: exists and is no empty folder; choose another")

    def check_run(self, configuration: str, *, renewed: Callable[[str], str] = str) -> None:
        """Make sure that the folder holds a run of a configuration; `NO_MATTER` may differ.

        Args:
            configuration: YAML.
            renewed: adds the fields to what an older version wrote that it did not know.

        Raises:
            MissingFileError: where it holds none.
            OutputExistsError: where it holds one of another configuration, naming what differs, or
                one whose configuration cannot be read.
        """
        if not self.configuration.is_file():
            raise MissingFileError(
                f"{self.path}: no run here (there is no {self.configuration.name})"
            )
        try:
            there = renewed(self.configuration.read_text(encoding="utf-8"))
            differing = _differences(there, configuration)
        except yaml.YAMLError as error:
            raise OutputExistsError(
                f"{self.configuration}: expected the configuration of a run, found text that is no "
                f"YAML; mend it, or choose another folder"
            ) from error
        if differing:
            raise OutputExistsError(
                f"{self.path}: holds a run of another configuration ({self.configuration.name}: "
                f"{differing}); go on with that one, or choose another folder"
            )

    def check_processes(self, count: int) -> None:
        """Make sure that a run goes on with as many processes as it was begun with.

        Raises:
            OutputExistsError: for another number, which would learn from other batches.
        """
        record = json.loads(self.record.read_text(encoding="utf-8"))
        before = record.get("processes", 1)
        if before != count:
            raise OutputExistsError(
                f"{self.path}: expected {before} processes, which the run was begun with, found "
                f"{count}, which would learn from other batches; start as many (with torchrun "
                f"--nproc-per-node {before}), or choose another folder"
            )

    def create(
        self,
        configuration: str,
        record: dict[str, Any],
        statistics: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the folder and write what is known before training, the configuration last."""
        self.check_free()
        self.path.mkdir(parents=True, exist_ok=True)
        self.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        if statistics:
            self.statistics.write_text(json.dumps(statistics, indent=2) + "\n", encoding="utf-8")
            sync(self.statistics)
        self.metrics.touch()
        sync(self.record)
        write_text(self.configuration, configuration)  # from here on there is a run

    def append(self, event: dict[str, Any]) -> None:
        """Add a line to the metrics."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")

    def events(self) -> list[dict[str, Any]]:
        """The lines of the metrics; a last one cut off by a crash is left out."""
        events = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                events.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return events

    def validations(self) -> dict[int, dict[str, Any]]:
        """Every validation logged, by the steps done before it; each by domain."""
        return {
            event["step"]: event["validation"] for event in self.events() if "validation" in event
        }

    def validation(self, step: int) -> dict[str, Any] | None:
        """The validation logged after `step` steps, by domain; None where there is none."""
        return self.validations().get(step)

    def validators(self) -> dict[int, dict[str, Any]]:
        """What validators without labels said in every validation, by the steps done before it."""
        return {
            event["step"]: event["validators"] for event in self.events() if "validators" in event
        }

    def memory(self) -> dict[str, Any]:
        """The greatest peak of each kind of memory, see `rsadapt.peak`, over all times it went on.

        Empty where nothing says so.
        """
        peaks: dict[str, Any] = {}
        for event in self.events():
            for kind, size in event.get("memory", {}).items():
                known = [each for each in (size, peaks.get(kind)) if each is not None]
                peaks[kind] = max(known, default=None)
        return peaks

    def feeding(self) -> dict[str, Any] | None:
        """How long training waited for data when it last went on; None where nothing says so."""
        return next((e["feeding"] for e in reversed(self.events()) if "feeding" in e), None)

    def seconds(self) -> float:
        """Wall-clock seconds of training, over all the times the run went on."""
        return float(sum(event.get("seconds", 0.0) for event in self.events()))

    def rewind(self, step: int) -> None:
        """Drop the metrics of steps after `step`, which a resumed run will write again."""
        kept = [json.dumps(event) + "\n" for event in self.events() if event["step"] <= step]
        if self.metrics.read_text(encoding="utf-8") != "".join(kept):
            write_text(self.metrics, "".join(kept))


class WatchedFolder(RunFolder):
    """A run's folder as all processes but the first have it: they read, and write nothing."""

    def check_free(self) -> None:
        """Leave that to the first."""

    def create(
        self,
        configuration: str,
        record: dict[str, Any],
        statistics: Mapping[str, Any] | None = None,
    ) -> None:
        """Leave that to the first."""

    def append(self, event: dict[str, Any]) -> None:
        """Leave that to the first."""

    def rewind(self, step: int) -> None:
        """Leave that to the first."""


def _differences(there: str, here: str) -> str:
    """The fields that two configurations, YAML, differ in, in words; none where none matters."""
    ours, theirs = (dict(_fields(yaml.safe_load(text))) for text in (here, there))
    told = [
        f"{field}: {_shown(theirs.get(field))} there, {_shown(ours.get(field))} here"
        for field in dict.fromkeys([*ours, *theirs])
        if field not in NO_MATTER and theirs.get(field) != ours.get(field)
    ]
    return "; ".join(told[:SHOWN] + ["..."] * (len(told) > SHOWN))


def _fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a group, and of those within it, by their dotted paths."""
    if not isinstance(value, dict):
        yield path, value
        return
    for key, inner in value.items():
        yield from _fields(inner, f"{path}.{key}" if path else str(key))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def environment() -> dict[str, Any]:
    """Where and with what a run was made, JSON-ready."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in RECORDED},
    }


def digest(path: Path) -> str:
    """The first 12 hexadecimal digits of a file's SHA-256, which tell weight files apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _version(package: str) -> str | None:
    """A package's version, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout this package runs from, None where installed from a wheel."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        text = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return text.strip()
