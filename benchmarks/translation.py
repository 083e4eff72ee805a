"""What translating the source brings on the procedural pair, and what it costs its classes.

    python benchmarks/translation.py --out runs/translation --seed 1

A network learns the source's labels, translators learn both domains' looks, the same network learns
anew from each one's scenes with the labels as they were, and all are scored on the target. Runs
that are finished are kept. See README.md here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from rsadapt import config
from rsadapt.data.procedural.world import write_world
from rsadapt.run import RunFolder, environment
from rsadapt.verbs.train import train
from rsadapt.verbs.translate import REPORT, translate

RESULTS = Path(__file__).parent / "results"

SEGMENTATION = {
    "method": {"name": "source_only", "segmentation": [0.4, 1.0]},
    "training.steps": 800,
    "optimiser.rate": 0.002,
}
"""The first part of `study.FROM_SCRATCH`, which is all that a network learns here."""

CYCLEGAN = {
    "steps": 1500,
    "tile": 96,
    "width": 16,
    "blocks": 3,
    "discriminator_width": 16,
    "rate": 0.001,
}
"""A fortieth of the published width and blocks' work, at five times the published rate: minutes of
one slow core."""

FCAN: dict[str, Any] = {"tile": 128, "fcan": {"iterations": 64, "style": 1.0}}


def main() -> None:
    """Train what is not trained yet and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    out = options.out.resolve() / f"seed-{options.seed}"
    world = out / "world"
    if not world.exists():
        write_world(world, seed=options.seed)
    values = config.load_yaml(config.recipe("demo")) | {"root": str(world), "seed": options.seed}
    values = config.change(values, SEGMENTATION)
    network, seconds = trained(out / "untranslated", values)
    rows: dict[str, Any] = {"untranslated": {"target": network, "training_seconds": seconds}}
    fcan = FCAN["fcan"] | {"weights": str(out / "untranslated")}
    for by, chosen in (("cyclegan", CYCLEGAN), ("fcan", FCAN | {"fcan": fcan})):
        rows[by] = row(out, by, values | {"translation": chosen | {"by": by}})
    record = {
        "command": f"python benchmarks/translation.py --out runs/translation --seed {options.seed}",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "facts": {key: environment()[key] for key in ("commit", "python", "platform", "packages")},
        "configuration": {key: values[key] for key in values if key != "root"},
        "translation": {"cyclegan": CYCLEGAN, "fcan": FCAN},
        "rows": rows,
    }
    file = RESULTS / f"translation-{options.seed}.json"
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {file}")


def trained(run: Path, values: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The target's figures of a network that is trained unless it was, and the seconds it took."""
    file = run.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    found = RunFolder(run)
    steps = values["training"]["steps"]
    if not found.metrics.exists() or found.validation(steps) is None:
        train(file, out=run, resume=run.exists(), progress=report)
    validation = found.validation(steps) or {}
    return figures(validation["target"]), round(found.seconds(), 1)


def row(out: Path, by: str, values: dict[str, Any]) -> dict[str, Any]:
    """What a translator wrote, told, and what a network learned from that comes to."""
    folder, file = out / by, out / f"{by}.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    timing = folder / "seconds.json"
    if not (folder / REPORT).exists():
        began = time.perf_counter()
        translate(
            file,
            out=folder,
            check=out / "untranslated",
            resume=folder.exists(),
            progress=report,
        )
        timing.write_text(json.dumps(round(time.perf_counter() - began, 1)), encoding="utf-8")
    told = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    scenes = str(folder / "scenes" / "*.tif")
    network, seconds = trained(
        out / f"{by}-network", config.change(values, {"source.scenes": [scenes]})
    )
    return {
        "discriminability": told["discriminability"],
        "agreement": {when: figures(each) for when, each in told["agreement"].items()},
        "target": network,
        "translation_seconds": json.loads(timing.read_text(encoding="utf-8")),
        "training_seconds": seconds,
    }


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a report: totals, and every class's IoU."""
    return {
        "totals": found["totals"],
        "iou": {name: each["iou"] for name, each in found["classes"].items()},
    }


def report(task: str, done: int, total: int) -> None:
    """Tell of every hundredth step."""
    if done % 100 == 0 or done == total:
        print(f"{task}: {done} of {total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
