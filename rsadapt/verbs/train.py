"""Train: one run from a configuration file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsadapt import build
from rsadapt.adapt import ranks
from rsadapt.benchmark_rows import initial_weights
from rsadapt.config import Configuration, RegionSettings, change, parse
from rsadapt.progress import Progress, Watch
from rsadapt.study import Row
from rsadapt.training import Outcome, train_run

OF_FRAMES = ("bands", "normalise_by", "normalisation")
"""Fields that ImageNet weights ask of 8-bit colour frames; scenes are standardised by their own."""


@ranks.together()
def train(
    config: Path,
    *,
    out: Path | None = None,
    data: Path | None = None,
    init: Path | str | None = None,
    assignments: Sequence[str] = (),
    resume: bool = False,
    tensorboard: bool = False,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Train a network as a configuration says, into a run folder.

    Args:
        config: the configuration, YAML, or a ready recipe's name.
        out: the run's folder, new or empty; `runs/` and the configuration's name by default.
        data: the folder of the data, in place of the one that the configuration names.
        init: a run or weight file to start from, "imagenet" (torchvision's) or "random", in place
            of what the configuration names.
        assignments: "dotted.key=value" changes to the configuration.
        resume: go on with the run in `out` from its last checkpoint.
        tensorboard: write curves and example tiles for TensorBoard into the run's folder.
        progress: called with a task's name, steps done and steps in all.
        watch: called with every line of the run's `metrics.jsonl`: losses, figures, validations.

    Raises:
        RsadaptError: for anything wrong with the configuration, the data or the folder; nothing is
            written then.
        InterruptedTrainingError: after Ctrl-C or SIGTERM, once the state is saved.
        NonFiniteError: where a loss or a weight became NaN or infinite; nothing of that is saved.
    """
    settings = run_settings(
        config, data=data, init=init, assignments=assignments, tensorboard=tensorboard
    )
    return train_run(
        settings, run_folder(config, out), resume=resume, progress=progress, watch=watch
    )


def run_settings(
    config: Path,
    *,
    data: Path | None,
    init: Path | str | None,
    assignments: Sequence[str],
    tensorboard: bool,
) -> Configuration:
    """The settings that a run is trained with; see `train` for the arguments."""
    settings = build.configuration(config, assignments, data=data)
    if init is not None:
        settings = _started_from(str(init), settings, where=f"{config}, --init {init}")
    if tensorboard:
        fields = {"training.tensorboard": True}
        settings = parse(change(settings.model_dump(), fields), where=config)
    return settings


def run_folder(config: Path, out: Path | None) -> Path:
    """The folder of a run, `out` unless there is none."""
    return out or Path("runs") / config.stem


def _started_from(init: str, settings: Configuration, *, where: str) -> Configuration:
    """The settings with other initial weights, as a benchmark's rows are given them."""
    fields = initial_weights(init, Row("train"), None) or {}
    if "init_from" not in fields:
        fields = {"init_from": None, "network.pretrained": False} | fields
    if isinstance(settings.source, RegionSettings):
        fields = {field: value for field, value in fields.items() if field not in OF_FRAMES}
    return parse(change(settings.model_dump(), fields), where=where)
