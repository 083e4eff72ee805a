"""From a scene's pixels to blended probabilities: read ahead, batched, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from rsadapt.geo.grid import Window
from rsadapt.geo.masked import Mask
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.infer.answers import answers_of
from rsadapt.infer.tiling import Lane, Plan, Span

Probabilities = Callable[[Tensor], Tensor]
"""Images float32 [N, bands, h, w] in, probabilities of the classes [N, classes, h, w] out."""

Rows = tuple[int, Tensor, NDArray[np.bool_]]
"""The first of some rows, their probabilities [classes, rows, columns], which pixels are valid."""

LEAST_CHUNK, MOST_CHUNK = 128, 1024
"""Rows that are read at once: whole rows of blocks, so that each block is decoded once."""


@dataclass(frozen=True)
class Network:
    """What is asked of each tile, and how.

    Attributes:
        predict: images to probabilities, on `device`; called in inference mode.
        normalise: the normalisation of training.
        bands: 1-based bands, in the network's order.
        num_classes: classes of the network, at most 255.
        batch_size: tiles a batch.
        device: where the network is.
        readers: threads that read ahead.
    """

    predict: Probabilities
    normalise: Normaliser
    bands: tuple[int, ...]
    num_classes: int
    batch_size: int
    device: torch.device | str = "cpu"
    readers: int = 1


def bytes_per_column(network: Network, tile: int) -> int:
    """What a column of a lane takes in memory, about: sums, images read and ahead, and a copy."""
    rows = 2 * tile + (2 + network.readers) * MOST_CHUNK // 2
    return 4 * (network.num_classes * tile + len(network.bands) * rows)


def predict_lane(
    raster: Raster,
    plan: Plan,
    lane: Lane,
    network: Network,
    *,
    first: int,
    stop: int,
    area: Mask | None = None,
) -> Iterator[Rows]:
    """Predict rows of a lane from top to bottom, each once.

    Answers of overlapping tiles are added up under their weights. Held at a time are the sums of
    one row of tiles, float32 [classes, tile, columns], and what is read of it and ahead of it. What
    rows hold does not depend on where `first` lies: batches begin anew with each row of tiles.

    Args:
        raster: the scene.
        plan: how it is cut.
        lane: one of its lanes.
        network: what to ask.
        first: the first row.
        stop: the row after the last.
        area: which pixels to map, all by default. The network sees what lies around them, so that
            they are mapped as they are without it; rows of tiles without any are not read.

    Raises:
        ShapeError: where the network answers in another shape.
        DataError: for an unreadable scene.
    """
    rows = [span for span in plan.rows if span.stop > first and span.start < stop]
    tallest = max(len(span.weights) for span in rows)
    sums = torch.zeros((network.num_classes, tallest, lane.width), device=network.device)
    ends = [*(span.start for span in rows[1:]), min(stop, rows[-1].stop)]
    strips = _strips(Source(raster, lane, network, area), plan, rows)
    for row, end, (image, valid) in zip(rows, ends, strips, strict=True):
        for column, answer in _answers(image, valid, plan.tile, lane, network):
            _add(sums, answer, row, column, lane)
        skipped = max(0, first - row.start)
        done = end - row.start
        if done > skipped:
            begin = row.start - row.tile
            seen = valid[begin + skipped : begin + done]
            columns = slice(lane.start - lane.read_start, lane.stop - lane.read_start)
            yield row.start + skipped, sums[:, skipped:done], seen[:, columns]
        _scroll(sums, done)


def _add(sums: Tensor, answer: Tensor, row: Span, column: Span, lane: Lane) -> None:
    """Add a tile's answer [classes, tile, tile] under its weights."""
    columns = slice(column.start - lane.start, column.stop - lane.start)
    share = torch.from_numpy(row.weights[:, None] * column.weights).to(sums.device)
    sums[:, : len(row.weights), columns].addcmul_(answer[:, row.inside, column.inside], share)


def _scroll(sums: Tensor, rows: int) -> None:
    """Move sums [classes, h, width] up and start the freed rows at zero, class by class."""
    for plane in sums:
        kept = plane[rows:].clone()
        plane[: len(kept)] = kept
        plane[len(kept) :] = 0


