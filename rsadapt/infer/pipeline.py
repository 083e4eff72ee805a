"""From a scene's pixels to blended probabilities: read ahead, batched, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsadapt.geo.grid import Window
from rsadapt.geo.masked import Mask
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.room import room
from rsadapt.infer.answers import answers_of
from rsadapt.infer.tiling import Lane, Plan, Span

Probabilities = Callable[[Tensor], Tensor]
"""Images float32 [N, bands, h, w] in, probabilities of the classes [N, classes, h, w] out."""

Piece = tuple[Window, Tensor, NDArray[np.bool_]]
"""Some pixels, their probabilities [classes, height, width], and which of them to map."""

LEAST_CHUNK, MOST_CHUNK = 128, 1024
"""Rows that are read at once: whole rows of blocks, so that each block is decoded once."""

READ_PIXELS = 512 * 512
"""Pixels that GDAL is asked for at once, about: its masks and its cache of blocks stay small."""


NORMALISED_ROWS = 64
"""Rows of a tile that are normalised at once: what that takes stays in the processor's cache."""


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
        readers: threads that read ahead, each of which holds a chunk of rows more.
    """

    predict: Probabilities
    normalise: Normaliser
    bands: tuple[int, ...]
    num_classes: int
    batch_size: int
    device: torch.device | str = "cpu"
    readers: int = 1


def bytes_per_column(network: Network, raster: Raster, tile: int, overlap: int) -> int:
    """What a column of a lane takes in memory: the sums, and rows as they are read, and ahead."""
    step = _chunk_rows(raster.block_shape[0])
    rows = step * ((tile - 1) // step + 2 + network.readers)
    pixel = len(network.bands) * np.dtype(raster.dtype).itemsize + 2
    return 4 * network.num_classes * overlap + rows * pixel


def predict_lane(
    raster: Raster,
    plan: Plan,
    lane: Lane,
    network: Network,
    *,
    first: int,
    stop: int,
    area: Mask | None = None,
) -> Iterator[Piece]:
    """Predict rows of a lane, each pixel once: from left to right, then the next rows.

    Answers of overlapping tiles are added up under their weights. Held at a time are the sums of
    one tile, those of the pixels that two rows of tiles share, float32 [classes, overlap, columns],
    and what is read of a row of tiles and ahead of it, as it is stored: see `bytes_per_column`.
    What pieces hold does not depend on where `first` lies: batches begin anew with each row of
    tiles.

    Args:
        raster: the scene.
        plan: how it is cut.
        lane: one of its lanes.
        network: what to ask.
        first: the first row.
        stop: the row after the last.
        area: which pixels to map, all by default. The network sees what lies around them, so that
            they are mapped as they are without it; rows of tiles without any are not read.

    Yields:
        Pieces, of which the probabilities are overwritten once the next is asked for. All pieces
        of the same rows follow one another.

    Raises:
        ShapeError: where the network answers in another shape.
        DataError: for an unreadable scene.
    """
    rows = [span for span in plan.rows if span.stop > first and span.start < stop]
    due = [
        _Due(row, max(first, row.start), below.start, row.stop - below.start)
        for row, below in pairwise(rows)
    ]
    due.append(_Due(rows[-1], max(first, rows[-1].start), min(stop, rows[-1].stop), 0))
    shared = max(each.shared for each in due)
    sums = _Sums(lane, (network.num_classes, plan.tile, shared), network.device)
    source = Source(raster, lane, network, area)
    rooms = _Rooms((network.batch_size, len(network.bands), plan.tile, plan.tile), network.device)
    with closing(_one_ahead(_batches(source, due, rooms))) as batches:
        for batch in batches:
            answers = iter(_answers(batch, network))
            for column, seen in batch.columns:
                sums.add(batch.due, column, next(answers) if seen else None)
                finished = sums.finished(batch.due, column)
                if finished is not None:
                    window, probabilities = finished
                    columns = slice(window.col - batch.start, window.col_stop - batch.start)
                    yield window, probabilities, batch.mapped[:, columns]
                sums.go_on(batch.due, column)
            del answers  # before the next are made
            rooms.give_back(batch.room)


def _answers(batch: _Batch, network: Network) -> Sequence[Tensor]:
    """The probabilities [classes, tile, tile] of each tile."""
    images = batch.room[: sum(seen for _, seen in batch.columns)]
    if not len(images):
        return ()
    return tuple(
        answers_of(
            images.to(network.device, non_blocking=True),
            predict=network.predict,
            num_classes=network.num_classes,
            size=(images.shape[-2], images.shape[-1]),
        )
    )


class _Sums:
    """Weighted sums of a lane's tiles, which come row by row and from left to right.

    Args:
        lane: whose tiles.
        sizes: classes, pixels of a tile's side, and rows at most that rows of tiles share.
        device: where answers come from.
    """

    def __init__(self, lane: Lane, sizes: tuple[int, int, int], device: torch.device | str) -> None:
        classes, tile, shared = sizes
        self._lane = lane
        tile_room = room((classes, tile, tile), np.float32)  # from its share's first on
        above_room = room((classes, shared, lane.width), np.float32)
        self._tile, self._above = (
            torch.from_numpy(array).to(device) for array in (tile_room, above_room)
        )
        self._from_above = 0  # rows that the tiles above have a share of, too
        self._from_left = 0  # columns that the tiles before have a share of, too

    def add(self, due: _Due, column: Span, answer: Tensor | None) -> None:
        """Add a tile's answer [classes, tile, tile] under its weights, or none."""
        height, width = len(due.row.weights), len(column.weights)
        left, known = column.start - self._lane.start, self._from_above
        fresh = self._tile[:, :height, self._from_left : width]
        fresh[:, :known] = self._above[:, :known, left + self._from_left : left + width]
        fresh[:, known:] = 0
        if answer is not None:
            share = torch.from_numpy(due.row.weights[:, None] * column.weights).to(answer.device)
            there = self._tile[:, :height, :width]
            there.addcmul_(answer[:, due.row.inside, column.inside], share)

    def finished(self, due: _Due, column: Span) -> tuple[Window, Tensor] | None:
        """The pixels due that no later tile has a share of, if there are any, and their sums."""
        width = self._finished_columns(column)
        if width == 0 or due.end <= due.begin:
            return None
        rows = slice(due.begin - due.row.start, due.end - due.row.start)
        window = Window(due.begin, column.start, due.end - due.begin, width)
        return window, self._tile[:, rows, :width]

    def go_on(self, due: _Due, column: Span) -> None:
        """Keep what the tiles below and the next tile have a share of, too."""
        done, width = self._finished_columns(column), len(column.weights)
        left, height = column.start - self._lane.start, len(due.row.weights)
        below = self._tile[:, height - due.shared : height, :done]
        self._above[:, : due.shared, left : left + done] = below
        self._from_left = width - done
        self._tile[:, :height, : width - done] = self._tile[:, :height, done:width].clone()
        if column is self._lane.spans[-1]:
            self._from_above = due.shared

    def _finished_columns(self, column: Span) -> int:
        return self._lane.followed[column] - column.start


