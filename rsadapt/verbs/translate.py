"""Translate: the source's scenes in the target's look, for looking and to train on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rsadapt import build
from rsadapt.errors import ConfigError, OutputExistsError
from rsadapt.model import load
from rsadapt.progress import Progress, Watch
from rsadapt.whole import write_text

if TYPE_CHECKING:
    from rsadapt.config import RegionSettings

SCENES, REPORT = "scenes", "translation.json"
"""What lies in the folder beside what a run's holds."""


@dataclass(frozen=True)
class Translated:
    """What was written.

    Attributes:
        scenes: a GeoTIFF for each scene of the source.
        report: see `rsadapt.translated_scenes.check_translation`.
    """

    scenes: tuple[Path, ...]
    report: dict[str, Any]


@build.process_kept()
def translate(
    config: Path,
    *,
    out: Path,
    by: Literal["cyclegan", "fcan"] | None = None,
    trained: Path | None = None,
    check: Path | None = None,
    data: Path | None = None,
    assignments: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Translated:
    """Train a translator between a configuration's domains, and write the source's scenes with it.

    It learns from the training imagery of both, and from no label. `out` holds what a run's folder
    does, `scenes/NAME.tif` for each scene of the source, and `translation.json`. To train on them
    name them as `source.scenes`; labels and all else stay. They hold the bands that were used, in
    order: where those were chosen by `bands`, leave that out of the source's.

    Args:
        config: the configuration, YAML; `translation` says how.
        out: folder, new or empty unless `trained` or `resume` is given.
        by: "cyclegan" (Zhu et al. 2017) or "fcan" (appearance adaptation, Zhang et al. 2018), in
            place of `translation.by`.
        trained: a translator's folder or checkpoint: only write with it.
        check: a run on the same domains, whose network's agreement with the source's labels is
            reported before and after.
        data: the folder of the data, in place of the one that the configuration names.
        assignments: "dotted.key=value" changes to the configuration.
        resume: go on with the training in `out` from its last checkpoint.
        overwrite: replace scenes that are there already.
        progress: called with a task's name, what is done and all that is to do.
        watch: called with every line of the training's `metrics.jsonl`.

    Raises:
        RsadaptError: for anything wrong with the configuration, the data or the folder.
        InterruptedTrainingError: after Ctrl-C or SIGTERM, once the state is saved.
        NonFiniteError: where a loss or a weight became NaN or infinite; nothing of that is saved.
    """
    from rsadapt.build.translation import translation_settings
    from rsadapt.translated_scenes import (
        check_translation,
        refuse_originals,
        source_images,
        write_scenes,
    )
    from rsadapt.translator import open_translator, train_translator

    if trained is not None and (resume or by is not None):
        raise ConfigError(
            "a trained translator is given, which only writes; leave out --by and --resume"
        )
    changes = [*assignments, *([f"translation.by={by}"] if by else [])]
    settings = build.configuration(config, changes, data=data)
    places = build.geotiff_places(translation_settings(settings))
    bands = tuple(places.source.training.bands)
    if check is not None:  # told before hours of training
        _check_bands(bands, load(check).facts.bands, check)
    refuse_originals(places, out / SCENES)
    if trained is None:
        train_translator(settings, out, resume=resume, progress=progress, watch=watch)
    elif (out / REPORT).exists() and not overwrite:
        raise OutputExistsError(
            f"{out / REPORT} exists already; choose another folder, or --overwrite"
        )
    translator = open_translator(trained or out)
    region = cast("RegionSettings", settings.source)
    _check_bands(bands, translator.bands, translator.file)
    written = write_scenes(
        translator,
        source_images(places, region),
        bands,
        out / SCENES,
        overwrite=overwrite,
        progress=progress,
    )
    scenes = tuple(file for scene in written for file in scene.files)
    report = check_translation(translator, places, region, scenes, check, progress=progress)
    write_text(out / REPORT, json.dumps(report, indent=2) + "\n")
    return Translated(scenes, report)


def _check_bands(ours: Sequence[int], theirs: Sequence[int], file: Path) -> None:
    """Refuse what was trained on other bands of the source, which would be taken for these.

    Raises:
        ConfigError: with the cure.
    """
    if tuple(ours) != tuple(theirs):
        raise ConfigError(
            f"{file}: was trained on bands {list(theirs)} of the source, and the configuration "
            f"reads {list(ours)}; choose its bands with 'bands'"
        )
