"""Frames of image folders with a trained network: label ids and pictures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rsadapt.adapt.batch_norm import Domain
from rsadapt.config import FolderSettings
from rsadapt.data.frame_images import FrameImages
from rsadapt.data.images import write_png
from rsadapt.errors import ConfigError, MissingFileError, OutputExistsError
from rsadapt.geo.location import is_address
from rsadapt.infer.frames import predict_frames
from rsadapt.mapping.names import refuse_same_names
from rsadapt.model import Model, answers
from rsadapt.progress import Progress, watched


@dataclass(frozen=True)
class PredictedFrame:
    """What the prediction of a frame wrote.

    Attributes:
        ids: label ids, 8 bits, at the frame's own size.
        colours: the same in the classes' colours.
        note: worth a word to the user; nothing.
    """

    ids: Path
    colours: Path
    note: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """What was written, the ids first."""
        return self.ids, self.colours


def map_frames(
    model: Model,
    places: Sequence[Path | str],
    out: Path,
    *,
    domain: Domain,
    precision: str,
    overwrite: bool,
    progress: Progress | None,
) -> list[PredictedFrame]:
    """Label frames, as `rsadapt.verbs.predict.predict` says."""
    frames = [_local(place) for place in places]
    refuse_same_names([frame.stem for frame in frames])
    settings = model.facts.settings
    chosen = settings.source if domain == "source" else settings.target
    if not isinstance(chosen, FolderSettings):
        raise ConfigError("the domains of a run are both image folders or both GeoTIFF regions")
    _find(frames)
    size = chosen.evaluation_size or chosen.size
    images = FrameImages(
        frames, (size.height, size.width), model.facts.bands, model.facts.normalise[domain]
    )
    written = [
        PredictedFrame(out / "ids" / f"{frame.stem}.png", out / "colours" / f"{frame.stem}.png")
        for frame in frames
    ]
    _refuse_existing(written, overwrite=overwrite)
    scheme = model.scheme
    predicted = predict_frames(
        watched(images, "predict", progress),
        answers(model.parts, domain, precision),
        scheme=scheme,
        device=model.device,
    )
    for frame, (_, train_ids) in zip(written, predicted, strict=True):
        write_png(frame.ids, scheme.decode(train_ids))
        write_png(frame.colours, scheme.paint(train_ids))
    return written


def _local(frame: Path | str) -> Path:
    """Refuse frames that are no files of this machine."""
    if isinstance(frame, str) and is_address(frame):
        raise MissingFileError(
            f"{frame}: expected an image file, found an address; download it and name the file"
        )
    return Path(frame)


def _find(frames: Sequence[Path]) -> None:
    """Make sure that all frames are there before the first is predicted."""
    for frame in frames:
        if frame.is_dir():
            raise MissingFileError(f"{frame}: expected an image, found a folder; name its files")
        if not frame.is_file():
            raise MissingFileError(f"{frame}: expected an image, found no file; check the path")


def _refuse_existing(written: Sequence[PredictedFrame], *, overwrite: bool) -> None:
    for frame in written:
        for path in frame.files:
            if path.exists() and not overwrite:
                raise OutputExistsError.left(path, choose="another folder")
