"""Scenes in, maps out: panel by panel, in bounded memory, going on where it was stopped."""

from __future__ import annotations

import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import ConfigError, DataError, OutputExistsError
from rsadapt.geo.cache import small_cache
from rsadapt.geo.fingerprint import fingerprint
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.maps import Bands, companions, join
from rsadapt.geo.masked import Mask
from rsadapt.geo.raster import Raster
from rsadapt.infer.layers import Layer, LayerName, LayerRows
from rsadapt.infer.panels import Panel, Panels, opened
from rsadapt.infer.pipeline import Network, bytes_per_column, predict_lane
from rsadapt.infer.tiling import BLOCK, PANEL_ROWS, Blending, Lane, Plan, plan
from rsadapt.progress import Progress

FINGERPRINT = "RSADAPT_FINGERPRINT"
"""The tag of a map that tells all that decided it, as one text."""

BUDGET = 400_000_000
"""Bytes that a lane may take: the wider it is, the fewer tiles are predicted twice."""

Extras = Callable[[Mapping[LayerName, Path]], None]
"""Makes more of the layers that are given, in their folder, before anything is published."""

Told = Callable[[int], None]
"""Called with a number of pixels that are predicted."""


@dataclass(frozen=True)
class Tiling:
    """How tiles are laid.

    Attributes:
        tile: pixels of a tile's side; smaller scenes are padded with invalid pixels.
        overlap: pixels that neighbouring tiles share, fewer than `tile`.
        blending: how they share them.
        cell: pixels of a cell of the network, with which tiles begin.
    """

    tile: int
    overlap: int
    blending: Blending = "hann"
    cell: int = 1


@dataclass(frozen=True)
class PredictedScene:
    """What a prediction wrote.

    Attributes:
        layers: the raster of each layer.
        files: all that was written, the layers first.
        pixels: pixels of the scene, invalid ones included.
        predicted: pixels that this call predicted; the others were finished before.
        seconds: wall-clock time that they took, without joining them to maps.
    """

    layers: Mapping[LayerName, Path]
    files: tuple[Path, ...]
    pixels: int
    predicted: int
    seconds: float

    @property
    def note(self) -> str:
        """How fast it went."""
        if not self.predicted:
            return "predicted before"
        speed = f"{self.predicted / max(self.seconds, 1e-9) / 1e6:.2g} megapixels/s"
        if self.predicted == self.pixels:
            return speed
        return f"{speed}; {1 - self.predicted / self.pixels:.0%} were predicted before"


