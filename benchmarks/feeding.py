"""How long training steps wait for data, by the number of workers, and what a batch costs.

    python benchmarks/feeding.py [--data DIR]

Trains short runs as `rsadapt train` does, each in a process of its own, one after the other, with
0, 1, 2 and `auto` workers for each domain: the demo's pair with its small encoder, real drone
imagery (DIR/buildings, left out where it is not) with a ResNet-18, and frames of GTA5's size with
a ResNet-18. Waiting is the time that the training process spends in getting batches, as a share of
all; the first steps, in which `auto` makes up its mind, are left out of it and given beside it.
Then it times, in one process, the parts of making a batch, and every augmentation.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch
from loading import draw
from timing import Spread, interleaved, machine

from rsadapt import build, config
from rsadapt.data.augment import Augmentation, Augmenter
from rsadapt.data.procedural.world import write_world
from rsadapt.data.stream import stream
from rsadapt.data.supply import TRIAL, WARM
from rsadapt.sample import Sample, collate
from rsadapt.training import train_run

RESULTS = Path(__file__).parent / "results" / "feeding.json"
DATA = Path(__file__).parents[2] / "shared" / "data"
WORKERS = ("0", "1", "2", "auto")
SKIPPED = WARM + TRIAL
FRAMES = 6
AUGMENTATIONS = get_args(Augmentation)

Values = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A run to feed.

    Attributes:
        recipe: that it follows.
        changes: to the recipe.
        steps: of the run, of which the first `SKIPPED` are not counted.
    """

    recipe: str
    changes: Values
    steps: int


def cases(folder: Path, data: Path) -> dict[str, Case]:
    """The runs, by what they are; their data is below one of the two folders."""
    unscored = {"source.validation": {"share": 0}, "target.validation": {"share": 0}}
    resnet = {"network.encoder": "resnet18", "device.threads": None}
    size = {"height": 192, "width": 384}
    frames = {"dataset": "gta5", "split": "all", "folder": "frames", "size": size}
    found = {
        "GeoTIFF, small encoder": Case("demo", {"root": str(folder / "world")} | unscored, 80),
        "GeoTIFF, ResNet-18": Case(
            "kampala-banepa",
            {"root": str(data / "buildings"), "training.tile": 256} | unscored | resnet,
            SKIPPED + 4,
        ),
        "frames, ResNet-18": Case(
            "streets",
            {
                "root": str(folder),
                "class_table": "cityscapes-19",
                "source": frames,
                "target": frames,
                "training.batch_size": 2,
            }
            | resnet,
            SKIPPED + 4,
        ),
    }
    return {name: case for name, case in found.items() if Path(str(case.changes["root"])).is_dir()}


def main() -> None:
    """Measure, print tables and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of real imagery")
    parser.add_argument("--one", nargs=3, metavar=("CASE", "WORKERS", "FOLDER"), help="(its own)")
    options = parser.parse_args()
    if options.one is not None:
        name, workers, folder = options.one
        case = cases(Path(folder), options.data)[name]
        print(json.dumps(train(case, workers, Path(folder) / f"{time.time_ns()}")))
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_world(folder / "world", seed=0)
        draw_frames(folder / "frames")
        found = {}
        for case_name, case in cases(folder, options.data).items():
            rows = {}
            for workers in WORKERS:
                rows[workers] = apart(case_name, workers, folder, options.data)
                print(f"{case_name}, {workers}: {rows[workers]}", flush=True)
            split = {part: asdict(spread) for part, spread in parts(case, folder).items()}
            found[case_name] = {"runs": rows, "milliseconds a batch": split}
    record = {
        "command": "python benchmarks/feeding.py",
        "times": "milliseconds: median, 10th and 90th percentile",
        "cases": found,
        "augmentations": {
            "window": [4, 256, 256],
            "milliseconds": {name: asdict(spread) for name, spread in augmentations().items()},
        },
        "machine": machine("rsadapt", "torch", "numpy", "albumentations", "rasterio"),
    }
    print(markdown(record))
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {RESULTS}")


def draw_frames(folder: Path) -> None:
    """Frames of GTA5's size and layout: one, as often as there are frames."""
    image, labels = draw(folder)
    for number in range(2, FRAMES + 1):
        for path in (image, labels):
            path.with_name(f"{number:05}.png").hardlink_to(path)


def settings_of(case: Case, workers: str) -> config.Configuration:
    """A run's settings; every step is logged."""
    changes = {
        **case.changes,
        "training.workers": workers if workers == "auto" else int(workers),
        "training.steps": case.steps,
        "training.log_every": 1,
        "training.save_every": 0,
        "device.accelerator": "cpu",
    }
    recipe = config.load_yaml(config.recipe(case.recipe))
    return config.parse(config.change(recipe, changes), where=case.recipe)


