"""Which method helps: all of them on one pair, each with the same time, over several seeds.

    python benchmarks/comparison.py cost --out runs/comparison
    python benchmarks/comparison.py procedural --out runs/comparison --seeds 0 1 2 3 4
    python benchmarks/comparison.py kampala-banepa --out runs/comparison --seeds 0 1 2

The first measures seconds a step of every row of configs/rows/demo.yaml, or of those after --rows
beside what is known, and keeps them in results/comparison-cost.json; the others give each row as
many steps as they allow, so that a run can be made again anywhere. Runs that are finished are kept
and broken ones go on; several processes may share the folder, with other seeds each. Real scenes
are translated once, by the first seed; start others after that. Every call ends by writing the
report of all runs that are done; without `--seeds` it does nothing else. See README.md here for
the method.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from translation import CYCLEGAN, FCAN

from rsadapt import build, config
from rsadapt.comparison_report import Compared, write
from rsadapt.comparison_rows import BASELINES, comparison_rows, load_rows
from rsadapt.data.procedural.world import write_world
from rsadapt.run import environment
from rsadapt.study import Row, finished, run_study, with_predecessors
from rsadapt.verbs.translate import REPORT, translate

RESULTS = Path(__file__).parent / "results"
COST = RESULTS / "comparison-cost.json"

MINUTES = 1.0
"""Of one thread, that every row may take after the first part that all share, on drawn pairs."""
REAL_MINUTES = 0.6
"""The same on real pairs, whose steps are larger: a hundredth of an hour."""

BUDGET = (
    "Every row has {seconds:g} seconds of one thread ({hours:.3f} hours), in as many steps as were "
    "measured to fit, after a supervised first part that all share; those called fda_then_ learn "
    "in the target's look for half of them. Adapted statistics follow what they adapt. What it "
    "took beside other work is under Cost."
)
"""In the report's words."""

COST_SEED = 100
"""Of the world that costs are measured on; none of the figures is of it."""
COST_STEPS = (10, 50)
"""The difference of two runs' times is that of the steps between them."""

HALVES = ("fda_first", "fda_then_")
"""How names of rows begin that have half of the time: a first part of their own, and the rest."""

TRANSLATIONS: dict[str, dict[str, Any]] = {"cyclegan": CYCLEGAN, "fcan": FCAN}
"""Rows whose source is translated before; what that takes comes on top, see translation.py."""

FEWER = {"banepa-kampala": 16}
"""Steps of FCAN's images on pairs whose source is large: there eight times as many pixels."""

GAPS = {"procedural": "full", "radiometric": "radiometric", "no-gap": "none"}
"""Pairs that are drawn, of each seed another, by their gap."""
REAL = ("kampala-banepa", "banepa-kampala")

Values = dict[str, Any]


