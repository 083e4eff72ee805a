"""Frames of image folders: drawn pass after pass to train on, taken in order to score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rsadapt.classes import IGNORE_INDEX, ClassScheme
from rsadapt.data.folder import FolderDataset, Frame, dataset_scheme, listed
from rsadapt.data.images import image_planes, read_image, read_labels, resize_labels, take_bands
from rsadapt.data.styling import Styling
from rsadapt.errors import ConfigError, DataError
from rsadapt.geo.fingerprint import fingerprint
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.statistics import BandStatistics, band_statistics
from rsadapt.progress import Progress, watched
from rsadapt.sample import Sample

if TYPE_CHECKING:
    from rsadapt.data.augment import Augmenter

STATISTICS_FRAMES = 200
"""Frames that statistics are taken of unless asked otherwise; decoding all of GTA5 for them would
take a quarter hour."""

CHECKED_FRAMES = 3
"""Frames opened before a run starts; one alone may happen to show no class."""


@dataclass(frozen=True)
class Frames:
    """The frames of one domain and what is taken from each.

    Attributes:
        name: "source" or "target", for messages.
        frames: at least one.
        dataset: where they come from.
        size: (height, width) that images are brought to.
        bands: 1-based positions in red, green and blue; (3, 2, 1) is the published order.
    """

    name: str
    frames: tuple[Frame, ...]
    dataset: FolderDataset
    size: tuple[int, int]
    bands: tuple[int, ...] = (1, 2, 3)

    def __post_init__(self) -> None:
        if not self.frames:
            raise DataError(f"{self.name}: expected at least one frame, found none")
        if not self.bands or not set(self.bands) <= {1, 2, 3}:
            raise ConfigError(f"{self.name}: expected bands among 1, 2, 3, found {self.bands}")

    @property
    def labelled(self) -> bool:
        """Whether every frame has labels."""
        return all(frame.label is not None for frame in self.frames)

    @property
    def ground_pixel(self) -> None:
        """Frames show things from near and far."""
        return None

    def statistics(
        self, progress: Progress | None = None, *, pixels: int | None = None
    ) -> BandStatistics:
        """Statistics of each band at `size`, over frames spread evenly.

        Args:
            progress: told of every frame.
            pixels: about how many to look at, in whole frames; those of at most 200 frames unless
                given.

        Raises:
            DataError: for an image that cannot be read.
        """
        frames, valid = FramePixels(self, None), np.ones(self.size, bool)
        return band_statistics(
            (
                (take_bands(frames.image(number), self.bands), valid)
                for number in watched(self._sample(pixels), f"read {self.name}", progress)
            ),
            total=len(self.frames) * valid.size,
        )

    def fingerprint(self, *, pixels: int | None = None) -> str:
        """A text that is another one wherever `statistics` might be others."""
        images = [self.frames[number].image for number in self._sample(pixels)]
        return fingerprint("frames", len(self.frames), images, self.size, self.bands)

    def _sample(self, pixels: int | None) -> list[int]:
        """The frames that statistics are taken of."""
        height, width = self.size
        most = STATISTICS_FRAMES if pixels is None else max(1, round(pixels / (height * width)))
        return _spread(len(self.frames), most)

    def check(self, scheme: ClassScheme, progress: Progress | None = None) -> None:
        """Open a few frames, so that what cannot work is refused before a run starts.

        Args:
            scheme: the run's class table.
            progress: told of every frame.

        Raises:
            DataError: for images or labels of the wrong kind, missing labels, or none of the
                table's classes in any frame opened.
            ConfigError: for a class that the data set does not have.
        """
        pixels, found = FramePixels(self, scheme), False
        numbers = _spread(len(self.frames), CHECKED_FRAMES)
        for number in watched(numbers, f"check {self.name}", progress):
            pixels.image(number)
            found = found or bool((pixels.label(number) != IGNORE_INDEX).any())
        if not found:
            raise DataError(
                f"{self.name}: expected pixels of the class table, found none in "
                f"{listed([str(self.frames[number].label) for number in numbers])}; is it "
                f"{self.dataset.title}, and does its table hold the right label ids?"
            )


class PixelSource(Protocol):
    """Frames by number, at one size: decoded from their files, or prepared."""

    def image(self, number: int) -> NDArray[np.uint8]:
        """Red, green and blue, uint8 [3, height, width]."""
        ...

    def label(self, number: int) -> NDArray[np.uint8]:
        """Train ids, uint8 [height, width]."""
        ...


class FramePixels:
    """Frames decoded from their files.

    Args:
        frames: which.
        scheme: the run's class table; None never opens a label.

    Raises:
        ConfigError: for a class that the data set does not have.
        DataError: for a class table with frames that have no labels.
    """

    def __init__(self, frames: Frames, scheme: ClassScheme | None) -> None:
        if scheme is not None and not frames.labelled:
            raise DataError(
                f"{frames.name}: these frames of {frames.dataset.title} have no labels; choose a "
                f"split that has them"
            )
        self.frames = frames
        self.scheme = None if scheme is None else dataset_scheme(scheme, frames.dataset)

    def image(self, number: int) -> NDArray[np.uint8]:
        """Red, green and blue at the frames' size, uint8 [3, height, width].

        Raises:
            MissingFileError: where the file is gone.
            DataError: where it cannot be decoded or is no colour image.
        """
        return image_planes(read_image(self.frames.frames[number].image), *self.frames.size)

    def label(self, number: int) -> NDArray[np.uint8]:
        """Train ids at the frames' size, uint8 [height, width].

        Raises:
            MissingFileError: where the file is gone.
            DataError: where it cannot be decoded or holds an id above 255.
        """
        return self._label(number, self.frames.size)

    def full_label(self, number: int) -> NDArray[np.uint8]:
        """Train ids at the label's own size, uint8 [height, width]; raises as `label` does."""
        return self._label(number, None)

    def _label(self, number: int, size: tuple[int, int] | None) -> NDArray[np.uint8]:
        path = self.frames.frames[number].label
        if path is None or self.scheme is None:
            raise DataError(f"{self.frames.name}: labels were asked for without a class table")
        raw = read_labels(path, self.frames.dataset.label_channel)
        raw = raw if size is None else resize_labels(raw, *size)
        return self.scheme.encode(raw, where=path)


