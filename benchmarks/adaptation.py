"""How much adaptation brings: methods compared over seeds, on procedural and on real imagery.

    python benchmarks/adaptation.py procedural --out runs/procedural --seeds 0 1 2 3 4
    python benchmarks/adaptation.py streets --out runs/streets --seeds 0 1 2 3 4
    python benchmarks/adaptation.py kampala-banepa --out runs/kampala-banepa --seeds 0 1 2
    python benchmarks/adaptation.py kampala-tiles --out runs/kampala-tiles --seeds 0 1 2

Runs that are finished are kept and broken ones go on, so that several processes may share one
folder, with other seeds or `--rows` each. Every call ends by writing the results of all runs that
are done; without `--seeds` it does nothing else. See README.md here for the method.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rsadapt import build, config
from rsadapt.data.procedural.street import write_streets
from rsadapt.data.procedural.world import write_world
from rsadapt.run import RunFolder
from rsadapt.study import (
    FROM_SCRATCH,
    Result,
    Row,
    finished,
    run_study,
    standard_rows,
    summary,
    with_predecessors,
)
from rsadapt.tables import comparison_markdown

RESULTS = Path(__file__).parent / "results"
FACTS = ("classes", "evaluation", "commit", "python", "platform", "packages")
"""What holds for all runs of a study, from the record of each."""

REAL_ROWS = ("source-only", "multi-level", "target-trained")
TILES_ROWS = ("source-only", "weight-zero", "multi-level")
"""Of a target that has no labels to train on."""

FEATURE_WEIGHT = 0.01
"""Of the adversarial loss on features, at the main level; see README.md here for what was tried."""

STREETS_FIRST = {"training.steps": 400, "optimiser.rate": 0.002}
"""First part of the streets' schedule."""

Values = dict[str, Any]

WORLDS: dict[str, Callable[[Path, int], object]] = {
    "procedural": lambda folder, seed: write_world(folder, seed=seed),
    "streets": lambda folder, seed: write_streets(folder, seed=seed),
}
"""Draws a pair's imagery of a seed into a folder."""


def main() -> None:
    """Train what is not trained yet, print the table and write the results."""
    options = _options()
    values = config.load_yaml(config.recipe(_recipe(options.pair)))
    first = STREETS_FIRST if options.pair == "streets" else FROM_SCRATCH
    rows = list(standard_rows(values, first=first).values())
    if options.pair == "streets":
        rows[-2:-2] = further_rows(values)
    elif options.pair == "kampala-tiles":
        rows = with_predecessors(rows, TILES_ROWS)
    elif options.pair != "procedural":
        rows = [row for row in rows if row.name in REAL_ROWS or not row.reported]
    everything = rows
    if options.rows:
        rows = with_predecessors(rows, options.rows)
    base = _base(options, values)
    run_study(rows, options.seeds, base, options.out, progress=_report)
    reported = [row for row in everything if row.reported]
    results, others = finished(reported, base, options.out)
    if others:
        raise SystemExit(f"{', '.join(others)}: runs of other settings; choose another --out")
    if not results:
        raise SystemExit(f"{options.out}: no run is done yet; train some with --seeds")
    print(comparison_markdown(summary(results)))
    file = RESULTS / f"{options.pair}.json"
    file.write_text(
        json.dumps(_record(options, values, everything, results), indent=1) + "\n",
        encoding="utf-8",
    )
    print(f"written to {file}")


def further_rows(values: Values) -> list[Row]:
    """The paper's other rows on the schedule of `study.standard_rows`, main level alone."""
    method = values["method"]
    zeros = [0.0] * (len(method["adversarial"]) - 1)
    feature = method | {
        "name": "feature_space",
        "adversarial": [*zeros, FEATURE_WEIGHT],
        "discriminator_reductions": 3,  # of features at stride 4: 32 pixels, as in output space
    }
    least_squares = {
        "method.adversarial": [*zeros, method["adversarial"][-1]],
        "method.objective": "least_squares",
    }
    return [
        Row("feature-space", {"method": feature}, after="source-first"),
        Row("least-squares", least_squares, after="source-first"),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    real = ["kampala-banepa", "banepa-kampala", "kampala-tiles"]
    pairs = ["procedural", "streets", *real]
    parser.add_argument("pair", choices=pairs)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[])
    parser.add_argument("--rows", nargs="+", help="these alone, and what they start from")
    parser.add_argument("--root", type=Path, help="folder of the real regions")
    return parser.parse_args()


def _recipe(pair: str) -> str:
    return "demo" if pair == "procedural" else pair


def _base(options: argparse.Namespace, values: Values) -> Callable[[int], Values]:
    """The configuration of a seed; on the procedural pair a seed makes the world too."""
    if options.pair not in WORLDS:
        root = options.root or build.configuration(config.recipe(options.pair)).root
        return lambda _: values | {"root": str(Path(root).resolve())}

    def procedural(seed: int) -> Values:
        world = options.out.resolve() / f"world-{seed}"
        if not world.exists():
            WORLDS[options.pair](world, seed)
        return values | {"root": str(world)}

    return procedural


def _record(
    options: argparse.Namespace, values: Values, rows: Sequence[Row], results: Sequence[Result]
) -> Values:
    """Everything a reader needs to judge the figures, or to make them again."""
    settings = build.configuration(results[0].run / "config.yaml")
    records = [json.loads(RunFolder(result.run).record.read_text()) for result in results]
    facts = {key: records[0][key] for key in FACTS}
    for record, result in zip(records, results, strict=True):
        if {key: record[key] for key in FACTS} != facts:
            raise SystemExit(f"{result.run}: made by other code or packages; train all runs anew")
    return {
        "commands": _commands(options.pair, results),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "facts": facts,
        "initial_weights": "random; all rows go on from a supervised first part of their labels",
        "first_part": rows[0].changes,
        "configuration": settings.model_dump(exclude={"root", "init_from", "seed", "method"}),
        "method": values["method"],
        "rows": {row.name: {"changes": row.changes, "after": row.after} for row in rows},
        "batch_norm": {
            r.row: record["batch_norm"] for r, record in zip(results, records, strict=True)
        },
        "final_iteration": {
            domain: summary(results, domain)
            for domain in ("target", "source")
            if domain in results[0].validation  # streets score the target alone
        },
    }


def _commands(pair: str, results: Sequence[Result]) -> list[str]:
    """The commands that train these runs again, one for each set of seeds."""
    seeds: dict[str, list[str]] = {}
    for result in results:
        seeds.setdefault(result.row, []).append(str(result.seed))
    rows: dict[str, list[str]] = {}
    for row, numbers in seeds.items():
        rows.setdefault(" ".join(numbers), []).append(row)
    call = f"python benchmarks/adaptation.py {pair} --out runs/{pair}"
    return [
        f"{call} --seeds {numbers}" + (f" --rows {' '.join(names)}" if len(rows) > 1 else "")
        for numbers, names in rows.items()
    ]


def _report(task: str, done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        print(f"{task}: {done} of {total} steps", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
