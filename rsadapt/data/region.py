"""A region of GeoTIFF scenes: its pixels, labels and statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.classes import ClassScheme
from rsadapt.data.sampling import (
    LabelCells,
    cell_side,
    count_cells,
)
from rsadapt.errors import DataError, NoValidPixelError
from rsadapt.geo.fingerprint import fingerprint
from rsadapt.geo.grid import Window
from rsadapt.geo.kept import Scratch, kept
from rsadapt.geo.labels import Labels
from rsadapt.geo.location import Location
from rsadapt.geo.place import ground_length
from rsadapt.geo.raster import BLOCK_PIXELS, Raster
from rsadapt.geo.statistics import BandStatistics, band_statistics
from rsadapt.progress import Progress, watched

MANY_IDS = 10_000
"""Ids outside the class table after which no more are looked for."""

SAMPLE_PIECE = 256 * 256
"""Pixels of a piece of a sample for statistics, at least: blocks may be single rows."""


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


def _piece(block: tuple[int, int]) -> int:
    """Pixels of a piece of a sample: of a block, or of several small ones."""
    return min(BLOCK_PIXELS, max(SAMPLE_PIECE, block[0] * block[1]))
