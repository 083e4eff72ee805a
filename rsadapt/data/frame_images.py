"""Single images of any size, brought to what a network of frames takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rsadapt.data.images import image_planes, read_image, take_bands
from rsadapt.geo.normalise import Normaliser
from rsadapt.sample import Picture


@dataclass(frozen=True)
class FrameImages:
    """Images by path, read one by one.

    Attributes:
        paths: the files.
        size: (height, width) that they are brought to.
        bands: 1-based positions in red, green and blue.
        normalise: applied to every image.
    """

    paths: Sequence[Path]
    size: tuple[int, int]
    bands: tuple[int, ...]
    normalise: Normaliser

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Picture]:
        """Yield every image.

        Raises:
            MissingFileError: where a file is not there.
            DataError: where it cannot be decoded or is no colour image.
        """
        for path in self.paths:
            full = read_image(path)
            planes = take_bands(image_planes(full, *self.size), self.bands)
            image = self.normalise(planes, np.ones(self.size, bool))
            height, width = full.shape[:2]
            yield Picture(path.stem, torch.from_numpy(image), (height, width))