# Batches of tiles, made while the network works


@dataclass(frozen=True, eq=False)
class _Due:
    """Rows that are finished once a row of tiles is.

    Attributes:
        row: the row of tiles.
        begin: the first that is wanted and not finished before; may lie at `end`.
        end: the row after the last.
        shared: rows from there on that the next row of tiles has a share of, too.
    """

    row: Span
    begin: int
    end: int
    shared: int


@dataclass(frozen=True, eq=False)
class _Batch:
    """Tiles of a row of tiles that follow one another.

    Attributes:
        due: the row of tiles, and what is finished with it.
        columns: where they lie in it, and whether they are to be predicted.
        room: images float32 [tiles, bands, tile, tile], normalised, of those to be predicted first.
        mapped: which pixels to map of those that are finished with them, bool [rows, columns].
    """

    due: _Due
    columns: Sequence[tuple[Span, bool]]
    room: Tensor
    mapped: NDArray[np.bool_]

    @property
    def start(self) -> int:
        """The first column of `mapped`."""
        return self.columns[0][0].start


def _one_ahead(batches: Generator[_Batch, None, None]) -> Generator[_Batch, None, None]:
    """Make the next batch in a thread while one is used."""
    with closing(batches), ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


class _Rooms:
    """Room for the images of batches, used again once it is given back.

    A GPU may still copy from it then; PyTorch knows of that and hands out others meanwhile.

    Args:
        shape: [tiles, bands, height, width] of a full batch.
        device: where the network is.
    """

    def __init__(self, shape: tuple[int, int, int, int], device: torch.device | str) -> None:
        self.shape, self._pinned = shape, torch.device(device).type == "cuda"
        self._free: deque[Tensor] = deque()

    def take(self) -> Tensor:
        """A float32 tensor of the shape, of any content."""
        return self._free.popleft() if self._free else self._new()

    def give_back(self, room: Tensor) -> None:
        """Have a tensor used again."""
        if not self._pinned:
            self._free.append(room)

    def _new(self) -> Tensor:
        if self._pinned:
            return torch.empty(self.shape, pin_memory=True)
        return torch.from_numpy(room(self.shape, np.float32))