def main() -> None:
    """Measure, or train what is not trained yet and write the report."""
    options = _options()
    out = options.out.resolve()
    if options.pair == "cost":
        _keep_cost(out / "cost", options.rows)
        return
    values = _values(options.pair)
    minutes = REAL_MINUTES if options.pair in REAL else MINUTES
    rows = _timed(_rows(values), values, minutes)
    base = _base(options.pair, values, out / options.pair)
    picked = with_predecessors(rows, options.rows or [row.name for row in rows])
    runs = out / options.pair / "runs"
    for seed in options.seeds:
        run_study(with_predecessors(rows, ["first"]), [seed], base, runs, progress=_tell)
        for name in TRANSLATIONS.keys() & {row.name for row in picked}:
            _translate(name, options.pair, base(seed) | {"seed": seed}, runs)
        run_study(picked, [seed], base, runs, progress=_tell)
    reported = {row.name: row for row in rows if row.reported}
    results, others = finished(list(reported.values()), base, runs)
    if not results:
        raise SystemExit(f"{out / options.pair}: no run is done yet; train some with --seeds")
    done = {result.row for result in results}
    folder = RESULTS / f"comparison-{options.pair}"
    folder.mkdir(exist_ok=True)
    compared = Compared(
        title=f"{options.pair}: every method",
        budget=BUDGET.format(seconds=60 * minutes, hours=minutes / 60),
        baselines=[name for name in BASELINES if name in done],
        rows={name: row for name, row in reported.items() if name in done},
        results=results,
        others=others,
        ceiling=frozenset({"target_trained"} & done),
    )
    written = write(compared, folder)
    for file in (written.markdown, written.figures):  # where the runs lie is of no matter
        text = file.read_text(encoding="utf-8").replace(str(out), "runs/comparison")
        file.write_text(text, encoding="utf-8")
    print(written.markdown.read_text(encoding="utf-8"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pair", choices=["cost", *GAPS, *REAL])
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[])
    parser.add_argument("--rows", nargs="+", help="these alone, and what they start from")
    return parser.parse_args()


def _values(pair: str) -> Values:
    """The pair's configuration, every field written out."""
    return build.configuration(config.recipe("demo" if pair in GAPS else pair)).model_dump()


def _rows(values: Values) -> list[Row]:
    """All rows: the baselines, the ready ones, translated scenes, and what is attainable."""
    given = {name: row for name, row in load_rows(Path("demo")).items() if "target" not in name}
    for name in TRANSLATIONS:  # whose values are the target's, so that nothing else learned first
        scenes = {"method": "source_only", "source.scenes": [f"{name}/scenes/*.tif"]}
        given[f"{name}_first"] = given["first"] | scenes | {"after": None, "reported": False}
        given[name] = scenes | {"after": f"{name}_first"}
    known = comparison_rows(values, given=given)
    names = [name for name in given if not name.endswith("first")]
    rows = [replace(row, changes=_unvalidated(row)) for row in known.choose(names)]
    on_target = {"source": values["target"]}
    first, plain = (
        next(row for row in rows if row.name == name) for name in ("first", "source_only")
    )
    return [
        *rows,
        Row("target_first", first.changes | on_target, reported=False),
        Row("target_trained", plain.changes | on_target, after="target_first"),
    ]


def _unvalidated(row: Row) -> Values:
    return {key: value for key, value in row.changes.items() if key != "training.validate_every"}


def _timed(rows: Sequence[Row], values: Values, minutes: float) -> list[Row]:
    """The rows with the steps that their time allows, and four validations on the way.

    Costs are of the drawn pairs' tiles; larger ones take so many times as long as they have pixels.
    """
    cost = json.loads(COST.read_text(encoding="utf-8"))["seconds_per_step"]
    larger = _pixels(values) / _pixels(_values("procedural"))
    timed = []
    for row in rows:
        changes = row.changes
        if _has_time(row):
            seconds = 60 * minutes / (2 if row.name.startswith(HALVES) else 1)
            steps = 4 * round(seconds / (cost[row.name] * larger) / 4)
            changes = changes | {"training.steps": steps, "training.validate_every": steps // 4}
        timed.append(replace(row, changes=changes))
    return timed


def _has_time(row: Row) -> bool:
    """Whether its steps are those that its time allows; adapting statistics has its own."""
    adapts = row.changes["method"]["name"] == "adapted_batch_norm"
    return not adapts and (row.reported or row.name.startswith(HALVES))


def _pixels(values: Values) -> int:
    return values["training"]["batch_size"] * values["training"]["tile"] ** 2


def _base(pair: str, values: Values, out: Path) -> Callable[[int], Values]:
    """The configuration of a seed; of drawn pairs a seed makes the world, too.

    Translated scenes are written into the world, so that of a real pair holds links to its regions.
    """

    def drawn(seed: int) -> Values:
        world = out / f"world-{seed}"
        if not (world / "target").exists():
            write_world(world, seed=seed, gap=GAPS[pair])
        return values | {"root": str(world)}

    def linked(_: int) -> Values:
        world = out / "world"
        world.mkdir(parents=True, exist_ok=True)
        for region in Path(values["root"]).iterdir():
            with suppress(FileExistsError):
                (world / region.name).symlink_to(region)
        return values | {"root": str(world)}

    return drawn if pair in GAPS else linked


def _translate(by: str, pair: str, values: Values, runs: Path) -> None:
    """Write the source's scenes in the target's look, where they are not there yet."""
    folder = Path(values["root"]) / by
    if (folder / REPORT).exists():
        return
    chosen: Values = TRANSLATIONS[by] | {"by": by}
    if by == "fcan":
        seen = runs / f"seed-{values['seed']}" / "first"
        steps = FEWER.get(pair, FCAN["fcan"]["iterations"])
        chosen["fcan"] = FCAN["fcan"] | {"weights": str(seen), "iterations": steps}
    file = folder.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(values | {"translation": chosen}), encoding="utf-8")
    translate(file, out=folder, resume=folder.exists(), progress=_tell)


def _keep_cost(out: Path, names: Sequence[str] | None) -> None:
    """Measure seconds a step of every row, or of these beside what is kept already."""
    values = _values("procedural")
    base = _base("procedural", values, out)
    found: dict[str, float] = {}
    for row in _rows(values):
        wanted = names is None or row.name in names
        if not (wanted and _has_time(row)) or row.name in TRANSLATIONS:
            continue
        seconds = []
        for steps in COST_STEPS:
            changes = row.changes | {"training.steps": steps, "training.validators": 0}
            short = Row(f"{row.name}-{steps}", changes)
            (result,) = run_study([short], [COST_SEED], base, out / "runs")
            seconds.append(result.seconds)
        short_steps, long_steps = COST_STEPS
        found[row.name] = round((seconds[1] - seconds[0]) / (long_steps - short_steps), 4)
        print(row.name, found[row.name], flush=True)
    if "source_only" in found:
        found |= dict.fromkeys(TRANSLATIONS, found["source_only"])
    kept: Values = {"measured": [], "seconds_per_step": {}}
    if names is not None:
        kept = json.loads(COST.read_text(encoding="utf-8"))
    measured = {
        "rows": list(found),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}; one thread",
        **{key: environment()[key] for key in ("commit", "python", "platform", "packages")},
    }
    record = {
        "command": "python benchmarks/comparison.py cost --out runs/comparison",
        "measured": [*kept["measured"], measured],
        "seconds_per_step": kept["seconds_per_step"] | found,
    }
    COST.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _tell(task: str, done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        print(f"{task}: {done} of {total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
