"""A scene's panels as work for other processes: handed over in a file, done panel by panel."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from rsadapt.errors import ConfigError, MissingFileError, RsadaptError, WorkerError
from rsadapt.infer.panels import Panel, Panels
from rsadapt.infer.pipeline import Network
from rsadapt.infer.predict import Finish, Job, Told, predict_panels

Load = Callable[[], Network]
"""Loads a network where it is called, once a process however often; pickles."""

LAG = 90.0
"""Seconds after which a shared file system shows everywhere what was written: NFS keeps what it
knows of a folder for up to 60 (nfs(5), acdirmax)."""

_alone = threading.Lock()
"""One panel at a time: a network's batch-norm statistics are a state, and its threads are few."""


@dataclass(frozen=True)
class Work:
    """All that another process needs to predict panels; it pickles.

    Attributes:
        job: what is predicted.
        panels: where to.
        load: loads what is asked.
        device: where that must be found.
    """

    job: Job
    panels: Panels
    load: Load
    device: str


def device_of(load: Load) -> str:
    """Where a process that does work has the network."""
    return str(_loaded(load).device)


def ask_device(executor: Executor, load: Load) -> str:
    """Where the processes have the network; it is loaded in one of them.

    Raises:
        WorkerError: where they do not find it, or have another version of this package.
        CheckpointError: for one that cannot be used.
    """
    try:
        return executor.submit(device_of, load).result()
    except (RuntimeError, ImportError, AttributeError, TypeError) as error:
        if isinstance(error, RsadaptError | BrokenExecutor):
            raise
        raise WorkerError(
            f"the workers cannot load the network ({error}); install there what is installed here, "
            f"the same version of rsadapt above all"
        ) from error


def finish_by(executor: Executor, load: Load, device: str) -> Finish:
    """What finishes missing panels by other processes.

    They write them themselves, so that all must see the same files under the same paths. When the
    call ends, however it does, those still at work stop as soon as they notice.

    Args:
        executor: gives work to the processes.
        load: loads the network there.
        device: where they all must have it: see `ask_device`.
    """

    def finish(job: Job, panels: Panels, missing: Sequence[Panel], told: Told) -> None:
        if not missing:
            return
        windows = job.windows
        panels = replace(panels, folder=panels.folder.absolute())
        with _written(Work(job, panels, load, device)) as file:
            coming = {executor.submit(do, file, *panel): panel for panel in missing}
            for done in _each(coming):
                done.result()
                panel = coming[done]
                _await(panels, panel)
                told(windows[panel].height * windows[panel].width)

    return finish


def do(file: Path, lane: int, number: int) -> None:
    """Predict a panel of the work in a file, unless it is finished.

    Args:
        file: written by `finish_by`; work goes on while it is there.
        lane: number of the panel's lane.
        number: of the panel.

    Raises:
        WorkerError: where the file, the scene or the network is not found here.
        ConfigError: where the network is on another device than elsewhere.
        ShapeError, DataError: as `predict_scene`.
    """

    def check(_: int = 0) -> None:
        if not file.exists():
            raise WorkerError(f"{_here()}: {file} is gone; nobody waits for its panels any more")

    with _alone:
        work = _opened(file)
        if work.panels.finished(lane, number):
            return
        network = _loaded(work.load)
        if str(network.device) != work.device:
            raise ConfigError(
                f"{_here()} has the network on {network.device}, and another worker on "
                f"{work.device}; as pixels depend on it, start all workers on one kind of device "
                f"(CUDA_VISIBLE_DEVICES= hides GPUs)"
            )
        check()
        columns = work.job.cut.lanes[lane]
        predict_panels(work.job, network, columns, [number], work.panels, told=check)


@lru_cache(maxsize=1)
def _opened(file: Path) -> Work:
    try:
        work: Work = pickle.loads(file.read_bytes())
    except FileNotFoundError as error:  # of the work itself, or of the scene
        raise _unseen(error) from error
    return work


def _loaded(load: Load) -> Network:
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # there is a process for each core, or others beside this one
    try:
        return load()
    except FileNotFoundError as error:
        raise _unseen(error) from error


def _unseen(error: FileNotFoundError) -> WorkerError:
    return WorkerError(
        f"{_here()} does not find what is there for the program that it works for ({error}); every "
        f"worker must see the run, the scenes and the maps' folder under the same paths"
    )


def _here() -> str:
    return f"the worker on {socket.gethostname()}, process {os.getpid()},"


@contextmanager
def _written(work: Work) -> Iterator[Path]:
    """The file of some work, there for as long as it is wanted."""
    file = work.panels.passing("work")
    try:
        file.write_bytes(pickle.dumps(work))
        yield file
    finally:
        file.unlink(missing_ok=True)


def _each(coming: Iterable[Future[None]]) -> Iterator[Future[None]]:
    """Yield what is done as it is; after an exception nothing is begun any more."""
    try:
        yield from as_completed(coming)
    except BaseException:
        for future in coming:
            future.cancel()
        raise


def _await(panels: Panels, panel: Panel) -> None:
    """Wait until a panel that another machine finished is seen here, too."""
    deadline = time.monotonic() + LAG
    while not panels.finished(*panel):
        if time.monotonic() > deadline:
            raise MissingFileError(
                f"{panels.path(*panel)}: a worker has finished it, and it is not seen here after "
                f"{LAG:.0f} s; the maps' folder must lie on a file system that all workers share"
            )
        time.sleep(0.05)
