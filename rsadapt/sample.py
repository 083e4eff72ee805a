"""Sample and Batch: the contract between where data comes from and what learns from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import default_collate

from rsadapt.errors import ShapeError
from rsadapt.geo.grid import Grid


@dataclass(frozen=True)
class Sample:
    """One image, what is known of it and where it lies.

    Attributes:
        image: float32 [bands, height, width], normalised, 0 where invalid.
        valid: bool [height, width]; False is nodata, masked or outside the area of interest.
        label: int64 [height, width] train ids, 255 where unlabelled or invalid; None for an
            unlabelled image. Only to score with, it may be of another size than the image, whose
            predictions are then brought to the label's size.
        grid: the pixels' place on the ground, where known.
        name: what errors and figures call it.
    """

    image: Tensor
    valid: Tensor
    label: Tensor | None = None
    grid: Grid | None = None
    name: str = ""


@dataclass(frozen=True)
class Picture:
    """An image to be predicted at the size of its file.

    Attributes:
        name: its file's name without suffix.
        image: float32 [bands, height, width], normalised, at the size that a network takes.
        size: (height, width) of the file.
    """

    name: str
    image: Tensor
    size: tuple[int, int]


@dataclass(frozen=True)
class Batch:
    """Samples of one size side by side.

    Attributes:
        image: float32 [samples, bands, height, width].
        valid: bool [samples, height, width].
        label: int64 [samples, height, width], or None where any sample has none; for its size
            see `Sample`.
    """

    image: Tensor
    valid: Tensor
    label: Tensor | None = None

    def labels(self) -> Tensor:
        """The labels of a batch that must have them.

        Raises:
            ShapeError: where any sample has none.
        """
        if self.label is None:
            raise ShapeError("this batch must carry labels, and at least one sample has none")
        return self.label

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        return Batch(
            self.image.to(device, non_blocking=True),
            self.valid.to(device, non_blocking=True),
            None if self.label is None else self.label.to(device, non_blocking=True),
        )

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, as the data loader asks for."""
        return Batch(
            self.image.pin_memory(),
            self.valid.pin_memory(),
            None if self.label is None else self.label.pin_memory(),
        )


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples into a batch; in a worker of a data loader, into memory that it shares.

    Stacked there at once, a batch is handed over without being copied again.

    Raises:
        ShapeError: for samples of different size.
    """
    shapes = {tuple(sample.image.shape) for sample in samples}
    if len(shapes) != 1:
        raise ShapeError(f"samples of one batch must have one size, found {sorted(shapes)}")
    labels = [sample.label for sample in samples if sample.label is not None]
    return Batch(
        default_collate([sample.image for sample in samples]),
        default_collate([sample.valid for sample in samples]),
        default_collate(labels) if len(labels) == len(samples) else None,
    )
