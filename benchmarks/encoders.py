"""What a training step costs by encoder and decoder: one thread, a tile of 256 pixels, four bands.

    python benchmarks/encoders.py

Source-only training of two levels and seven classes, batches of one, values of no meaning: forward,
losses, backward and the optimiser's step. Networks take turns, so that whatever else the machine
does meets them alike; times are of the processor, which waiting for it does not count. Results,
with parameters and the memory that `rsadapt plan` estimates, go to `results/encoders.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from timing import machine

from rsadapt import build, config
from rsadapt.build.memory import take_step

RESULTS = Path(__file__).parent / "results" / "encoders.json"
BANDS = 4
NETWORKS = {
    "resnet18": ("resnet18", "pyramid"),
    "mit_b0": ("mit_b0", "pyramid"),
    "mit_b0, mlp": ("mit_b0", "mlp"),
    "pvt_v2_b0, mlp": ("tu-pvt_v2_b0", "mlp"),
    "convnext_tiny": ("tu-convnext_tiny", "pyramid"),
    "convnext_tiny, mlp": ("tu-convnext_tiny", "mlp"),
}


def main() -> None:
    """Measure all of them and write the results down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=9, help="measured, after one that is not")
    repeats = parser.parse_args().steps
    torch.set_num_threads(1)
    chosen = {name: settings(*parts) for name, parts in NETWORKS.items()}
    steps = {name: stepping(each) for name, each in chosen.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn > 0:
                times[name].append(time.process_time() - start)
    rows = [
        {
            "network": name,
            "median_s": round(statistics.median(times[name]), 3),
            "least_s": round(min(times[name]), 3),
            "parameters": sum(p.numel() for p in build.network(each, BANDS).parameters()),
            "estimated_mb": round(build.estimate(each, BANDS).total / 1e6),
        }
        for name, each in chosen.items()
    ]
    print(*map(json.dumps, rows), sep="\n")
    packages = ("torch", "timm", "segmentation-models-pytorch")
    found = {"machine": machine(*packages), "steps": repeats, "rows": rows}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def stepping(chosen: config.Configuration) -> Callable[[], None]:
    """A function that takes a step of a configuration."""
    learner = build.learner(chosen, BANDS)
    learner.set_up()

    def step() -> None:
        for optimiser in learner.optimisers.values():
            optimiser.zero_grad()
        take_step(learner, chosen, BANDS)
        learner.update()

    return step


def settings(encoder: str, decoder: str) -> config.Configuration:
    """A configuration of regions whose files are never opened."""
    values = {
        "classes": [{"name": f"class {i}", "id": i, "colour": "#000000"} for i in range(7)],
        "source": {"scenes": ["source.tif"]},
        "target": {"scenes": ["target.tif"]},
        "network": {"encoder": encoder, "decoder": decoder},
        "method": {"name": "source_only"},
        "training": {"tile": 256, "batch_size": 1},
        "device": {"accelerator": "cpu", "threads": 1},
    }
    return config.parse(values, where="benchmark")


if __name__ == "__main__":
    main()