class FrameSamples:
    """Frames to train on, pass after pass: sample g is a pure function of (seed, g).

    Args:
        frames: where samples come from.
        seed: of the order, anew in every pass; None takes the frames in order, over and over.
        normalise: applied to every image.
        scheme: the run's class table; None gives samples without labels and never opens one.
        styling: applied first, where images are to look like others.
        augment: applied last.
        prepared: the same frames, read beforehand.

    Raises:
        ConfigError: for a class that the data set does not have.
        DataError: for a class table with frames that have no labels.
    """

    def __init__(
        self,
        frames: Frames,
        *,
        seed: int | None,
        normalise: Normaliser,
        scheme: ClassScheme | None,
        styling: Styling | None = None,
        augment: Augmenter | None = None,
        prepared: PixelSource | None = None,
    ) -> None:
        self.frames, self.seed, self.normalise = frames, seed, normalise
        self.scheme, self.styling, self.augment = scheme, styling, augment
        self.pixels: PixelSource = prepared or FramePixels(frames, scheme)

    def __getitem__(self, number: int) -> Sample:
        """Return sample `number`.

        Raises:
            MissingFileError: where a file is gone.
            DataError: where a file cannot be decoded or is of the wrong kind.
        """
        frame = self._frame(number)
        valid = np.ones(self.frames.size, bool)
        values: NDArray[Any] = take_bands(self.pixels.image(frame), self.frames.bands)
        if self.styling is not None:
            values = self.styling(values, valid, number)
        image = self.normalise(values, valid)
        label = None if self.scheme is None else self.pixels.label(frame).astype(np.int64)
        if self.augment is not None:
            turn = int(np.random.default_rng([self.seed or 0, number]).integers(2**31))
            image, valid, label = self.augment(image, valid, label, seed=turn)
        return _sample(image, valid, label, self.frames.frames[frame].name)

    def _frame(self, number: int) -> int:
        turn, place = divmod(number, len(self.frames.frames))
        if self.seed is None:
            return place
        return int(_order(self.seed, turn, len(self.frames.frames))[place])


class FrameEvaluation:
    """Frames to score: images at the frames' size, labels at their own.

    Logits are to be brought to the label's size, as published scores are taken.

    Args:
        frames: which.
        normalise: applied to every image.
        scheme: the run's class table.

    Raises:
        ConfigError: for a class that the data set does not have.
        DataError: for frames that have no labels.
    """

    def __init__(self, frames: Frames, *, normalise: Normaliser, scheme: ClassScheme) -> None:
        self.frames, self.normalise = frames, normalise
        self.pixels = FramePixels(frames, scheme)

    def __len__(self) -> int:
        return len(self.frames.frames)

    def __iter__(self) -> Iterator[Sample]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Sample:
        """Return frame `number`; `valid` has the size of the image, not of the label.

        Raises:
            MissingFileError: where a file is gone.
            DataError: where a file cannot be decoded or is of the wrong kind.
        """
        valid = np.ones(self.frames.size, bool)
        image = self.normalise(take_bands(self.pixels.image(number), self.frames.bands), valid)
        label = self.pixels.full_label(number).astype(np.int64)
        return _sample(image, valid, label, self.frames.frames[number].name)


@lru_cache(maxsize=8)
def _order(seed: int, turn: int, count: int) -> NDArray[np.int64]:
    """The order of frames in a pass; kept, since every sample of the pass asks for it."""
    return np.random.default_rng([seed, turn]).permutation(count)


def _spread(count: int, most: int) -> list[int]:
    """At most so many numbers below a count, spread evenly."""
    return [place * count // min(count, most) for place in range(min(count, most))]


def _sample(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    label: NDArray[np.int64] | None,
    name: str,
) -> Sample:
    return Sample(
        image=torch.from_numpy(image),
        valid=torch.from_numpy(valid),
        label=None if label is None else torch.from_numpy(label),
        name=name,
    )
