"""Curves of a training and example tiles of both domains, as TensorBoard shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsadapt import report
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.method import Parts
from rsadapt.classes import IGNORE_INDEX, ClassScheme
from rsadapt.errors import MissingFileError
from rsadapt.model import answers
from rsadapt.sample import Sample

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

GAP = 4
"""White pixels between pictures of one tile."""


def writer_class() -> type[SummaryWriter]:
    """What writes event files.

    Raises:
        MissingFileError: where TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise MissingFileError(
            "training.tensorboard: the package tensorboard is not installed; pip install "
            "'rsadapt[tensorboard]', or leave it false"
        ) from error
    return SummaryWriter


class Curves:
    """Writes what a run logs into its folder, for TensorBoard; a resumed run goes on with it.

    Tiles are samples that the run learns from. Those of the target have no labels here either.

    Args:
        folder: of the event files.
        start: steps done; what was written of later ones is hidden.
        scheme: the class table.
        tiles: samples of each domain.
        bands: positions of red, green and blue among the bands of a sample.

    Raises:
        MissingFileError: see `writer_class`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        start: int,
        scheme: ClassScheme,
        tiles: Mapping[Domain, Sequence[Sample]],
        bands: tuple[int, int, int],
    ) -> None:
        self._writer = writer_class()(str(folder), purge_step=start + 1)
        self._scheme, self._tiles, self._bands = scheme, tiles, bands

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take an event of the run, see `rsadapt.progress.Watch`."""
        for name, value in scalars(event, self._scheme.names).items():
            self._writer.add_scalar(name, value, event["step"])
        if "warning" in event:
            text = event["warning"]["text"]
            self._writer.add_text("warnings", text, event["step"])
        self._writer.flush()

    def show_tiles(
        self, step: int, parts: Parts, device: torch.device, precision: str = "32-true"
    ) -> None:
        """Write each tile beside its label, where it has one, and beside what is predicted now."""
        for domain, samples in self._tiles.items():
            predict = answers(parts, domain, precision)
            what = "image, label, prediction" if domain == "source" else "image, prediction"
            for number, sample in enumerate(samples):
                height, width = sample.valid.shape
                with torch.inference_mode():
                    logits = predict(sample.image[None].to(device), (height, width))
                predicted = logits.argmax(1)[0].to(torch.uint8).cpu().numpy()
                picture = self._side_by_side(sample, predicted)
                self._writer.add_image(
                    f"{domain}/{number}: {what}", picture, step, dataformats="HWC"
                )
        self._writer.flush()

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()

    def _side_by_side(self, sample: Sample, predicted: NDArray[np.uint8]) -> NDArray[np.uint8]:
        valid = sample.valid.numpy()
        pictures = [report.natural_colours(sample.image.numpy(), valid, bands=self._bands)]
        if sample.label is not None:
            pictures.append(self._scheme.paint(sample.label.numpy().astype(np.uint8)))
        pictures.append(self._scheme.paint(np.where(valid, predicted, np.uint8(IGNORE_INDEX))))
        gap = np.full((len(valid), GAP, 3), report.BLANK, np.uint8)
        spaced = [piece for picture in pictures for piece in (gap, picture)][1:]
        return np.concatenate(spaced, axis=1)


def scalars(event: Mapping[str, Any], classes: Sequence[str]) -> dict[str, float]:
    """The curves' next points, by tag.

    Args:
        event: of a run, see `rsadapt.progress.Watch`.
        classes: their names, in the order of shares.
    """
    points: dict[str, float] = {}
    for group in ("losses", "rates", "figures"):
        for name, value in event.get(group, {}).items():
            if isinstance(value, list):
                each = zip(classes, value, strict=True)
                points |= {f"{name}/{label}": share for label, share in each}
            else:
                points[f"{group}/{name}"] = value
    if "waiting" in event:
        points["figures/waiting"] = event["waiting"]
    for name, value in event.get("validators", {}).items():
        if value is not None and name != "pixels":
            points[f"validators/{name}"] = value
    for domain, found in event.get("validation", {}).items():
        ious = {f"iou/{name}": figures["iou"] for name, figures in found["classes"].items()}
        for name, iou in ({"miou": found["totals"]["miou"]} | ious).items():
            if iou is not None:
                points[f"validation_{domain}/{name}"] = iou
    return points