def _answers(
    image: Tensor, valid: NDArray[np.bool_], tile: int, lane: Lane, network: Network
) -> Iterator[tuple[Span, Tensor]]:
    """Yield the probabilities [classes, tile, tile] of each tile that has a pixel to map."""
    starts = {column: column.tile - lane.read_start for column in lane.spans}
    live = [column for column, start in starts.items() if valid[:, start : start + tile].any()]
    on_device = image.to(network.device)
    for number in range(0, len(live), network.batch_size):
        batch = live[number : number + network.batch_size]
        images = torch.stack([on_device[:, :, starts[c] : starts[c] + tile] for c in batch])
        answers = answers_of(
            images,
            predict=network.predict,
            num_classes=network.num_classes,
            size=(tile, tile),
        )
        yield from zip(batch, answers, strict=True)


# Reading


@dataclass(frozen=True)
class Source:
    """Where a lane's pixels come from.

    Attributes:
        raster: the scene.
        lane: the columns that are read.
        network: by whose bands and normalisation.
        area: which pixels to map, or None for all.
    """

    raster: Raster
    lane: Lane
    network: Network
    area: Mask | None

    def window(self, row: int, stop: int) -> Window:
        """The lane's pixels of some rows."""
        start = self.lane.read_start
        return Window(row, start, stop - row, self.lane.read_stop - start)

    def read(self, window: Window) -> _Chunk:
        """Read rows, normalised, and which of their pixels to map."""
        values, valid = self.raster.read(window, self.network.bands)
        image = torch.from_numpy(self.network.normalise(values, valid))
        mapped = valid if self.area is None else valid & self.area.read(window)
        return _Chunk(window.row, image, mapped)

    def nothing(self, window: Window) -> _Chunk:
        """Rows that are not read, since no tile that sees them has a pixel to map."""
        shape = window.height, window.width
        image = torch.zeros((len(self.network.bands), *shape))
        return _Chunk(window.row, image, np.zeros(shape, bool))


@dataclass(frozen=True)
class _Chunk:
    """Rows of a lane as they were read.

    Attributes:
        row: the first.
        image: float32 [bands, rows, columns], normalised.
        mapped: which pixels to map, bool [rows, columns].
    """

    row: int
    image: Tensor
    mapped: NDArray[np.bool_]

    @property
    def stop(self) -> int:
        return self.row + len(self.mapped)


def _strips(
    source: Source, plan: Plan, rows: Sequence[Span]
) -> Iterator[tuple[Tensor, NDArray[np.bool_]]]:
    """Yield the image that each row of tiles sees and what to map of it, padded to a tile."""
    size = min(plan.tile, plan.height)
    width = source.lane.read_stop - source.lane.read_start
    below, beside = plan.tile - size, max(0, plan.tile - width)
    held: deque[_Chunk] = deque()
    chunks = _read_ahead(source, rows, size)
    for row in rows:
        while held and held[0].stop <= row.tile:
            held.popleft()
        while not held or held[-1].stop < row.tile + size:
            held.append(next(chunks))
        cut = slice(row.tile - held[0].row, row.tile - held[0].row + size)
        image = torch.cat([chunk.image for chunk in held], dim=1)[:, cut]
        mapped = np.concatenate([chunk.mapped for chunk in held])[cut]
        yield pad(image, (0, beside, 0, below)), mapped


def _read_ahead(source: Source, rows: Sequence[Span], size: int) -> Iterator[_Chunk]:
    """Read rows in threads while the network works, at most `readers` chunks ahead."""
    first, stop = rows[0].tile, rows[-1].tile + size
    seen = [row for row in rows if _looked_at(source, source.window(row.tile, row.tile + size))]
    windows = deque(
        source.window(*piece) for piece in _chunks(first, stop, source.raster.block_shape[0])
    )
    coming: deque[Future[_Chunk]] = deque()

    def submit(pool: ThreadPoolExecutor) -> None:
        window = windows.popleft()
        needed = any(row.tile < window.row_stop and window.row < row.tile + size for row in seen)
        coming.append(pool.submit(source.read if needed else source.nothing, window))

    readers = source.network.readers
    with ThreadPoolExecutor(max_workers=readers) as pool:
        while windows or coming:
            while windows and len(coming) < readers:
                submit(pool)
            chunk = coming.popleft().result()
            if windows:
                submit(pool)
            yield chunk


def _looked_at(source: Source, window: Window) -> bool:
    """Whether there is anything to map in a window."""
    return source.area is None or bool(source.area.read(window).any())


def _chunks(first: int, stop: int, block: int) -> Iterator[tuple[int, int]]:
    """Cut rows where blocks end, as near as may be to LEAST_CHUNK rows."""
    step = -(-LEAST_CHUNK // block) * block if block < LEAST_CHUNK else block
    step = step if step <= MOST_CHUNK else LEAST_CHUNK
    while first < stop:
        end = min(stop, (first // step + 1) * step)
        yield first, end
        first = end