def apart(case: str, workers: str, folder: Path, data: Path) -> Values:
    """`train` in a process of its own."""
    command = [sys.executable, __file__, "--data", str(data), "--one", case, workers, str(folder)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: Values = json.loads(told.splitlines()[-1])
    return found


def train(case: Case, workers: str, out: Path) -> Values:
    """Train, and say how long steps waited."""
    settings, before = settings_of(case, workers), cpu_seconds()
    outcome = train_run(settings, out)
    lines = [event for event in outcome.run.events() if "losses" in event]
    steady, feeding = lines[SKIPPED:], outcome.feeding or {}
    seconds = sum(line["seconds"] for line in steady)
    waited = sum(line["waiting"] * line["seconds"] for line in steady)
    images = 2 * settings.training.batch_size
    return {
        "waited": round(waited / seconds, 4),
        "waited, first steps and all": feeding.get("waited"),
        "images a second": round(len(steady) * images / seconds, 2),
        "seconds a step": spread_of([line["seconds"] for line in steady]),
        "CPU seconds an image": round((cpu_seconds() - before) / len(lines) / images, 4),
        "workers": feeding.get("workers"),
        "recommended": feeding.get("recommended"),
    }


def cpu_seconds() -> float:
    """Of this process and of those that it has ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def spread_of(values: list[float]) -> list[float]:
    """Median, 10th and 90th percentile."""
    found: list[float] = np.percentile(values, [50, 10, 90]).round(3).tolist()
    return found


class Timed:
    """A function that adds up the time of its calls, in milliseconds."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.spent = function, 0.0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function."""
        begun = time.perf_counter()
        try:
            return self.function(*arguments, **options)
        finally:
            self.spent += 1000 * (time.perf_counter() - begun)


def parts(case: Case, folder: Path, repeats: int = 20) -> dict[str, Spread]:
    """What the source's batches are made of, once scenes are kept, in this process.

    Reading is what else a sample takes: decoding, labels, validity.
    """
    torch.set_num_threads(1)
    settings = settings_of(case, "0")
    both = build.places(settings)
    taken = build.take_statistics(settings, both, settled=False, known={})
    normalise = build.normalisers(settings, both, taken)
    samples: Any = build.training_samples(settings, both, normalise, "source", scratch=folder)
    samples.normalise, samples.augment = Timed(samples.normalise), Timed(samples.augment)
    size, numbers = settings.training.batch_size, count()
    for _ in range(20 * size):
        samples[next(numbers)]
    times: dict[str, list[float]] = {
        name: [] for name in ("read", "normalise", "augment", "collate")
    }
    for _ in range(repeats):
        samples.normalise.spent = samples.augment.spent = 0.0
        get, join = Timed(samples.__getitem__), Timed(collate)
        join([get(next(numbers)) for _ in range(size)])
        inside = samples.normalise.spent + samples.augment.spent
        times["read"].append(get.spent - inside)
        times["normalise"].append(samples.normalise.spent)
        times["augment"].append(samples.augment.spent)
        times["collate"].append(join.spent)
    times["hand-over"] = list(hand_overs(samples[0], size, repeats))
    return {name: Spread(*spread_of(values)) for name, values in times.items()}


def hand_overs(sample: Sample, size: int, repeats: int) -> Iterator[float]:
    """Milliseconds to get a batch that a worker has long made."""

    class Ready:
        def __getitem__(self, _: int) -> Sample:
            return sample

    with closing(stream(Ready(), batch_size=size, workers=1)) as batches:
        for number in range(repeats + 3):
            time.sleep(0.05)
            begun = time.perf_counter()
            next(batches)
            if number >= 3:
                yield 1000 * (time.perf_counter() - begun)


def augmentations() -> dict[str, Spread]:
    """Every augmentation of a window of four bands, and all of them in a row."""
    random = np.random.default_rng(0)
    valid = random.random((256, 256)) < 0.95
    image = random.normal(size=(4, 256, 256)).astype(np.float32) * valid
    label = np.where(valid, random.integers(0, 9, valid.shape), 255)

    def timed(names: Any) -> Callable[[], object]:
        augment, seeds = Augmenter(names), count()
        return lambda: augment(image, valid, label, seed=next(seeds))

    ways = {name: timed([name]) for name in AUGMENTATIONS}
    return interleaved({**ways, "all in a row": timed(AUGMENTATIONS)}, repeats=40)


def markdown(record: Values) -> str:
    """The record as Markdown tables."""
    lines = [
        "| case | workers | waited | images a second | CPU s an image | recommended |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, case in record["cases"].items():
        for asked, run in case["runs"].items():
            workers = f"{asked}: {run['workers']}" if asked == "auto" else asked
            lines.append(
                f"| {name} | {workers} | {run['waited']:.1%} | {run['images a second']:.1f} | "
                f"{run['CPU seconds an image']:.3f} | {run['recommended']} |"
            )
    names = list(next(iter(record["cases"].values()))["milliseconds a batch"])
    lines += ["", f"| ms a batch | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]
    for name, case in record["cases"].items():
        costs = case["milliseconds a batch"]
        cells = [f"{costs[part]['median']:.1f}" for part in names]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    found = record["augmentations"]["milliseconds"]
    lines += ["", "ms a window of 4 x 256 x 256: "]
    lines[-1] += ", ".join(f"{name} {spread['median']:.1f}" for name, spread in found.items())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
