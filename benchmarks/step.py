"""How long a training step of a published recipe takes, and how much memory, at its full size.

    python benchmarks/step.py gta5-cityscapes --steps 2
    python benchmarks/step.py gta5-cityscapes --row vgg --steps 2
    python benchmarks/step.py gta5-cityscapes --steps 300 --precision bf16-mixed

Images and labels are random, of the recipe's sizes and batch size: the step is that of `rsadapt
train`, reading left out (`benchmarks/loading.py` measures that). Runs on a GPU where there is one.
Prints and writes, to results/step.json, the median time of a step after the first, the peak memory,
and the hours that the recipe's steps would take at that pace. A line for each recipe, row, device,
precision and batch size; one that is measured again is replaced.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from timing import machine

from rsadapt import build, config
from rsadapt.adapt.figures import Said, apart
from rsadapt.adapt.trainer import train
from rsadapt.benchmark_rows import adaptation_rows
from rsadapt.sample import Batch

RESULTS = Path(__file__).parent / "results" / "step.json"

Values = dict[str, Any]


def main() -> None:
    """Measure one recipe and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--steps", type=int, default=3, help="measured, after one that is not")
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--row", default="multi", help="of the benchmark; multi is the recipe")
    options = parser.parse_args()
    recipe = config.load_yaml(config.recipe(options.recipe))
    changes = {
        **adaptation_rows(recipe)[options.row].changes,
        "device.precision": options.precision,
        "training.batch_size": options.batch_size,
        "training.steps": options.steps + 1,
        "training.log_every": 1,
    }
    found = measure(config.parse(config.change(recipe, changes), where=options.recipe))
    steps = recipe["training"]["steps"]
    row = {
        "recipe": options.recipe,
        "row": options.row,
        "precision": options.precision,
        "batch_size": options.batch_size,
        **found,
        "hours": {
            "steps": steps,
            "at_this_pace": round(found["seconds_a_step"] * steps / 3600, 1),
        },
        "command": f"python benchmarks/step.py {options.recipe} --row {options.row} "
        f"--steps {options.steps} --precision {options.precision} "
        f"--batch-size {options.batch_size}",
        "machine": machine("torch", "torchvision", "lightning-fabric"),
    }
    print(json.dumps(row, indent=1))
    write(row)


def measure(settings: config.Configuration) -> Values:
    """Train on random images and report times, memory and the last losses."""
    learner = build.learner(settings, 3)
    learner.set_up()
    device = learner.fabric.device
    clock, times, losses = time.perf_counter(), [], {}

    def log(_: int, said: Said) -> None:
        nonlocal clock, losses
        losses, _figures = apart(
            said
        )  # they have been fetched, so that the device has finished the step
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        times.append(now - clock)
        clock = now
        print(f"step {len(times)}: {times[-1]:.2f} s", flush=True)

    train(
        learner,
        schedule=build.schedule(settings),
        start=0,
        source=batches(settings, settings.source, labelled=True),
        target=batches(settings, settings.target, labelled=False),
        log=log,
        validate=lambda _: None,
        save=lambda _: None,
    )
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "steps": len(times) - 1,
        "seconds_a_step": round(statistics.median(times[1:]), 4),
        "fastest_and_slowest": [round(min(times[1:]), 4), round(max(times[1:]), 4)],
        "peak_memory_gb": round(peak_memory(device) / 1e9, 2),
        "last_losses": losses,
    }


def batches(settings: config.Configuration, domain: Any, *, labelled: bool) -> Iterator[Batch]:
    """Endless random batches of a domain's size."""
    size = (settings.training.batch_size, domain.size.height, domain.size.width)
    classes = len(build.class_scheme(settings))
    generator = torch.Generator().manual_seed(0)
    while True:
        image = torch.randn(size[0], 3, *size[1:], generator=generator) * 60
        label = torch.randint(0, classes, size, generator=generator) if labelled else None
        yield Batch(image, torch.ones(size, dtype=torch.bool), label)


def peak_memory(device: torch.device) -> int:
    """The most bytes held so far: of the GPU by PyTorch, else resident of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def write(row: Values) -> None:
    """Put a row among the results, in place of an older one of the same kind."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    same = ("recipe", "row", "precision", "batch_size", "device")
    rows = [old for old in rows if any(old[key] != row[key] for key in same)]
    rows.append(row)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
