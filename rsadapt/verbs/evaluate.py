"""Evaluate: score a run, or finished maps, against labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rsadapt import build
from rsadapt.errors import DataError
from rsadapt.model import open_model
from rsadapt.progress import Progress
from rsadapt.scoring import score

Report = dict[str, Any]
"""What `ConfusionMatrix.to_dict` gives."""


@build.process_kept()
def evaluate(
    run: Path,
    *,
    recipe: Path | None = None,
    assignments: Sequence[str] = (),
    data: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Report]:
    """Score a network on the validation part of every labelled domain.

    Args:
        run: a run's folder or checkpoint; with `recipe` a bare weight file of any known naming.
        recipe: the configuration, or the ready recipe's name, that bare weights belong to.
        assignments: "dotted.key=value" changes to the recipe.
        data: the folder of the data, in place of the one that the run or recipe names.
        progress: called with a task's name, samples scored and samples in all.

    Returns:
        The report of each domain, "source" and "target", that has labels.

    Raises:
        MissingFileError: for a run, images or labels that are not there.
        CheckpointError: for a checkpoint or weight file that cannot be used.
        DataError: for data that cannot be read, or where no domain has labels to score.
    """
    model = open_model(run, recipe=recipe, assignments=assignments, data=data, progress=progress)
    reports = score(
        build.scored(model.facts.settings),
        model.parts,
        model.facts,
        device=model.device,
        progress=progress,
    )
    if not reports:
        raise DataError(
            f"{run}: no region of this run had labels and a validation part; predict labelled "
            f"scenes with it and score the maps: rsadapt evaluate MAPS --labels DIR"
        )
    return reports


def evaluate_maps(
    maps: Path, labels: Path, *, classes: Path | None = None, progress: Progress | None = None
) -> Report:
    """Score a folder of class maps against a folder of label rasters of the same names.

    Args:
        maps: folder of maps; a map may carry the suffix "_classes" that `predict` gives.
        labels: folder of label rasters on the maps' grids.
        classes: a configuration whose class table to use; the one that `predict` wrote into the
            maps by default.
        progress: called with a task's name, maps scored and maps in all.

    Raises:
        MissingFileError: for a folder or file that is not there.
        DataError: for maps without labels, other grids, ids outside the class table, or maps that
            hold no class table where none is given.
    """
    from rsadapt.infer import map_scores

    pairs = map_scores.pair_by_name(maps, labels)
    if classes is None:
        scheme = map_scores.scheme_of_maps([path for path, _ in pairs])
    else:
        scheme = build.class_scheme(build.configuration(classes))
    return map_scores.evaluate_maps(pairs, scheme, progress).to_dict(scheme.names)
