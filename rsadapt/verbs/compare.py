"""Compare: methods on one pair of regions under one budget, with and without target labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsadapt import build, report
from rsadapt import config as configurations
from rsadapt.adapt import ranks
from rsadapt.comparison_report import Compared, ComparisonResult, write
from rsadapt.comparison_rows import BASELINES, FIRST, Rows, comparison_rows, load_rows
from rsadapt.errors import ConfigError, OutputExistsError
from rsadapt.model import Model, answers, load
from rsadapt.progress import Progress
from rsadapt.study import STATISTICS, Result, Row, Values, finished, run_study

if TYPE_CHECKING:
    from rsadapt.sample import Sample

RUNS = "runs"
"""The folder of the runs within that of a comparison."""

SHOWN = 3
"""Windows of the target whose maps are set side by side."""


@ranks.together()
@build.process_kept()
def compare(
    config: Path,
    methods: Sequence[str] = (),
    *,
    out: Path,
    rows: Path | None = None,
    seeds: Sequence[int] = (0,),
    first_steps: int | None = None,
    data: Path | None = None,
    assignments: Sequence[str] = (),
    progress: Progress | None = None,
) -> ComparisonResult:
    """Train methods on one pair of regions, with the same number of steps each, and compare them.

    All share a supervised first part, and "source_only" and "adapted_batch_norm" are always among
    them. Runs that are finished are kept and broken ones go on; the report is written anew, of all
    runs in `out` that are done and have these settings, whichever call trained them. Several
    processes may share the folder with different seeds. Without target labels the report is made of
    validators that need none.

    Args:
        config: the configuration, YAML, or a ready recipe's name. Its steps are every method's.
        methods: names of methods or rows; all rows of the file where none is named.
        out: gets `runs/` and the report.
        rows: a YAML file of named rows, or a ready one's name, see `comparison_rows`.
        seeds: each row is trained with each; they decide weights and samples.
        first_steps: of the shared first part, see `comparison_rows`.
        data: the folder of the data, in place of the one that the configuration names.
        assignments: "dotted.key=value" changes to the configuration, for all rows.
        progress: is told of every run's steps, as "ROW, seed S".

    Raises:
        ConfigError: for an unknown name, or settings that cannot be meant.
        MissingFileError: for a configuration, rows or data that are not there.
        OutputExistsError: where the folder holds something else, or runs of other settings.
    """
    settings = build.configuration(config, assignments, data=data)
    values = settings.model_dump()
    given = load_rows(rows)
    known = comparison_rows(values, given=given, first_steps=first_steps)
    asked = list(methods) or [name for name in given if _reported(given, name)]
    if not asked:
        raise ConfigError(
            f"no method is named; name some of {', '.join(known.reported)} (--methods), or a file "
            f"of rows (--rows)"
        )
    picked = known.choose(asked)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"expected at least one seed and each once, found {list(seeds)}")
    ranks.first_does(lambda: _check_out(out))

    def base(_: int) -> Values:
        return values

    run_study(picked, seeds, base, out / RUNS, progress=progress)

    def tell() -> ComparisonResult:
        compared = _compared(config, settings, known, out)
        return write(compared, out)

    return ranks.first_does(tell)


def _reported(given: Values, name: str) -> bool:
    return name != FIRST and (given[name] or {}).get("reported", True) is True


def _check_out(out: Path) -> None:
    """Refuse a folder that holds anything but a comparison.

    Raises:
        OutputExistsError: with the cure.
    """
    runs = out / RUNS
    begun = (runs / STATISTICS).exists() or any(runs.glob("seed-*"))
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not begun):
        raise OutputExistsError(
            f"{out}: exists and holds no comparison (there is no {RUNS}/seed-...); choose another "
            f"with --out"
        )


def _compared(
    config: Path, settings: configurations.Configuration, known: Rows, out: Path
) -> Compared:
    """All that is done in a comparison's folder."""
    values = settings.model_dump()
    rows = {name: row for name, row in known.all.items() if row.reported}
    results, others = finished(list(rows.values()), lambda _: values, out / RUNS)
    names = {result.row for result in results}
    return Compared(
        title=f"{config.stem}: methods compared",
        rows={name: row for name, row in rows.items() if name in names},
        results=results,
        baselines=[name for name in BASELINES if name in names],
        others=others,
        refused={name: why for name, why in known.refused.items() if name in BASELINES},
        ceiling=frozenset(name for name in names if _on_target(values, rows[name])),
        maps=_maps(settings, results, out),
    )


def _on_target(values: Values, row: Row) -> bool:
    """Whether a row learns from the target's labels."""
    changed = configurations.parse(configurations.change(values, row.changes), where=row.name)
    return changed.source == changed.target


# Maps side by side


def _maps(
    settings: configurations.Configuration, results: Sequence[Result], out: Path
) -> list[Path]:
    """Draw windows of the target, their labels where there are some, and every row's map.

    The rows' first seeds are shown; those windows are the ones that validators look at first.
    """
    shown: dict[str, Result] = {}
    for result in results:
        shown.setdefault(result.row, result)
    scheme = build.class_scheme(settings)
    pictures: list[dict[str, NDArray[np.uint8]]] = [{} for _ in range(SHOWN)]
    for row, result in shown.items():
        model = load(result.run)
        for panels, sample in zip(pictures, _samples(settings, model), strict=False):
            if not panels:
                panels.update(_given(sample, scheme.paint))
            panels[row] = scheme.paint(_predicted(model, sample))
    drawn = []
    for number, panels in enumerate(filter(None, pictures), start=1):
        drawn.append(out / f"maps-{number}.png")
        report.gallery(drawn[-1], panels, scheme, title=f"Target, window {number}")
    return drawn


def _samples(settings: configurations.Configuration, model: Model) -> list[Sample]:
    """The windows that are shown, standardised as a model takes them."""
    own = model.facts.settings
    same = own.model_copy(update={"root": settings.root, "training": settings.training})
    windows, _ = build.target_windows(same, build.places(same), model.facts.normalise, labels=True)
    return [windows[number] for number in range(SHOWN)]


def _given(sample: Sample, paint: Any) -> dict[str, NDArray[np.uint8]]:
    """Image and label of a window."""
    bands = (0, 1, 2) if len(sample.image) > 2 else (0, 0, 0)
    pictures = {
        "image": report.natural_colours(sample.image.numpy(), sample.valid.numpy(), bands=bands)
    }
    if sample.label is not None:
        pictures["label"] = paint(sample.label.numpy().astype(np.uint8))
    return pictures


def _predicted(model: Model, sample: Sample) -> NDArray[np.uint8]:
    """Train ids of a window, 255 where invalid."""
    height, width = sample.valid.shape
    predict = answers(model.parts, "target", build.inference(model.facts.settings))
    with torch.inference_mode():
        logits = predict(sample.image[None].to(model.device), (height, width))
    ids = logits.argmax(1)[0].to(torch.uint8).cpu()
    found: NDArray[np.uint8] = ids.where(sample.valid, torch.tensor(255, dtype=torch.uint8)).numpy()
    return found
