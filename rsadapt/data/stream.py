"""Endless, seeded batches whose position is one number, so that training can go on where it was."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Protocol

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from rsadapt.data.imagery import Scored
from rsadapt.errors import RsadaptError, WorkerError
from rsadapt.sample import Batch, Sample, collate

FORK = "fork" if sys.platform == "linux" else None
"""How workers start: on Linux they share what is kept of scenes, which Python 3.14 would end."""


LESS = "fewer training.workers or a smaller training.batch_size take less"


class SampleSource(Protocol):
    """Samples by number: number g is a pure function of the source's seed and g."""

    def __getitem__(self, number: int) -> Sample:
        """Return sample `number`, 0 or greater."""
        ...


Made = tuple["Batch | RsadaptError", float]
"""A batch, or what kept it from being made, and the seconds that took."""


class _Batches(Dataset[Made]):
    """Batches by the numbers of their samples, as the data loader's workers make them.

    What a user can mend comes back as a value: raised in a worker it would reach the user as text
    with the worker's traceback inside.
    """

    def __init__(self, source: SampleSource) -> None:
        self.source = source

    def __getitem__(self, numbers: list[int]) -> Made:
        begun = time.perf_counter()
        made: Batch | RsadaptError
        try:
            made = collate([self.source[number] for number in numbers])
        except RsadaptError as error:
            made = error
        except MemoryError:
            made = WorkerError(f"there is no memory left for a batch of {len(numbers)}; {LESS}")
        return made, time.perf_counter() - begun


class _Share(Sampler[list[int]]):
    """The numbers of the samples one rank reads, batch after batch, from a position on."""

    def __init__(self, start: int, batch_size: int, rank: int, ranks: int) -> None:
        self.start, self.batch_size, self.rank, self.ranks = start, batch_size, rank, ranks

    def __iter__(self) -> Iterator[list[int]]:
        for turn in itertools.count(self.start):
            first = (turn * self.ranks + self.rank) * self.batch_size
            yield list(range(first, first + self.batch_size))


def stream(
    source: SampleSource,
    *,
    batch_size: int,
    start: int = 0,
    workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
    pin: bool = False,
    told: Callable[[float], None] | None = None,
) -> Generator[Batch, None, None]:
    """Yield batches without end; closing the iterator ends its workers, which take no signal.

    Args:
        source: samples by number.
        batch_size: samples in a batch of one rank.
        start: batches already taken by each rank.
        workers: processes that read ahead; 0 reads in this one.
        rank: which process of a distributed run this is.
        ranks: how many there are; they interleave the samples.
        pin: keep batches in page-locked memory for faster copies to a GPU.
        told: is told the seconds that making each batch took, wherever it was made.

    Raises:
        RsadaptError: what the source raises, also where a worker met it.
        WorkerError: where a worker was killed.
    """
    loader: DataLoader[Made] = DataLoader(
        _Batches(source),
        batch_size=None,  # the sampler's lists make whole batches
        sampler=_Share(start, batch_size, rank, ranks),
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=begin_worker,
        generator=torch.Generator(),  # else the loader draws from torch's own random state
        multiprocessing_context=FORK if workers else None,
    )
    batches = _started(loader)
    try:
        while True:
            batch, seconds = _next(batches)
            if isinstance(batch, RsadaptError):
                raise batch
            if told is not None:
                told(seconds)
            yield batch
    finally:
        _end_workers(batches)


def _started(loader: DataLoader[Made]) -> Iterator[Made]:
    """The loader's iterator, which tells that a worker died when its batch is due.

    PyTorch would tell it at once, by a signal's handler, in the middle of a step.
    """
    if not loader.num_workers or threading.current_thread() is not threading.main_thread():
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    try:
        return iter(loader)
    finally:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def _next(batches: Iterator[Made]) -> Made:
    try:
        return next(batches)
    except Exception as error:  # of several kinds, by what the worker was at
        for worker in _workers(batches):
            worker.join(0.1)  # it may be gone and not yet counted as such
            if worker.exitcode is not None and worker.exitcode < 0:
                raise WorkerError(_died_of(-worker.exitcode)) from error
        raise


def _died_of(number: int) -> str:
    """Why a worker may have died of a signal, and what helps."""
    why = {
        signal.SIGKILL: f"as the system does where memory runs out; {LESS}",
        signal.SIGBUS: "as happens where shared memory (/dev/shm) is full; give it more room (in a "
        "container: --shm-size), or set training.workers=0",
    }.get(signal.Signals(number), "set training.workers=0 to see where")
    return (
        f"a process that made training batches was ended by {signal.Signals(number).name}, {why}; "
        f"--resume goes on from the last state saved"
    )


def _workers(batches: Iterator[Made]) -> list[BaseProcess]:
    """The processes of a data loader's iterator; none where it has none."""
    return getattr(batches, "_workers", [])


def _end_workers(batches: Iterator[Made]) -> None:
    """End the processes of a data loader's iterator now, not when it is collected.

    They take no signal, so that the interpreter would wait for them for ever when it ends before.
    """
    end = getattr(batches, "_shutdown_workers", None)  # of iterators with workers alone
    if end is not None:
        end()
    for worker in _workers(batches):
        if worker.is_alive():  # it waits for a lock that a killed one held
            worker.kill()
            worker.join()


def begin_worker(_worker: int) -> None:
    """Let a worker's end be the trainer's doing alone, and let it say nothing of the trainer's.

    Ctrl-C reaches the whole process group, and the trainer saves first. Where the trainer is
    killed, the thread that hands batches over would tell of the broken connection at length.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _tell_unless_the_trainer_went


def _tell_unless_the_trainer_went(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


class Dealt:
    """The samples that one of several processes scores: whole batches, dealt out in turn.

    Samples of one size thereby stand in the same batches, however many processes there are.
    """

    def __init__(self, samples: Scored, batch_size: int, *, rank: int, ranks: int) -> None:
        self._samples = samples
        self._numbers = [
            number for number in range(len(samples)) if number // batch_size % ranks == rank
        ]

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Sample]:
        return (self._samples[number] for number in self._numbers)


def in_order(samples: Iterable[Sample], batch_size: int) -> Iterator[Batch]:
    """Yield every sample once, in order, in batches of one size of image and one of label."""
    waiting: list[Sample] = []
    for sample in samples:
        if waiting and (len(waiting) == batch_size or _sizes(sample) != _sizes(waiting[0])):
            yield collate(waiting)
            waiting = []
        waiting.append(sample)
    if waiting:
        yield collate(waiting)


def _sizes(sample: Sample) -> tuple[torch.Size, torch.Size | None]:
    return sample.image.shape, None if sample.label is None else sample.label.shape
