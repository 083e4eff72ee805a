"""A scene's panels as work for other processes: handed over in a file, done panel by panel."""

from __future__ import annotations

import math
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from multiprocessing import resource_tracker
from pathlib import Path

import torch

from rsadapt.errors import ConfigError, RsadaptError, WorkerError
from rsadapt.infer.panels import Panel, Panels
from rsadapt.infer.pipeline import Network
from rsadapt.infer.predict import Finish, Job, Told, finish_here

Load = Callable[[], Network]
"""Loads a network where it is called, once a process however often; pickles."""

LAG = 90.0
"""Seconds after which a shared file system shows everywhere what was written: NFS keeps what it
knows of a folder for up to 60 (nfs(5), acdirmax)."""

TASKS = 4
"""Tasks a process, at least, that panels are dealt out as: tiles across the edge of two tasks are
predicted for both, in tasks of one panel by 18 % more than without, by 4 % of four (512, 128)."""

GLANCE = 0.5
"""Seconds between two looks at what is finished."""

_alone = threading.Lock()
"""One panel at a time: a network's batch-norm statistics are a state, and its threads are few."""


@dataclass(frozen=True)
class Pool:
    """Processes that do work.

    Attributes:
        executor: gives it to them.
        processes: how many they are, as far as that is known; 0 if not.
        check: called now and then while they work; raises where they cannot go on.
    """

    executor: Executor
    processes: int
    check: Callable[[], None] = lambda: None


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


def ask_device(pool: Pool, load: Load) -> str:
    """Where the processes have the network; it is loaded in one of them.

    Raises:
        WorkerError: where they do not find it, or have another version of this package.
        CheckpointError: for one that cannot be used.
    """
    try:
        return pool.executor.submit(device_of, load).result()
    except (RuntimeError, ImportError, AttributeError, TypeError) as error:
        if isinstance(error, RsadaptError | BrokenExecutor):
            raise
        raise WorkerError(
            f"the workers cannot load the network ({error}); install there what is installed here, "
            f"the same version of rsadapt above all"
        ) from error


def finish_by(pool: Pool, load: Load, device: str) -> Finish:
    """What finishes missing panels by other processes.

    They write them themselves, so that all must see the same files under the same paths. When the
    call ends, however it does, those still at work stop as soon as they notice.

    Args:
        pool: the processes.
        load: loads the network there.
        device: where they all must have it: see `ask_device`.
    """

    def finish(job: Job, panels: Panels, missing: Sequence[Panel], told: Told) -> None:
        if not missing:
            return
        panels = replace(panels, folder=panels.folder.absolute())
        with _written(Work(job, panels, load, device)) as file:
            windows, parts = job.windows, _dealt(missing, pool.processes)
            tasks = {pool.executor.submit(do, file, part) for part in parts}
            for panel in _finished(tasks, panels, missing, pool.check):
                told(windows[panel].height * windows[panel].width)

    return finish


def _dealt(missing: Sequence[Panel], processes: int) -> list[Sequence[Panel]]:
    """Panels in tasks of several that follow one another, where there are enough of them."""
    size = max(1, len(missing) // (TASKS * processes)) if processes else 1
    return [missing[first : first + size] for first in range(0, len(missing), size)]


def do(file: Path, panels: Sequence[Panel]) -> None:
    """Predict panels of the work in a file that are not finished.

    Args:
        file: written by `finish_by`; work goes on while it is there.
        panels: which.

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
        network = _loaded(work.load)
        if str(network.device) != work.device:
            raise ConfigError(
                f"{_here()} has the network on {network.device}, and another worker on "
                f"{work.device}; as pixels depend on it, start all workers on one kind of device "
                f"(CUDA_VISIBLE_DEVICES= hides GPUs)"
            )
        check()
        left = [panel for panel in panels if not work.panels.finished(*panel)]
        finish_here(network, work.job, work.panels, left, check)


@lru_cache(maxsize=1)
def _opened(file: Path) -> Work:
    try:
        work: Work = pickle.loads(file.read_bytes())
    except FileNotFoundError as error:  # of the work itself, or of the scene
        raise _unseen(error) from error
    return work


def _loaded(load: Load) -> Network:
    _set_threads()
    try:
        return load()
    except FileNotFoundError as error:
        raise _unseen(error) from error


@cache
def _set_threads() -> None:
    """One thread of the CPU, unless the environment, or then the run's settings, say otherwise."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def _unseen(error: FileNotFoundError) -> WorkerError:
    return WorkerError(
        f"{_here()} does not find what is there for the program that it works for ({error}); every "
        f"worker must see the run, the scenes and the maps' folder under the same paths"
    )


def _here() -> str:
    return f"the worker on {socket.gethostname()}, process {os.getpid()},"


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let processes and threads that are started here never see Ctrl-C: they inherit a mask.

    It reaches this process, too, which then ends them.
    """
    resource_tracker.ensure_running()  # which lifts the mask when it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _written(work: Work) -> Iterator[Path]:
    """The file of some work, there for as long as it is wanted."""
    file = work.panels.passing("work")
    try:
        file.write_bytes(pickle.dumps(work))
        yield file
    finally:
        file.unlink(missing_ok=True)


def _finished(
    tasks: set[Future[None]],
    panels: Panels,
    missing: Sequence[Panel],
    check: Callable[[], None],
) -> Iterator[Panel]:
    """Yield each panel when it is seen here to be finished; else nothing more is begun."""
    left, pending, deadline = set(missing), tasks, math.inf
    try:
        while left:
            done, pending = wait(pending, GLANCE, FIRST_EXCEPTION)
            check()
            for task in done:
                task.result()
            seen = left & panels.all_finished()
            left -= seen
            yield from seen
            if left and not pending:  # a shared file system may be late
                deadline = min(deadline, time.monotonic() + LAG)
                if time.monotonic() >= deadline:
                    raise _late(panels.path(*min(left)))
                time.sleep(GLANCE)
    finally:
        for task in pending:
            task.cancel()


def _late(panel: Path) -> WorkerError:
    return WorkerError(
        f"{panel}: a worker has finished it, and it is not seen here after {LAG:.0f} s; the maps' "
        f"folder must lie on a file system that all workers share"
    )
