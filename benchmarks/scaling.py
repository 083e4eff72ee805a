"""How much faster several processes train than one, on the cores of this machine.

    python benchmarks/scaling.py

Trains ResNet-18 adversarially on random windows, reading left out, in three ways by turns: one
process of one thread, two such processes, and for comparison one process of two threads with twice
the batch, which sees as many images a step as the two. Prints and writes, to results/scaling.json,
the median time of a step and its spread, images a second, and efficiency: images a second over
those of one process, by process. Takes about three minutes on two slow cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from timing import machine

from rsadapt import build, config
from rsadapt.adapt import ranks
from rsadapt.adapt.trainer import train
from rsadapt.sample import Batch

RESULTS = Path(__file__).parent / "results" / "scaling.json"
BANDS = 4

Values = dict[str, Any]

WAYS: dict[str, Values] = {
    "one process": {"processes": 1, "threads": 1, "batch_size": 2},
    "two processes": {"processes": 2, "threads": 1, "batch_size": 2},
    "one process, two threads, twice the batch": {"processes": 1, "threads": 2, "batch_size": 4},
}


def main() -> None:
    """Measure all ways by turns and write them down; or, started by that, be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6, help="of a turn, after one unmeasured")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--way", choices=list(WAYS), help="measure it in this process, print times")
    options = parser.parse_args()
    if options.way is not None:
        times = measure(WAYS[options.way], options.steps, options.tile)
        print(json.dumps(times if ranks.first() else []))
        return
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for turn in range(options.turns):
        for name, way in WAYS.items():
            found = launch(name, way["processes"], options.steps, options.tile)
            times[name] += found
            print(f"turn {turn + 1}, {name}: {statistics.median(found):.3f} s a step", flush=True)
    report(times, options)


def report(times: dict[str, list[float]], options: argparse.Namespace) -> None:
    """Print what was measured and write it down."""
    alone = WAYS["one process"]["batch_size"] / statistics.median(times["one process"])
    rows = []
    for name, way in WAYS.items():
        median = statistics.median(times[name])
        rate = way["processes"] * way["batch_size"] / median
        low, _, high = statistics.quantiles(times[name], n=4)
        rows.append(
            {
                "way": name,
                **way,
                "seconds_a_step": round(median, 4),
                "quartiles": [round(low, 4), round(high, 4)],
                "images_a_second": round(rate, 3),
                "efficiency": round(rate / alone / way["processes"] / way["threads"], 3),
            }
        )
        print(json.dumps(rows[-1]))
    written = {
        "network": "resnet18, output_space, float32, random windows of both domains",
        "tile": options.tile,
        "steps": options.steps * options.turns,
        "command": "python " + " ".join(sys.argv),
        "rows": rows,
        "machine": machine("torch", "torchvision", "lightning-fabric"),
    }
    RESULTS.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def launch(name: str, processes: int, steps: int, tile: int) -> list[float]:
    """Measure one way in processes of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--way", name, "--steps", str(steps), "--tile", str(tile)]
    started = []
    for rank in range(processes):
        place = {"RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        place |= {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        environment = os.environ | {key: str(value) for key, value in place.items()}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE))
    said = [process.communicate()[0] for process in started]
    times: list[float] = json.loads(said[0])
    return times


def measure(way: Values, steps: int, tile: int) -> list[float]:
    """The seconds of each step after the first."""
    recipe = config.load_yaml(config.recipe("demo"))
    changes = {
        "network.encoder": "resnet18",
        "training.steps": steps + 1,
        "training.log_every": 1,
        "training.batch_size": way["batch_size"],
        "device.threads": way["threads"],
    }
    settings = config.parse(config.change(recipe, changes), where="demo")
    learner = build.learner(settings, BANDS)
    learner.set_up()
    clock: list[float] = []
    size = (way["batch_size"], tile, tile)
    train(
        learner,
        schedule=build.schedule(settings),
        start=0,
        source=batches(size, len(build.class_scheme(settings))),
        target=batches(size),
        log=lambda *_: clock.append(time.perf_counter()),
        validate=lambda _: None,
        save=lambda _: None,
    )
    return [after - before for before, after in itertools.pairwise(clock)]


def batches(size: tuple[int, int, int], classes: int | None = None) -> Iterator[Batch]:
    """Endless random batches, others in each process."""
    generator = torch.Generator().manual_seed(ranks.rank())
    count, height, width = size
    while True:
        image = torch.randn(count, BANDS, height, width, generator=generator)
        label = None if classes is None else torch.randint(0, classes, size, generator=generator)
        yield Batch(image, torch.ones(size, dtype=torch.bool), label)


if __name__ == "__main__":
    main()
