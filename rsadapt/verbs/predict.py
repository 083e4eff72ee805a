"""Predict: scenes in, georeferenced class maps out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rsadapt import build
from rsadapt.adapt.batch_norm import Domain
from rsadapt.errors import OutputExistsError
from rsadapt.geo.raster import Raster
from rsadapt.infer.evaluate import CLASSES_TAG
from rsadapt.infer.predict import PredictedScene, predict_scene
from rsadapt.model import Model, load, probabilities
from rsadapt.progress import Progress


def predict(
    run: Path,
    scenes: Sequence[Path],
    out: Path,
    *,
    domain: Domain = "target",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[PredictedScene]:
    """Write a class map and a confidence map of each scene.

    Args:
        run: a run's folder or checkpoint.
        scenes: rasters with the bands of the run; of any size.
        out: folder for the maps, made where it is missing.
        domain: the region the scenes belong to, whose normalisation and batch-norm statistics
            they are predicted with.
        overwrite: replace maps that are already there.
        progress: called with a scene's name, its rows done and its rows in all.

    Raises:
        MissingFileError: for a scene or a run that is not there.
        CheckpointError: for a checkpoint that cannot be used.
        DataError: for a scene that cannot be read, or lacks bands of the run.
        OutputExistsError: for maps that are already there, or scenes of one name.
    """
    model = load(run)
    rasters = [Raster(scene) for scene in scenes]
    for raster in rasters:
        build.check_bands(raster, model.facts.bands)
    _refuse_same_names(scenes)
    settings = model.facts.settings.prediction
    return [
        predict_scene(
            raster,
            out,
            scheme=model.scheme,
            predict=probabilities(model.parts, domain),
            normalise=model.facts.normalise[domain],
            bands=model.facts.bands,
            tile=settings.tile,
            overlap=settings.overlap,
            batch_size=settings.batch_size,
            device=model.device,
            tags=_tags(model, run, raster.path, domain),
            overwrite=overwrite,
            progress=progress,
        )
        for raster in rasters
    ]


def _refuse_same_names(scenes: Sequence[Path]) -> None:
    stems = [scene.stem for scene in scenes]
    for stem in stems:
        if stems.count(stem) > 1:
            raise OutputExistsError(
                f"{stems.count(stem)} scenes are called '{stem}' and would write the same map; "
                f"predict them into folders of their own"
            )


def _tags(model: Model, run: Path, scene: Path, domain: Domain) -> dict[str, str]:
    """What a map says of its origin."""
    record = model.facts.record
    return {
        "RSADAPT_RUN": str(run.resolve()),
        "RSADAPT_SCENE": str(scene.resolve()),
        "RSADAPT_DOMAIN": domain,
        "RSADAPT_STEP": str(model.step),
        "RSADAPT_METHOD": str(record["method"]),
        "RSADAPT_SEED": str(record["seed"]),
        "RSADAPT_COMMIT": str(record["commit"]),
        CLASSES_TAG: json.dumps(model.scheme.to_dict()),
    }
