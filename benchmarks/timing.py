"""How fast: functions timed by turns in one run, with the machine they ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import random
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Times of one function in milliseconds: median, 10th and 90th percentile."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ms ({self.low:.2f} to {self.high:.2f})"


def interleaved(
    functions: Mapping[str, Callable[[], object]], *, repeats: int = 50, warm_up: int = 5
) -> dict[str, Spread]:
    """Time functions by turns, so that whatever else the machine does meets them alike.

    The order of a turn is drawn anew, as each finds caches and memory as another left them.

    Args:
        functions: what to time, by name.
        repeats: how many turns are measured.
        warm_up: how many turns go before, unmeasured.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    order = random.Random(0)
    for turn in range(warm_up + repeats):
        for name in order.sample(list(functions), len(functions)):
            start = time.perf_counter()
            functions[name]()
            passed = 1000 * (time.perf_counter() - start)
            if turn >= warm_up:
                times[name].append(passed)
    return {name: _spread(values) for name, values in times.items()}


def machine(*packages: str) -> dict[str, Any]:
    """Describe processor, system, versions of Python and of the named packages, and the commit.

    A commit that ends in "+" had uncommitted changes on top, other than results.
    """
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "commit": _commit(),
    }


def _spread(values: list[float]) -> Spread:
    low, median, high = np.percentile(values, [10, 50, 90]).round(4).tolist()
    return Spread(median=median, low=low, high=high)


def _processor() -> str:
    """Return the processor's name where the system tells it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", ":/", ":(top,exclude)benchmarks/results")
    return git("rev-parse", "HEAD") + ("+" if changed else "")
