"""Windows of GeoTIFF scenes: drawn at random to train on, laid out on a grid to evaluate on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsadapt.classes import IGNORE_INDEX, ClassScheme
from rsadapt.data.region import Region, Scene
from rsadapt.data.sampling import (
    AtLabels,
    Sampling,
    SamplingName,
    Uniform,
)
from rsadapt.data.styling import Styling
from rsadapt.errors import DataError
from rsadapt.geo.grid import Grid, Window, tile_windows
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.progress import Progress
from rsadapt.sample import Sample

if TYPE_CHECKING:
    from rsadapt.data.augment import Augmenter

MAX_DRAWS = 32
"""Windows drawn for one sample before the best of them is taken: at a tenth of the region usable,
all 32 miss once in thirty samples."""

LAST_DRAW = 1024
"""Windows drawn before a region is given up, where none so far has any valid pixel."""

LEAST_SIDE = 16
"""Pixels of a side of what is scored: a network needs some cells to look at."""


class RandomWindows:
    """Square training windows: sample g is a pure function of (seed, g).

    Windows are drawn until one has enough valid pixels; of `MAX_DRAWS` that do not, the one with
    the most is taken. Without a class table labels are never opened.

    Args:
        region: where windows come from.
        size: height and width in pixels.
        seed: of the sequence.
        normalise: applied to every window.
        scheme: class table for the labels; None gives samples without labels.
        styling: applied first, where images are to look like others.
        augment: applied last.
        least_valid: share of valid pixels a window should have.
        sampling: where windows lie (see `rsadapt.data.sampling`); by labels only with a scheme.
        temperature: of "class_rarity".
        progress: is told of the labels read, where they decide the sampling.

    Raises:
        DataError: where a scene, or every scene's usable part, is smaller than a window, or has no
            label to sample by.
        ValueError: for sampling by labels without a class table.
    """

    def __init__(
        self,
        region: Region,
        *,
        size: int,
        seed: int,
        normalise: Normaliser,
        scheme: ClassScheme | None,
        styling: Styling | None = None,
        augment: Augmenter | None = None,
        least_valid: float = 0.25,
        sampling: SamplingName = "uniform",
        temperature: float = 0.01,
        progress: Progress | None = None,
    ) -> None:
        for scene in region.scenes:
            _check_size(scene.image, scene.image.grid.shape, size)
        areas, cells = [scene.area for scene in region.scenes], None
        if sampling != "uniform":
            if scheme is None:
                raise ValueError(f"sampling by {sampling} needs a class table")
            cells = region.label_cells(scheme, progress, most=size)
        rare = temperature if sampling == "class_rarity" else None
        try:
            self.sampling: Sampling = Uniform(areas, size)
            if cells is not None:
                self.sampling = AtLabels(cells, areas, size, rare)
        except DataError as error:
            raise DataError(f"{region.name} region: {error}") from error
        self.region, self.size, self.seed = region, size, seed
        self.normalise, self.scheme, self.augment = normalise, scheme, augment
        self.styling = styling
        self.least_valid = least_valid

    def __getitem__(self, number: int) -> Sample:
        """Return sample `number`.

        Raises:
            DataError: where the draws for it meet no valid pixel.
        """
        random = np.random.default_rng([self.seed, number])
        scene, window, values, valid = self._draw(random)
        label = None
        if self.scheme is not None:
            label = scene.read_label(window, self.scheme).astype(np.int64)
            label[~valid] = IGNORE_INDEX
        if self.styling is not None:
            values = self.styling(values, valid, number)
        image = self.normalise(values, valid)
        if self.augment is not None:
            turn = int(random.integers(2**31))
            image, valid, label = self.augment(image, valid, label, seed=turn)
        return _sample(image, valid, label, scene, window)

    def _draw(
        self, random: np.random.Generator
    ) -> tuple[Scene, Window, NDArray[Any], NDArray[np.bool_]]:
        """The first window with enough valid pixels, else the one with the most."""
        best, best_share = None, 0.0
        for draw, (number, window) in enumerate(islice(self.sampling.places(random), LAST_DRAW)):
            if draw >= MAX_DRAWS and best is not None:
                break
            scene = self.region.scenes[number]
            values, valid = scene.image.read(window, self.region.bands)
            share = float(valid.mean())
            if share > best_share:
                best, best_share = (scene, window, values, valid), share
            if best is not None and share >= self.least_valid:
                break
        if best is None:
            raise DataError(
                f"{self.region.name} region: {LAST_DRAW} windows of {self.size} x {self.size} "
                f"met no valid pixel; is nearly all of it nodata?"
            )
        return best


class GridWindows:
    """Square windows that cover a region once, for evaluation.

    The last window of a row or column is moved back to end with the area; what an earlier one
    already covered is unlabelled in it, so that every pixel counts once. Windows of an area
    narrower than `LEAST_SIDE` reach out of it for the network to look at, unlabelled there.

    Args:
        region: where windows come from.
        size: height and width in pixels; areas smaller than that give smaller windows.
        normalise: applied to every window.
        scheme: class table for the labels.
    """

    def __init__(
        self, region: Region, *, size: int, normalise: Normaliser, scheme: ClassScheme
    ) -> None:
        self.region, self.normalise, self.scheme = region, normalise, scheme
        self.windows: list[tuple[Scene, Window]] = []
        self._counted: list[Window] = []
        for scene in region.scenes:
            for window in tile_windows(scene.area, size, size):
                self.windows.append((scene, _widened(window, scene.image.grid)))
                self._counted.append(_fresh(window, scene.area, size))

    def __len__(self) -> int:
        return len(self.windows)

    def __iter__(self) -> Iterator[Sample]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Sample:
        """Return window `number` with its labels."""
        scene, window = self.windows[number]
        values, valid = scene.image.read(window, self.region.bands)
        label = scene.read_label(window, self.scheme).astype(np.int64)
        label[~(valid & _inside(window, self._counted[number]))] = IGNORE_INDEX
        return _sample(self.normalise(values, valid), valid, label, scene, window)


def _fresh(window: Window, area: Window, size: int) -> Window:
    """What of a window of a grid the one above or left of it does not cover."""
    rows, cols = -(window.row - area.row) % size, -(window.col - area.col) % size
    return Window(window.row + rows, window.col + cols, window.height - rows, window.width - cols)


def _inside(window: Window, part: Window) -> NDArray[np.bool_]:
    """Which pixels of a window belong to a part of it, bool [height, width]."""
    inside = np.zeros((window.height, window.width), bool)
    row, col = part.row - window.row, part.col - window.col
    inside[row : row + part.height, col : col + part.width] = True
    return inside


def _widened(window: Window, grid: Grid) -> Window:
    """A window with at least `LEAST_SIDE` pixels a side, as far as the grid has them."""
    row, height = _spread(window.row, window.height, grid.height)
    col, width = _spread(window.col, window.width, grid.width)
    return Window(row, col, height, width)


def _spread(start: int, length: int, limit: int) -> tuple[int, int]:
    """Start and length of a stretch, spread to both sides where it is short."""
    longer = max(length, min(LEAST_SIDE, limit))
    return min(max(0, start - (longer - length) // 2), limit - longer), longer


def _sample(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    label: NDArray[np.int64] | None,
    scene: Scene,
    window: Window,
) -> Sample:
    return Sample(
        image=torch.from_numpy(image),
        valid=torch.from_numpy(np.ascontiguousarray(valid)),
        label=None if label is None else torch.from_numpy(np.ascontiguousarray(label)),
        grid=scene.image.grid.crop(window),
        name=f"{scene.image.path.name} row {window.row} column {window.col}",
    )


def _check_size(image: Raster, shape: tuple[int, int], size: int) -> None:
    if min(shape) < size:
        raise DataError(
            f"{image.path}: the scene has {shape[0]} x {shape[1]} pixels and cannot hold a "
            f"training window of {size} x {size}; choose a smaller 'training.tile' or leave it out"
        )


def check_sides(region: Region) -> None:
    """Make sure that what is scored is wide enough to be predicted.

    Raises:
        DataError: for a scene that is not.
    """
    for scene in region.scenes:
        height, width = scene.image.grid.shape
        if min(height, width) < LEAST_SIDE:
            raise DataError(
                f"{scene.image.path}: the scene has {height} x {width} pixels, too narrow to be "
                f"predicted; expected at least {LEAST_SIDE} a side: leave it out, or set "
                f"'validation.share' to 0"
            )
