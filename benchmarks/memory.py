"""How much memory a training step takes on the CPU, beside what `build.estimate` says.

    python benchmarks/memory.py

Each configuration takes two real steps in a process of its own; its resident peak counts from
when a step of a tiny one was taken, which loads what PyTorch loads late. It is measured twice: with
the C library's heap as it is, which holds freed memory back, and with one that returns it at once
(`MALLOC_MMAP_THRESHOLD_`), which shows what was needed. Results go to `results/memory.json`.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from rsadapt import build, config
from rsadapt.adapt.trainer import Schedule, train
from rsadapt.build.memory import batch

RESULTS = Path(__file__).parent / "results" / "memory.json"
BANDS = 4
CASES = [
    ["network.encoder=small", "training.tile=256", "training.batch_size=4"],
    ["network.encoder=small", "training.tile=512", "training.batch_size=4"],
    ["network.encoder=resnet18", "training.tile=256", "training.batch_size=2"],
    ["network.encoder=resnet18", "training.tile=384", "training.batch_size=2"],
]
TINY = ["network.encoder=small", "training.tile=64", "training.batch_size=1"]
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "131072"}


def main() -> None:
    """Measure every case and write the results down."""
    rows = []
    for case in CASES:
        command = [sys.executable, __file__, *case]
        row: dict[str, Any] = {"settings": case}
        for name, change in (("measured", {}), ("returned", RETURNED)):
            told = subprocess.run(
                command, check=True, capture_output=True, text=True, env=os.environ | change
            ).stdout
            expected, taken = json.loads(told.splitlines()[-1])
            row |= {"estimated_mb": round(expected / 1e6), f"{name}_mb": round(taken / 1e6)}
            row[f"estimated_of_{name}"] = round(expected / taken, 2)
        rows.append(row | {"torch": torch.__version__})
        print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(assignments: list[str]) -> tuple[int, int]:
    """Estimate, then measure, in this process; bytes."""
    chosen = settings(assignments)
    expected = build.estimate(chosen, BANDS).total
    take_steps(settings(TINY))
    before = resident("VmRSS")
    take_steps(chosen)
    return expected, resident("VmHWM") - before


def take_steps(chosen: config.Configuration) -> None:
    """Train two steps, so that the second finds the optimisers' states."""
    learner = build.learner(chosen, BANDS)
    learner.set_up()
    train(
        learner,
        schedule=Schedule(steps=2, horizon=2),
        start=0,
        source=itertools.repeat(batch(chosen, BANDS, "source")),
        target=itertools.repeat(batch(chosen, BANDS, "target")),
        log=lambda *_: None,
        validate=lambda _: None,
        save=lambda _: None,
    )


def settings(assignments: list[str]) -> config.Configuration:
    """A configuration of seven classes of regions, whose files are never opened."""
    values = {
        "classes": [{"name": f"class {i}", "id": i, "colour": "#000000"} for i in range(7)],
        "source": {"scenes": ["source.tif"]},
        "target": {"scenes": ["target.tif"]},
        "method": {"name": "output_space"},
        "device": {"accelerator": "cpu"},
    }
    return config.parse(config.assign(values, assignments), where="benchmarks/memory.py")


def resident(field: str) -> int:
    """Bytes of this process: "VmRSS" now, "VmHWM" at most so far."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measure(sys.argv[1:])))
    else:
        main()
