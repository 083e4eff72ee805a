"""Scenes in, maps out: a network's answers tile by tile, blended, in bounded memory."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from rsadapt.classes import IGNORE_INDEX, NODATA, ClassScheme
from rsadapt.errors import ConfigError, DataError, OutputExistsError
from rsadapt.geo.grid import Grid, Window, tile_starts
from rsadapt.geo.location import Location
from rsadapt.geo.masked import Mask
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import MapWriter
from rsadapt.infer.answers import answers_of
from rsadapt.progress import Progress

Probabilities = Callable[[Tensor], Tensor]
"""Images float32 [N, bands, h, w] in, probabilities of the classes [N, classes, h, w] out."""

Rows = tuple[int, NDArray[np.uint8], NDArray[np.float32]]
"""The first row, the train ids and the confidence [h, width] of some rows of a scene."""

CONFIDENCE_STEPS = 254
"""Confidence maps hold probability x 254 as uint8, which leaves 255 to nodata."""


@dataclass(frozen=True)
class PredictedScene:
    """What a prediction wrote.

    Attributes:
        classes: the class map.
        confidence: the map of the predicted class's probability.
        pixels: pixels of the scene, invalid ones included.
        seconds: wall-clock time from the first read to both maps being in place.
    """

    classes: Path
    confidence: Path
    pixels: int
    seconds: float

    @property
    def files(self) -> tuple[Path, ...]:
        """What was written, the map first."""
        return self.classes, self.confidence

    @property
    def note(self) -> str:
        """How fast it went."""
        return f"{self.pixels / self.seconds / 1e6:.2g} megapixels/s"


def predict_scene(
    raster: Raster,
    out: Path,
    *,
    scheme: ClassScheme,
    predict: Probabilities,
    normalise: Normaliser,
    bands: Sequence[int],
    tile: int,
    overlap: int,
    batch_size: int,
    area: Mask | None = None,
    device: torch.device | str = "cpu",
    tags: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    grid: Grid | None = None,
) -> PredictedScene:
    """Write a scene's class map and confidence map, both or neither.

    `<stem>_classes.tif` holds the scheme's codes and palette, `<stem>_confidence.tif` the predicted
    class's probability as uint8 with scale 1/254. Both lie on the scene's grid; 255 is nodata.

    Args:
        raster: the scene.
        out: the folder to write to, made where it is missing.
        scheme: the classes, in the order of the network's.
        predict: see `predict_rows`, as all that is not listed here.
        normalise: the normalisation of training.
        bands: 1-based bands, in the network's order.
        tile: pixels of a tile's side.
        overlap: pixels that neighbouring tiles share.
        batch_size: tiles a batch.
        area: which pixels to map, all by default.
        device: where the network is.
        tags: what both maps say of their origin.
        overwrite: replace maps that are there already, once the new ones are whole.
        progress: told the scene's name and its rows.
        grid: where the maps say that the scene's pixels lie; the scene's own grid unless given.

    Raises:
        OutputExistsError: for a map that is there already, without `overwrite`, or `out` a file.
        ConfigError, DataError, ShapeError: as `predict_rows`.
    """
    started = time.perf_counter()
    classes, confidence = (
        out / f"{raster.path.stem}_{kind}.tif" for kind in ("classes", "confidence")
    )
    _refuse_existing(out, [classes, confidence], overwrite=overwrite)
    rows = predict_rows(
        raster,
        predict=predict,
        normalise=normalise,
        bands=bands,
        num_classes=len(scheme),
        tile=tile,
        overlap=overlap,
        batch_size=batch_size,
        area=area,
        device=device,
        progress=progress,
    )
    with (
        _folder(out),
        tempfile.TemporaryDirectory(dir=out, prefix=f".{raster.path.stem}-") as staging,
    ):
        parts = Path(staging) / classes.name, Path(staging) / confidence.name
        _write_maps(rows, *parts, grid=grid or raster.grid, scheme=scheme, tags=tags)
        for part in sorted(Path(staging).iterdir()):
            part.replace(out / part.name)
    return PredictedScene(
        classes, confidence, math.prod(raster.grid.shape), time.perf_counter() - started
    )


def predict_rows(
    raster: Raster,
    *,
    predict: Probabilities,
    normalise: Normaliser,
    bands: Sequence[int],
    num_classes: int,
    tile: int,
    overlap: int,
    batch_size: int,
    area: Mask | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Iterator[Rows]:
    """Predict a scene from top to bottom, each row once.

    Probabilities of overlapping tiles are averaged under the weights of `blend_spans`. Held at a
    time are the sums of one row of tiles, float32 [classes, tile, width], and three such rows of
    images at most: one worked on, one ready, one being read. Blending rounds in float32: of classes
    whose probabilities differ by less than about 1e-7, either may be taken.

    Args:
        raster: the scene.
        predict: images to probabilities, on `device`; called in inference mode.
        normalise: the normalisation of training.
        bands: 1-based bands, in the network's order.
        num_classes: classes of the network, at most 255.
        tile: pixels of a tile's side; smaller scenes are padded with invalid pixels.
        overlap: pixels that neighbouring tiles share, fewer than `tile`; at the last row and
            column of tiles it may be more.
        batch_size: tiles a batch; tiles without a pixel to map are left out.
        area: which pixels to map, all by default. The network sees what lies around them, so that
            they are mapped as they are without it.
        device: where the network is.
        progress: told the scene's name, the rows handed over and the scene's rows.

    Returns:
        An iterator over (first row, train ids uint8 [h, width], probability of the predicted class
        float32 [h, width]); invalid pixels and those outside the area are 255 and NaN.

    Raises:
        ConfigError: at once, for a tile, an overlap or a batch size that cannot be meant.
        ShapeError: while iterating, where the network answers in another shape.
        DataError: while iterating, for an unreadable scene or probabilities that are no numbers.
    """
    if not 0 <= overlap < tile:
        raise ConfigError(f"overlap must lie in 0..{tile - 1} for tiles of {tile}, found {overlap}")
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, found {batch_size}")
    height, width = raster.grid.shape
    rows = blend_spans(height, tile, overlap, device=device)
    windows = [Window(row.start, 0, len(row.weights), width) for row in rows]
    read = partial(
        _read_strip, raster=raster, area=area, bands=bands, normalise=normalise, tile=tile
    )
    answer = partial(
        _predict_tiles,
        columns=blend_spans(width, tile, overlap, device=device),
        predict=predict,
        num_classes=num_classes,
        tile=tile,
        batch_size=batch_size,
        device=device,
    )
    sums = torch.zeros((num_classes, min(tile, height), width), device=device)
    return _blend(
        rows, _read_ahead(read, windows), answer, sums=sums, raster=raster, progress=progress
    )


@dataclass(frozen=True)
class BlendSpan:
    """Where a tile lies along one axis, and what share its answer has there.

    Attributes:
        start: its first pixel.
        weights: float32 [pixels], positive; those of all spans sum to one at every pixel.
    """

    start: int
    weights: Tensor

    @property
    def slice(self) -> slice:
        """Its pixels."""
        return slice(self.start, self.start + len(self.weights))


def blend_spans(
    length: int, tile: int, overlap: int, *, device: torch.device | str = "cpu"
) -> list[BlendSpan]:
    """Cover an axis with tiles whose weights sum to one.

    Weights rise over the overlap as half a Hann window, sin^2 (Harris 1978, "On the use of windows
    for harmonic analysis", section V-C), taken at pixel centres so that none is zero. They are
    flat elsewhere and on the raster's own border; where one tile lies alone its weight is exactly
    one. The weight of a tile's pixel is the product of its row's and its column's.

    Args:
        length: pixels along the axis.
        tile: pixels of a tile; a shorter axis is one span.
        overlap: pixels that neighbours share, fewer than `tile`.
        device: where the weights are needed.
    """
    size = min(tile, length)
    starts = tile_starts(length, tile, tile - overlap)
    tapered = [
        _taper(size, overlap, before=start > 0, after=start + size < length) for start in starts
    ]
    total = np.zeros(length)
    for start, weights in zip(starts, tapered, strict=True):
        total[start : start + size] += weights
    return [
        BlendSpan(start, torch.from_numpy(weights / total[start : start + size]).float().to(device))
        for start, weights in zip(starts, tapered, strict=True)
    ]


def _taper(size: int, overlap: int, *, before: bool, after: bool) -> NDArray[np.float64]:
    """Return ones that rise where a neighbour lies before and fall where one lies after."""
    rise = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2
    weights = np.ones(size)
    if before:
        weights[:overlap] *= rise
    if after:
        weights[size - overlap :] *= rise[::-1]
    return weights


@dataclass(frozen=True)
class _Strip:
    """One row of tiles of a scene.

    Attributes:
        image: float32 [bands, rows, columns], normalised, padded to at least a tile; nothing
            where there is no pixel to map.
        mapped: which pixels to map, bool [height, width], not padded.
    """

    image: Tensor
    mapped: NDArray[np.bool_]


def _read_strip(
    window: Window,
    *,
    raster: Raster,
    area: Mask | None,
    bands: Sequence[int],
    normalise: Normaliser,
    tile: int,
) -> _Strip:
    everything = np.ones((window.height, window.width), bool)
    inside = everything if area is None else area.read(window)
    if not inside.any():
        return _Strip(torch.empty(0), inside)
    values, valid = raster.read(window, bands)
    image = torch.from_numpy(normalise(values, valid))
    below, beside = max(0, tile - window.height), max(0, tile - window.width)
    return _Strip(pad(image, (0, beside, 0, below)), valid & inside)


def _read_ahead(read: Callable[[Window], _Strip], windows: Sequence[Window]) -> Iterator[_Strip]:
    """Read the next strip in a thread while the network works on this one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(read, windows[0])
        for window in windows[1:]:
            strip = coming.result()
            coming = pool.submit(read, window)
            yield strip
        yield coming.result()


def _predict_tiles(
    strip: _Strip,
    *,
    columns: Sequence[BlendSpan],
    predict: Probabilities,
    num_classes: int,
    tile: int,
    batch_size: int,
    device: torch.device | str,
) -> Iterator[tuple[BlendSpan, Tensor]]:
    """Yield the probabilities [classes, tile, tile] of each tile with a pixel to map."""
    image = strip.image.to(device)
    live = [column for column in columns if strip.mapped[:, column.slice].any()]
    for first in range(0, len(live), batch_size):
        batch = live[first : first + batch_size]
        images = torch.stack([image[:, :, c.start : c.start + tile] for c in batch])
        answers = answers_of(images, predict=predict, num_classes=num_classes, size=(tile, tile))
        yield from zip(batch, answers, strict=True)


def _blend(
    rows: Sequence[BlendSpan],
    strips: Iterator[_Strip],
    answer: Callable[[_Strip], Iterator[tuple[BlendSpan, Tensor]]],
    *,
    sums: Tensor,
    raster: Raster,
    progress: Progress | None,
) -> Iterator[Rows]:
    """Add each strip's tiles to the sums, and hand over the rows that no later tile touches."""
    height = raster.grid.height
    stops = [*(row.start for row in rows[1:]), height]
    for row, stop, strip in zip(rows, stops, strips, strict=True):
        for column, probabilities in answer(strip):
            weights = row.weights[:, None] * column.weights
            inside = probabilities[:, : weights.shape[0], : weights.shape[1]]
            sums[:, :, column.slice].addcmul_(inside, weights)
        done = stop - row.start
        yield row.start, *_decide(sums[:, :done], strip.mapped[:done], where=raster.path)
        _scroll(sums, done)
        if progress is not None:
            progress(raster.path.name, stop, height)


def _decide(
    probabilities: Tensor, mapped: NDArray[np.bool_], *, where: Location
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Turn blended probabilities [classes, h, width] into train ids and confidence."""
    highest, best = probabilities.max(dim=0)
    confidence = highest.clamp(max=1).cpu().numpy()
    if not np.isfinite(confidence[mapped]).all():
        raise DataError(
            f"{where}: the network's probabilities are not finite; its training has diverged, "
            f"so predict with an earlier checkpoint"
        )
    classes = np.where(mapped, best.to(torch.uint8).cpu().numpy(), np.uint8(IGNORE_INDEX))
    return classes, np.where(mapped, confidence, np.float32(np.nan))


def _scroll(sums: Tensor, rows: int) -> None:
    """Move sums [classes, h, width] up and start the freed rows at zero, class by class."""
    for plane in sums:
        kept = plane[rows:].clone()
        plane[: len(kept)] = kept
        plane[len(kept) :] = 0


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Make a folder and its parents; after an exception those made here are gone again."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in made:
            folder.rmdir()
        raise


def _refuse_existing(out: Path, paths: Sequence[Path], *, overwrite: bool) -> None:
    if out.is_file():
        raise OutputExistsError(f"expected a folder for the maps, found a file at {out}; name one")
    for path in paths:
        if path.exists() and not (overwrite and path.is_file()):
            raise OutputExistsError(
                f"{path} exists already and is left as it is; choose another folder or overwrite it"
            )


def _write_maps(
    rows: Iterator[Rows],
    classes_path: Path,
    confidence_path: Path,
    *,
    grid: Grid,
    scheme: ClassScheme,
    tags: Mapping[str, str] | None,
) -> None:
    with (
        MapWriter(
            classes_path,
            grid,
            dtype="uint8",
            nodata=NODATA,
            description="class",
            scheme=scheme,
            tags=tags,
            overview_resampling="mode",
        ) as class_map,
        MapWriter(
            confidence_path,
            grid,
            dtype="uint8",
            nodata=NODATA,
            description="probability of the predicted class",
            tags=tags,
            scale=1 / CONFIDENCE_STEPS,
            overview_resampling="average",
        ) as confidence_map,
    ):
        for row, classes, confidence in rows:
            class_map.write_rows(row, scheme.decode(classes))
            confidence_map.write_rows(row, _quantise(confidence))


def _quantise(confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round probabilities to steps of 1/254; NaN becomes nodata."""
    steps = np.rint(confidence * CONFIDENCE_STEPS)
    return np.where(np.isnan(steps), NODATA, steps).astype(np.uint8)
