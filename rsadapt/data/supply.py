"""Batches of several domains: how long was waited for them, and how many workers make them."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsadapt.sample import Batch

Opener = Callable[[int, int, Callable[[float], None]], Generator[Batch, None, None]]
"""Opens a domain's batches: from a position on, by so many workers, told each batch's cost."""

WARM, TRIAL = 2, 6
"""Rounds (a batch of each domain) before costs are taken of a step, and of which they are: the
first steps find caches cold."""

NEGLIGIBLE = 0.04
"""Share of a round that may be spent making its batches in the training process."""

HAND_OVER = 0.003
"""Seconds that a worker's batch costs the training process: 1.9 to 2.5 ms (benchmarks/feeding.py),
rounded up. What is made in less, as windows of kept scenes are, need not be handed over."""

MARGIN = 1.25
"""By which workers should be faster than steps, as batches do not all take the same time."""

WORTHWHILE = 3.0
"""Seconds of waiting that workers must be able to save: to start one takes about 0.1."""

TOLERABLE = 0.05
"""Share of waiting above which something should be changed."""

AHEAD = 3
"""Batches that a worker holds: two read ahead and the one at hand."""

WORKER_BYTES = 200e6
"""Memory that a worker takes beside its batches: decoded blocks, copied pages of the parent."""


@dataclass(frozen=True)
class Costs:
    """What a round costs, in seconds.

    Attributes:
        making: of a batch, by domain, by the clock of the process that makes it; the lower
            quartile, as scenes are kept while they are read and later batches cost less.
        step: between two rounds of batches.
    """

    making: dict[str, float]
    step: float

    @property
    def wanted(self) -> int:
        """Workers for each domain that make batches as fast as steps take them; 0 for none."""
        together = sum(self.making.values())
        least = max(NEGLIGIBLE * (together + self.step), HAND_OVER * len(self.making))
        if together <= least:
            return 0
        return max(1, math.ceil(MARGIN * max(self.making.values()) / max(self.step, 1e-4)))

    def __str__(self) -> str:
        each = " and ".join(_time(seconds) for seconds in self.making.values())
        return f"a step takes {_time(self.step)}, its batch{'es' * (len(self.making) > 1)} {each}"


class Supply:
    """The batches of several domains, taken in rounds: one of each, in the order of `openers`.

    Where the number of workers is left open, the first rounds are made in this process, which
    tells what they cost; then as many workers start as keep a step from waiting. Batches do not
    depend on who makes them, so that the number may be found while training runs.

    Args:
        openers: by domain, how its batches are opened.
        start: batches of each already taken.
        rounds: how many will be taken, at most.
        workers: processes for each domain; None finds the number.
        most: workers for each domain that there is room for, asked once a batch's size is known.
        settle: waits until the device has done what it was told to, so that steps can be timed.
        chosen: is told of the number of workers found, with the reason.

    Attributes:
        waited: seconds spent in getting batches, in this process: where a device works on
            meanwhile, that is more than it stood still.
    """

    def __init__(
        self,
        openers: Mapping[str, Opener],
        *,
        start: int,
        rounds: int,
        workers: int | None,
        most: Callable[[Batch], int],
        settle: Callable[[], None] = lambda: None,
        chosen: Callable[[int, str], None] = lambda workers, reason: None,
    ) -> None:
        self._openers, self._start, self._rounds = dict(openers), start, rounds
        self._most, self._settle, self._chosen = most, settle, chosen
        self._open, self.workers = workers is None, workers or 0
        names = list(openers)
        self._first, self._last = names[0], names[-1]
        self._streams: dict[str, Generator[Batch, None, None]] = {}
        self._making: dict[str, deque[float]] = {name: deque(maxlen=50) for name in openers}
        self._steps: list[float] = []
        self._taken, self._limit = 0, 0
        self.waited, self._began, self._ended = 0.0, time.perf_counter(), 0.0

    def batches(self, domain: str) -> Iterator[Batch]:
        """A domain's batches without end, each waited for.

        Raises:
            RsadaptError: where one cannot be made.
        """
        while True:
            if domain == self._first:
                self._turn()
            begun = time.perf_counter()
            if domain not in self._streams:
                self._streams[domain] = self._openers[domain](
                    self._start + self._taken, self.workers, self._making[domain].append
                )
            batch = next(self._streams[domain])
            self._ended = time.perf_counter()
            self.waited += self._ended - begun
            if domain == self._last:
                self._taken += 1
                self._limit = self._limit or self._most(batch)
            yield batch

    def close(self) -> None:
        """End all workers."""
        for stream in self._streams.values():
            stream.close()
        self._streams = {}

    def _turn(self) -> None:
        """Time the step that ends, and find the number of workers once enough were timed."""
        if not WARM <= self._taken < WARM + TRIAL:
            return
        self._settle()
        self._steps.append(time.perf_counter() - self._ended)
        if not self._open or len(self._steps) < TRIAL:
            return
        costs = self._costs()
        left, wanted = self._rounds - self._taken, min(costs.wanted, self._limit)
        if wanted and left * sum(costs.making.values()) < WORTHWHILE:
            self._chosen(0, f"{costs}; too few steps are left for workers to be worth it")
            return
        few = f", and there is room for no more than {wanted}" if costs.wanted > wanted else ""
        self._chosen(wanted, f"{costs}{few}")
        if wanted:
            self.close()
            self.workers = wanted
            for making in self._making.values():
                making.clear()

    def _costs(self) -> Costs:
        making = {name: sorted(each)[len(each) // 4] for name, each in self._making.items()}
        return Costs(making, statistics.median(self._steps))

    def report(self) -> dict[str, Any] | None:
        """What came of it, JSON-ready, once some rounds are done; None before.

        Returns:
            "waited", the share of the time since this was made, "workers" that each domain had
            at the end, those "recommended", "costs" in seconds, and all in "words".
        """
        if not self._steps or not all(self._making.values()):
            return None
        costs = self._costs()
        recommended = min(costs.wanted, self._limit)
        share = self.waited / (time.perf_counter() - self._began)
        return {
            "waited": round(share, 4),
            "workers": self.workers,
            "recommended": recommended,
            "costs": asdict(costs),
            "words": _words(share, self.workers, recommended, costs),
        }


def room_for_workers(batch: Batch, *, domains: int, processes: int) -> int:
    """Workers of each domain that this process' cores and half of the free memory suffice for.

    Args:
        batch: of the size that they make.
        domains: how many domains have workers of their own.
        processes: how many on this machine train, with workers of their own.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = domains * processes
    size = sum(
        tensor.nbytes for tensor in (batch.image, batch.valid, batch.label) if tensor is not None
    )
    room = _free_memory() / 2 / (WORKER_BYTES + AHEAD * size)
    return int(max(1, min((cores or 1) // share, room / share)))


def _free_memory() -> float:
    """Bytes that can be had without swapping, without limit where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * float(found[0]) if found else math.inf


def _words(share: float, workers: int, recommended: int, costs: Costs) -> str:
    waited = f"waited {share:.1%} of the time for data"
    if share <= TOLERABLE:
        return f"{waited}; training.workers={workers} suffices"
    if recommended != workers:
        return f"{waited}: set training.workers={recommended} ({costs})"
    return (
        f"{waited}, and more workers than {workers} would not help here ({costs}); keep decoded "
        f"scenes (training.scratch), prepare frames (rsadapt prepare), or augment less"
    )


def _time(seconds: float) -> str:
    digits = 1 if seconds < 0.01 else 0
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.{digits}f} ms"
