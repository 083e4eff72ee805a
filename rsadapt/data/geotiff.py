"""Windows of GeoTIFF scenes: drawn at random to train on, laid out on a grid to evaluate on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsadapt.classes import IGNORE_INDEX, ClassScheme
from rsadapt.data.sampling import (
    AtLabels,
    LabelCells,
    Sampling,
    SamplingName,
    Uniform,
    cell_side,
    count_cells,
)
from rsadapt.errors import DataError, NoValidPixelError
from rsadapt.geo.fingerprint import fingerprint
from rsadapt.geo.grid import Grid, Window, tile_windows
from rsadapt.geo.kept import Scratch, kept
from rsadapt.geo.labels import Labels
from rsadapt.geo.location import Location
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.place import ground_length
from rsadapt.geo.raster import BLOCK_PIXELS, Raster
from rsadapt.geo.statistics import BandStatistics, band_statistics
from rsadapt.progress import Progress, watched
from rsadapt.sample import Sample

if TYPE_CHECKING:
    from rsadapt.data.augment import Augmenter

MAX_DRAWS = 32
"""Windows drawn for one sample before the best of them is taken: at a tenth of the region usable,
all 32 miss once in thirty samples."""

MANY_IDS = 10_000
"""Ids outside the class table after which no more are looked for."""

LAST_DRAW = 1024
"""Windows drawn before a region is given up, where none so far has any valid pixel."""

SAMPLE_PIECE = 256 * 256
"""Pixels of a piece of a sample for statistics, at least: blocks may be single rows."""

LEAST_SIDE = 16
"""Pixels of a side of what is scored: a network needs some cells to look at."""


@dataclass(frozen=True)
class Scene:
    """An image, its labels where it has any, and the part of it that may be used.

    An image that is cut into several areas makes as many scenes.

    Attributes:
        image: the image.
        label: label ids on the image's grid, warped onto it or not, or None.
        area: the usable pixels of the image's grid.
    """

    image: Raster
    label: Labels | None
    area: Window

    def read_label(
        self, window: Window, scheme: ClassScheme, unknown: Counter[Any] | None = None
    ) -> NDArray[np.uint8]:
        """Train ids [height, width] of a window; `IGNORE_INDEX` where unlabelled.

        Where `unknown` is given, ids outside the class table are counted there, and unlabelled.

        Raises:
            DataError: for ids outside the class table, or a scene without labels.
        """
        if self.label is None:
            raise DataError(f"{self.image.path}: this scene has no labels; name them in 'labels'")
        raw, valid = self.label.read(window, [1])
        return scheme.encode(raw[0], valid, where=self.label.path, unknown=unknown)


@dataclass(frozen=True)
class Region:
    """The scenes of one domain and the bands taken from each.

    Attributes:
        name: "source" or "target", for messages.
        scenes: at least one.
        bands: 1-based band numbers, the same in every scene.
    """

    name: str
    scenes: tuple[Scene, ...]
    bands: tuple[int, ...]
    _cells: dict[tuple[ClassScheme, int], LabelCells] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def labelled(self) -> bool:
        """Whether every scene has labels."""
        return all(scene.label is not None for scene in self.scenes)

    @property
    def pixels(self) -> int:
        """Usable pixels, invalid ones included."""
        return sum(scene.area.height * scene.area.width for scene in self.scenes)

    @property
    def ground_pixel(self) -> float | None:
        """The median side of a scene's pixel on the ground, metres; None where none has any."""
        lengths = [ground_length(scene.image.grid) for scene in self.scenes]
        known = sorted(length for length in lengths if length is not None)
        return known[len(known) // 2] if known else None

    def kept(self, scratch: Scratch, *, labels: bool) -> Region:
        """The same region, whose pixels are decoded once and kept, scene by scene while room is.

        Args:
            scratch: where they are kept.
            labels: whether labels that are rasters are too; else they are not opened.
        """
        images = {id(s.image): s.image for s in self.scenes}  # an image may have several areas
        stored = {key: kept(image, self.bands, scratch) for key, image in images.items()}
        drawn = {
            id(s.label): s.label for s in self.scenes if labels and isinstance(s.label, Raster)
        }
        stored_labels: dict[int, Labels] = {
            key: kept(label, (1,), scratch) for key, label in drawn.items()
        }
        region = replace(
            self,
            scenes=tuple(
                replace(
                    scene,
                    image=stored[id(scene.image)],
                    label=stored_labels.get(id(scene.label), scene.label),
                )
                for scene in self.scenes
            ),
        )
        region._cells.update(self._cells)
        return region

    def blocks(self) -> list[tuple[Scene, Window]]:
        """Every usable pixel once, in pieces that fit in memory."""
        return [
            (scene, window) for scene in self.scenes for window in scene.image.blocks(scene.area)
        ]

    def statistics(
        self, progress: Progress | None = None, *, pixels: int | None = None
    ) -> BandStatistics:
        """Statistics of each band over the region's valid pixels.

        Args:
            progress: told of every piece read.
            pixels: about how many to look at, in whole blocks spread over the region, the same
                every time; all unless given.

        Raises:
            DataError: for a region without a valid pixel, or a raster that cannot be read.
        """
        sampled = pixels is not None and pixels < self.pixels
        pieces = self._sample(pixels) if pixels is not None and sampled else self.blocks()
        try:
            return band_statistics(
                (
                    scene.image.read(window, self.bands)
                    for scene, window in watched(pieces, f"read {self.name}", progress)
                ),
                total=self.pixels,
            )
        except NoValidPixelError as error:
            more = "; it may be the sample: raise 'statistics.pixels'" if sampled else ""
            raise DataError(f"{self.name} region: {error}{self._empty(pieces)}{more}") from error
        except DataError as error:
            raise DataError(f"{self.name} region: {error}") from error

    def fingerprint(self, *, pixels: int | None = None) -> str:
        """A text that is another one wherever `statistics` might be others."""
        pixels = None if pixels is None or pixels >= self.pixels else pixels
        scenes = [(scene.image, scene.area) for scene in self.scenes]
        return fingerprint("region", scenes, self.bands, pixels)

    def _sample(self, pixels: int) -> list[tuple[Scene, Window]]:
        """Blocks of about so many pixels, one drawn from each of as many parts of equal length."""
        pieces = [
            (scene, window)
            for scene in self.scenes
            for window in scene.image.blocks(scene.area, _piece(scene.image.block_shape))
        ]
        count = max(1, round(len(pieces) * pixels / self.pixels))
        places = np.arange(count) + np.random.default_rng(0).random(count)
        return [pieces[place] for place in (places * len(pieces) / count).astype(int)]

    def _empty(self, pieces: Sequence[tuple[Scene, Window]]) -> str:
        """Say which bands have no valid pixel, where others have some."""
        empty = [
            band
            for band in self.bands
            if not any(scene.image.read(window, [band])[1].any() for scene, window in pieces)
        ]
        if not empty or len(empty) == len(self.bands):
            return ""
        return f"; without one of its own are bands {empty}: choose others with 'bands'"

    def check(self, scheme: ClassScheme, progress: Progress | None = None) -> None:
        """Read every label once: unknown ids and damaged files show, and labels that teach nothing.

        Raises:
            DataError: for such labels.
        """
        if not self.class_counts(scheme, progress)[:-1].any():
            raise DataError(
                f"{self.name} region: its {self.scenes[0].image.path.name} and others have no "
                f"labelled valid pixel; check 'classes' and 'ignored_ids'"
            )

    def class_counts(
        self, scheme: ClassScheme, progress: Progress | None = None
    ) -> NDArray[np.int64]:
        """Labelled valid pixels of each class [classes], and unlabelled ones as a last entry.

        Raises:
            DataError: for ids outside the class table, all of the region's together.
        """
        return self.label_cells(scheme, progress).totals

    def label_cells(
        self, scheme: ClassScheme, progress: Progress | None = None, most: int | None = None
    ) -> LabelCells:
        """Labelled valid pixels of each class, cell by cell; counted once and kept.

        Args:
            scheme: the class table.
            progress: is told of what is read.
            most: the longest side that a cell may have, pixels.

        Raises:
            DataError: for ids outside the class table, all of the region's together.
        """
        pixels = sum(scene.area.height * scene.area.width for scene in self.scenes)
        side = min(cell_side(pixels), most or pixels)
        if (scheme, side) not in self._cells:
            self._cells[scheme, side] = count_cells(
                self._labels(scheme, progress), classes=len(scheme), side=side
            )
        return self._cells[scheme, side]

    def _labels(
        self, scheme: ClassScheme, progress: Progress | None
    ) -> Iterator[tuple[int, Window, NDArray[np.uint8], NDArray[np.bool_]]]:
        """Every usable pixel's label once: scene number, window, train ids and validity.

        Raises:
            DataError: for ids outside the class table, once all are known.
        """
        blocks = [
            (number, window)
            for number, scene in enumerate(self.scenes)
            for window in scene.image.blocks(scene.area)
        ]
        unknown: Counter[Any] = Counter()
        files: dict[Location, None] = {}
        for number, window in watched(blocks, f"read {self.name} labels", progress):
            scene, before = self.scenes[number], unknown.total()
            _, valid = scene.image.read(window, self.bands)
            train_ids = scene.read_label(window, scheme, unknown)
            if unknown.total() > before and scene.label is not None:
                files[scene.label.path] = None
            if len(unknown) > MANY_IDS:  # no labels, by the look of them
                break
            yield number, window, train_ids, valid
        if unknown:
            first, *others = files
            more = f" and {len(others)} more files" if others else ""
            raise DataError(
                f"{self.name} region: {first}{more}: {scheme.words_of_unknown(unknown)}; or give "
                f"them other ids with '{self.name}.label_ids'"
            )


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


def _piece(block: tuple[int, int]) -> int:
    """Pixels of a piece of a sample: of a block, or of several small ones."""
    return min(BLOCK_PIXELS, max(SAMPLE_PIECE, block[0] * block[1]))


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