def _batches(source: Source, due: Sequence[_Due], rooms: _Rooms) -> Generator[_Batch, None, None]:
    """Yield the tiles of each row of tiles in turn, at most `batch_size` to predict at once."""
    lane, tile = source.lane, rooms.shape[-1]
    with closing(_strips(source, [each.row for each in due], tile)) as strips:
        for each, strip in zip(due, strips, strict=True):
            for columns in _grouped(strip, tile):
                room = rooms.take()
                seen = [column.tile - lane.read_start for column, seen in columns if seen]
                for image, place in zip(room.numpy(), seen, strict=False):
                    strip.image(place, image)
                first, last = columns[0][0].start, lane.followed[columns[-1][0]]
                mapped = strip.mapped(each, slice(first - lane.read_start, last - lane.read_start))
                yield _Batch(each, columns, room, mapped)


def _grouped(strip: _Strip, tile: int) -> Iterator[list[tuple[Span, bool]]]:
    """Cut a row of tiles into batches; tiles without a pixel to map are not predicted."""
    lane, group = strip.source.lane, list[tuple[Span, bool]]()
    for column in lane.spans:
        if sum(seen for _, seen in group) == strip.source.network.batch_size:
            yield group
            group = []
        group.append((column, strip.any_mapped(column.tile - lane.read_start, tile)))
    yield group


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

    @property
    def width(self) -> int:
        """Columns that are read."""
        return self.lane.read_stop - self.lane.read_start

    def window(self, row: int, stop: int) -> Window:
        """The lane's pixels of some rows."""
        return Window(row, self.lane.read_start, stop - row, self.width)

    def read(self, window: Window, chunk: _Chunk) -> _Chunk:
        """Read rows into a chunk, as many columns at once as READ_PIXELS allows."""
        block, rows = self.raster.block_shape[1], window.height
        step = max(1, READ_PIXELS // (rows * block)) * block
        edges = range(window.col // step * step + step, window.col_stop, step)
        for col, stop in pairwise((window.col, *edges, window.col_stop)):
            piece = Window(window.row, col, rows, stop - col)
            inside = slice(col - window.col, stop - window.col)
            values, valid = self.raster.read(piece, self.network.bands)
            chunk.values[:, :rows, inside], chunk.valid[:rows, inside] = values, valid
            if self.area is not None:
                chunk.mapped[:rows, inside] = valid & self.area.read(piece)
        return replace(chunk, row=window.row, height=rows)

    def nothing(self, window: Window, chunk: _Chunk) -> _Chunk:
        """Rows that are not read, since no tile that sees them has a pixel to map."""
        chunk.mapped[: window.height] = False
        return replace(chunk, row=window.row, height=window.height)

    def chunk(self, rows: int) -> _Chunk:
        """Room for rows that are read."""
        shape = rows, self.width
        values = room((len(self.network.bands), *shape), self.raster.dtype)
        valid = room(shape, bool)
        return _Chunk(values, valid, valid if self.area is None else room(shape, bool))


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Rows of a lane as they were read, in arrays that are used again once they are done with.

    Attributes:
        values: [bands, rows, columns] in the scene's type.
        valid: which pixels are valid, bool [rows, columns].
        mapped: which to map, bool [rows, columns].
        row: the first.
        height: how many are filled.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_]
    mapped: NDArray[np.bool_]
    row: int = 0
    height: int = 0

    @property
    def stop(self) -> int:
        return self.row + self.height


@dataclass(frozen=True, eq=False)
class _Strip:
    """What a row of tiles sees of a lane.

    Attributes:
        source: of its pixels.
        top: its first row.
        height: its rows, fewer than a tile's where the scene ends.
        chunks: that hold them, from top to bottom.
    """

    source: Source
    top: int
    height: int
    chunks: Sequence[_Chunk]

    def any_mapped(self, column: int, width: int) -> bool:
        """Whether a tile has a pixel to map."""
        return any(
            chunk.mapped[own, column : column + width].any()
            for chunk, own, _ in self._held(self.top, self.top + self.height)
        )

    def mapped(self, due: _Due, columns: slice) -> NDArray[np.bool_]:
        """A copy of which pixels of the rows due to map, of some columns."""
        out = np.empty((max(0, due.end - due.begin), columns.stop - columns.start), bool)
        for chunk, own, rows in self._held(due.begin, due.end):
            out[rows] = chunk.mapped[own, columns]
        return out

    def image(self, column: int, out: NDArray[np.float32]) -> None:
        """Write what a tile sees at a column, [bands, tile, tile], zero beyond the scene."""
        width = min(out.shape[-1], self.source.width - column)
        cut = slice(column, column + width)
        out[:, self.height :], out[..., width:] = 0, 0
        for top in range(0, self.height, NORMALISED_ROWS):
            part = out[:, top : min(self.height, top + NORMALISED_ROWS), :width]
            for chunk, own, rows in self._held(self.top + top, self.top + top + part.shape[1]):
                part[:, rows] = self.source.network.normalise(
                    chunk.values[:, own, cut], chunk.valid[own, cut]
                )

    def _held(self, begin: int, end: int) -> Iterator[tuple[_Chunk, slice, slice]]:
        """The chunks with rows among these, where these lie in it, and in all of them."""
        for chunk in self.chunks:
            first, stop = max(begin, chunk.row), min(end, chunk.stop)
            if first < stop:
                yield (
                    chunk,
                    slice(first - chunk.row, stop - chunk.row),
                    slice(first - begin, stop - begin),
                )


def _strips(source: Source, rows: Sequence[Span], tile: int) -> Generator[_Strip, None, None]:
    """Yield what each row of tiles sees, to be used before the next is asked for."""
    looks = [(row.tile, min(row.tile + tile, source.raster.grid.height)) for row in rows]
    held: deque[_Chunk] = deque()
    free: deque[_Chunk] = deque()
    with closing(_read_ahead(source, looks, free)) as chunks:
        for top, bottom in looks:
            while held and held[0].stop <= top:
                free.append(held.popleft())
            while not held or held[-1].stop < bottom:
                held.append(next(chunks))
            yield _Strip(source, top, bottom - top, tuple(held))


def _read_ahead(
    source: Source, looks: Sequence[tuple[int, int]], free: deque[_Chunk]
) -> Generator[_Chunk, None, None]:
    """Read rows in threads while the network works, at most `readers` chunks ahead.

    `looks` are the first row and the row after the last that each row of tiles sees. Chunks that
    are `free` are filled again.
    """
    step = _chunk_rows(source.raster.block_shape[0])
    seen = [look for look in looks if _looked_at(source, source.window(*look))]
    pieces = _chunks(looks[0][0], looks[-1][1], step)
    windows = deque(source.window(*piece) for piece in pieces)
    coming: deque[Future[_Chunk]] = deque()

    def submit(pool: ThreadPoolExecutor) -> None:
        window = windows.popleft()
        needed = any(top < window.row_stop and window.row < bottom for top, bottom in seen)
        chunk = free.popleft() if free else source.chunk(step)
        coming.append(pool.submit(source.read if needed else source.nothing, window, chunk))

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


def _chunk_rows(block: int) -> int:
    """Rows that are read at once of a raster whose blocks have so many."""
    rows = -(-LEAST_CHUNK // block) * block
    return rows if rows <= MOST_CHUNK else LEAST_CHUNK


def _chunks(first: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    """Cut rows at whole steps."""
    while first < stop:
        end = min(stop, (first // step + 1) * step)
        yield first, end
        first = end
