"""Prepare: resize the frames of a configuration once, so that training only reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from rsadapt import build
from rsadapt.adapt.batch_norm import Domain
from rsadapt.config import FolderSettings
from rsadapt.data.frames import Frames
from rsadapt.data.prepared import prepare as prepare_frames
from rsadapt.errors import ConfigError, OutputExistsError
from rsadapt.progress import Progress


def prepare(
    config: Path,
    out: Path,
    *,
    data: Path | None = None,
    assignments: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Path]:
    """Keep the resized training frames of both domains in a folder; a stopped run goes on.

    Where both are the same frames, they are kept once, with labels.

    Args:
        config: a configuration, or a ready recipe's name.
        out: gets a folder for each data set, split and size; name it as `prepared` to train.
        data: the folder of the data, in place of the one that the configuration names.
        assignments: "dotted.key=value" changes to the configuration.
        progress: called with the task, which says what room it takes, frames done and in all.

    Returns:
        The folders, source first.

    Raises:
        ConfigError: for GeoTIFF regions.
        MissingFileError, DataError: for frames that are not there or cannot be read.
        OutputExistsError: where a folder holds something else, such as the same frames without the
            labels that are needed, or `out` is a file.
        DataError: where the disk has not enough room.
    """
    if out.is_file():
        raise OutputExistsError(f"{out}: is a file; name a folder for the frames")
    settings = build.configuration(config, assignments, data=data)
    if not isinstance(settings.source, FolderSettings):
        raise ConfigError(f"{config}: only the frames of image folders can be prepared")
    settings = settings.model_copy(update={"prepared": str(out.resolve())})
    places = build.places(settings)
    scheme = build.class_scheme(settings)
    folders: dict[Path, None] = {}
    for domain, place in (("source", places.source), ("target", places.target)):
        frames = cast("Frames", place.training)
        folder = build.prepared_folder(settings, cast("Domain", domain))
        labels = scheme if domain == "source" else None
        prepare_frames(frames, labels, folder, _told(frames, progress))
        folders[folder] = None
    return list(folders)


def _told(frames: Frames, progress: Progress | None) -> Progress | None:
    """Progress that says of frames of which none is left to prepare that they are there."""
    if progress is None:
        return None

    def report(task: str, done: int, total: int) -> None:
        if total:
            progress(task, done, total)
        else:
            there = len(frames.frames)
            progress(f"prepare {frames.name}, prepared already", there, there)

    return report