def predict_scene(
    raster: Raster,
    out: Path,
    *,
    network: Network,
    layers: Sequence[Layer],
    tiling: Tiling,
    facts: Mapping[str, Any],
    area: Mask | None = None,
    grid: Grid | None = None,
    tags: Mapping[str, str] | None = None,
    extras: Extras | None = None,
    extra_files: Sequence[str] = (),
    extra_tags: Mapping[str, str] | None = None,
    finish: Finish | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PredictedScene:
    """Write a scene's maps, see `Layer.file`, all or none, on the scene's grid.

    Panels are kept until the maps are whole: after an error or a kill, a call with the same
    arguments goes on and ends with the same bytes. Maps that such a call has finished are kept.

    Args:
        raster: the scene.
        out: the folder to write to, made where it is missing.
        network: what to ask.
        layers: what to write.
        tiling: how tiles are laid.
        facts: whatever decides the result and is not among the other arguments, JSON-ready.
        area: which pixels to map: see `predict_lane`.
        grid: where the maps say that the scene's pixels lie; the scene's own grid unless given.
        tags: what the maps say of their origin.
        extras: makes more files of the maps, in their folder, before anything is published.
        extra_files: the names of these files.
        extra_tags: what decides them, as tags of the maps; maps with others are of another call.
        finish: predicts the panels that are missing; in this process, with `network`, by default.
        overwrite: replace files that are there already, once the new ones are whole.
        progress: told the scene's name, its pixels done and its pixels in all.

    Raises:
        OutputExistsError: for a map of another call that is there already, without `overwrite`, or
            `out` a file.
        ConfigError: for a tile, an overlap or a batch size that cannot be meant.
        ShapeError: where the network answers in another shape.
        DataError: for an unreadable scene, probabilities that are no numbers, or a full disk.
    """
    if network.batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, found {network.batch_size}")
    cut = plan(
        raster.grid.shape,
        tile=tiling.tile,
        overlap=tiling.overlap,
        blending=tiling.blending,
        widest=BUDGET // _bytes_per_column(network, layers, raster, tiling),
        cell=tiling.cell,
    )
    if out.is_file():
        raise OutputExistsError(f"expected a folder for the maps, found a file at {out}; name one")
    job = Job(raster, cut, tuple(layers), area, grid or raster.grid)
    finish = finish or partial(finish_here, network)
    names = {layer.name: layer.file(raster.path.stem) for layer in layers}
    decided = _facts(job, network, tiling) | dict(facts)
    marks = {FINGERPRINT: fingerprint(decided)} | dict(extra_tags or {})
    files = {name: out / file for name, file in names.items()}
    extra = [out / name for name in extra_files]
    pixels = math.prod(raster.grid.shape)
    with _folder(out), opened(out, raster.path.stem, decided) as panels:
        if not panels.publishing:
            if not overwrite and _made([*files.values()], extra, marks):
                beside = [f for layer in layers for f in companions(files[layer.name], layer.bands)]
                others = sorted([*beside, *extra])
                return PredictedScene(files, (*files.values(), *others), pixels, 0, 0.0)
            _refuse_existing([*files.values(), *extra], overwrite=overwrite)
            started, before = time.perf_counter(), _finished_pixels(job, panels)
            finish(job, panels, _missing(job, panels), _teller(job, before, progress))
            seconds = time.perf_counter() - started
            _join(job, panels, names, marks | dict(tags or {}))
            _warn_of_empty(raster, panels.maps / next(iter(names.values())))
            if extras is not None:
                extras({name: panels.maps / file for name, file in names.items()})
        else:
            seconds, before = 0.0, pixels
        written = panels.publish(out)
    others = [file for file in written if file not in files.values()]
    return PredictedScene(files, (*files.values(), *others), pixels, pixels - before, seconds)


def _bytes_per_column(
    network: Network, layers: Sequence[Layer], raster: Raster, tiling: Tiling
) -> int:
    """What a column of a lane takes in memory, rows that wait to be written among it."""
    pixel = sum(
        np.dtype(layer.bands.dtype).itemsize * len(layer.bands.descriptions) for layer in layers
    )
    pipeline = bytes_per_column(network, raster, tiling.tile, tiling.overlap)
    return pipeline + (pixel + 1) * (BLOCK + 2 * tiling.tile)


@dataclass(frozen=True)
class Job:
    """What is to be predicted of a scene.

    Attributes:
        raster: the scene.
        cut: how it is cut.
        layers: what to write.
        area: which pixels to map, or None for all.
        grid: where the maps say that the scene's pixels lie.
    """

    raster: Raster
    cut: Plan
    layers: tuple[Layer, ...]
    area: Mask | None
    grid: Grid

    @property
    def windows(self) -> dict[Panel, Window]:
        """The pixels of each panel, by the number of its lane and its own."""
        return {
            (lane.number, number): self.cut.panel(lane, number)
            for lane in self.cut.lanes
            for number in range(self.cut.panels)
        }


Finish = Callable[[Job, Panels, Sequence[Panel], Told], None]
"""Finishes the panels of a job that are missing, and tells of each piece that is predicted."""


def predict_panels(
    job: Job,
    network: Network,
    lane: Lane,
    numbers: Sequence[int],
    panels: Panels,
    *,
    told: Told,
) -> None:
    """Predict consecutive panels of a lane, each of which is finished by itself.

    Args:
        job: what is predicted.
        network: what to ask.
        lane: the panels'.
        numbers: of the panels, ascending, without a gap.
        panels: where to.
        told: called with the pixels of the rows that were handed over.
    """
    windows = [job.cut.panel(lane, number) for number in numbers]
    pieces = _pieces(job, network, lane, windows)
    bands: dict[str, Bands] = {layer.name: layer.bands for layer in job.layers}
    for number, window in zip(numbers, windows, strict=True):
        with (
            small_cache(job.raster),
            panels.writing(lane.number, number, job.grid.crop(window), bands) as writer,
            ThreadPoolExecutor(max_workers=1) as pool,  # ends before the files are closed
        ):
            writing, left = pool.submit(lambda: None), window.height
            while left:
                values = next(pieces)
                writing.result()  # one piece is written while the next is predicted
                writing = pool.submit(writer.write_rows, values)
                height = next(iter(values.values())).shape[1]
                left -= height
                told(height * lane.width)
            writing.result()


def _pieces(
    job: Job, network: Network, lane: Lane, windows: Sequence[Window]
) -> Iterator[dict[str, NDArray[np.generic]]]:
    """What is stored of each layer [bands, rows, columns], cut where panels end."""
    for start, rows in _rows(job, network, lane, windows[0].row, windows[-1].row_stop):
        row, end = start, start + next(iter(rows.values())).shape[1]
        while row < end:
            cut = slice(row - start, min(end, (row // PANEL_ROWS + 1) * PANEL_ROWS) - start)
            yield {name: values[:, cut] for name, values in rows.items()}
            row = cut.stop + start


def _rows(
    job: Job, network: Network, lane: Lane, first: int, stop: int
) -> Iterator[tuple[int, dict[str, NDArray[np.generic]]]]:
    """The first of some rows, and what is stored of each layer [bands, rows, columns]."""
    pieces = predict_lane(job.raster, job.cut, lane, network, first=first, stop=stop, area=job.area)
    shape = job.cut.tile, lane.width
    rooms = [LayerRows(job.layers, shape, network.device) for _ in range(2)]
    for window, probabilities, mapped in pieces:
        columns = slice(window.col - lane.start, window.col_stop - lane.start)
        rooms[0].put(columns, probabilities, mapped)
        if columns.stop == lane.width:
            yield window.row, rooms[0].take(window.height, where=job.raster.path)
            rooms.reverse()  # what was taken is written while the next rows are predicted


def finish_here(
    network: Network, job: Job, panels: Panels, missing: Sequence[Panel], told: Told
) -> None:
    """Predict panels in this process, as many as follow one another at once."""
    for lane in job.cut.lanes:
        numbers = [number for its, number in missing if its == lane.number]
        for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
            predict_panels(job, network, lane, [number for _, number in group], panels, told=told)


def _missing(job: Job, panels: Panels) -> list[Panel]:
    """The panels that are not finished, lane by lane from top to bottom."""
    return [panel for panel in job.windows if not panels.finished(*panel)]


def _teller(job: Job, done: int, progress: Progress | None) -> Told:
    """What adds pixels to those done already, and reports them."""
    total = math.prod(job.raster.grid.shape)

    def told(pixels: int) -> None:
        nonlocal done
        done += pixels
        if progress is not None:
            progress(f"{job.raster.path.name}, pixels", done, total)

    return told


def _finished_pixels(job: Job, panels: Panels) -> int:
    return sum(
        window.height * window.width
        for panel, window in job.windows.items()
        if panels.finished(*panel)
    )


def _join(
    job: Job, panels: Panels, names: Mapping[LayerName, str], tags: Mapping[str, str]
) -> None:
    """Join the panels of each layer to a map, still in the panels' folder.

    What a kill left there while maps were made would be published else.
    """
    shutil.rmtree(panels.maps, ignore_errors=True)
    with small_cache():
        for layer in job.layers:
            join(
                panels.parts(layer.name, job.windows),
                panels.maps / names[layer.name],
                job.grid,
                layer.bands,
                tags={"RSADAPT_STARTED": panels.started} | dict(tags),
            )


def _warn_of_empty(raster: Raster, path: Path) -> None:
    """Tell of a scene of which nothing was mapped; its map is read up to the first valid pixel."""
    written = Raster(path)
    if not any(written.read(window, [1])[1].any() for window in written.blocks()):
        warnings.warn(
            f"{raster.path}: no valid pixel, so that its maps are nodata everywhere; check its "
            f"nodata value, its masks, and the border or area that is asked for",
            stacklevel=3,
        )


def _facts(job: Job, network: Network, tiling: Tiling) -> dict[str, Any]:
    """All that decides what panels hold, as far as it is known here."""
    return {
        "scene": fingerprint(job.raster, job.area),
        "grid": [job.grid.shape, tuple(job.grid.transform)[:6], str(job.grid.crs)],
        "tiling": [*asdict(tiling).values(), PANEL_ROWS],
        "lanes": [lane.stop for lane in job.cut.lanes],
        "network": [network.bands, network.normalise.to_dict(), network.batch_size],
        "device": str(network.device),
        "layers": [[layer.name, layer.bands.dtype] for layer in job.layers],
    }


def _made(maps: Sequence[Path], extra: Sequence[Path], marks: Mapping[str, str]) -> bool:
    """Whether all files are there, and the maps' tags say that they were decided by the same."""
    if not all(path.is_file() for path in (*maps, *extra)):
        return False
    try:
        return all(marks.items() <= Raster(path).tags.items() for path in maps)
    except DataError:
        return False


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Make a folder and its parents; after an exception those made here and empty are gone."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in made:
            if any(folder.iterdir()):
                break
            folder.rmdir()
        raise


def _refuse_existing(paths: Sequence[Path], *, overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not (overwrite and path.is_file()):
            raise OutputExistsError.left(path, choose="another folder")
