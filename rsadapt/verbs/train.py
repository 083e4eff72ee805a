"""Train: one run from a configuration file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsadapt import build
from rsadapt.progress import Progress
from rsadapt.training import Outcome, train_run


def train(
    config: Path,
    *,
    out: Path | None = None,
    data: Path | None = None,
    init: Path | None = None,
    assignments: Sequence[str] = (),
    resume: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Train a network as a configuration says, into a run folder.

    Args:
        config: the configuration, YAML, or a ready recipe's name.
        out: the run's folder, new or empty; `runs/` and the configuration's name by default.
        data: the folder of the data, in place of the one that the configuration names.
        init: a run or weight file to start from, in place of `init_from`.
        assignments: "dotted.key=value" changes to the configuration.
        resume: go on with the run in `out` from its last checkpoint.
        progress: called with a task's name, steps done and steps in all.

    Raises:
        RsadaptError: for anything wrong with the configuration, the data or the folder; nothing is
            written then.
        InterruptedTrainingError: after Ctrl-C or SIGTERM, once the state is saved.
    """
    settings = build.configuration(config, assignments, data=data)
    if init is not None:
        settings = settings.model_copy(update={"init_from": str(init.resolve())})
    folder = out or Path("runs") / config.stem
    return train_run(settings, folder, resume=resume, progress=progress)
