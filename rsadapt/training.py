"""One training run from a configuration: checked, made or found again, trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsadapt import build, checkpoints, config
from rsadapt.adapt import checkpoint, ranks, state
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.trainer import Learner
from rsadapt.data.imagery import Imagery, Places
from rsadapt.model import PARTS, Facts, record, warm_start
from rsadapt.progress import Progress, Watch
from rsadapt.run import RunFolder, WatchedFolder
from rsadapt.session import Session


@dataclass(frozen=True)
class Outcome:
    """What a finished run came to.

    Attributes:
        run: its folder.
        step: training steps done.
        validation: by domain, the report of `ConfusionMatrix.to_dict` at the final step; a domain
            without labels, or without a validation part, has none.
        feeding: how long steps waited for batches, see `Supply.report`; None where nobody measured.
    """

    run: RunFolder
    step: int
    validation: dict[str, Any]
    feeding: dict[str, Any] | None = None


@build.process_kept()
def train_run(
    settings: config.Configuration,
    out: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Train one run into a folder.

    All input is read and checked before the folder is made, so that a mistake leaves nothing. What
    a run left that died in making it is as good as an empty one.
    Target labels are read to check their ids and to validate, never to train.

    Args:
        settings: resolved configuration (see `build.configuration`).
        out: folder of the run, new or empty.
        resume: go on in a folder that already holds the run; `run.NO_MATTER` may have changed.
        cache: a file of statistics of imagery, that runs share: what it keeps is not taken again,
            and what is taken is added.
        progress: is told of the steps done.
        watch: is told of every event of the run.

    Raises:
        RsadaptError: for anything wrong with the configuration, the data or the folder.
        InterruptedTrainingError: after Ctrl-C, once the state is saved.
        LostProcessError: where another process of a distributed run ended.
        NonFiniteError: where a loss or a weight became NaN or infinite; nothing of that is saved.
    """
    check_packages(settings)
    ranks.join()
    run = RunFolder(out) if ranks.first() else WatchedFolder(out)
    if not ranks.first():
        progress = watch = None
    resume = resume and not run.unbegun()
    if resume:
        run.check_run(config.dump(settings), renewed=config.renewed)
        run.check_processes(ranks.count())
    else:
        run.check_free()
    found = checkpoints.load(run.path) if resume and checkpoints.candidates(run) else None
    if found is None:
        files = [run.statistics] if cache is None else [run.statistics, cache]
        known = {
            mark: taken for file in files for mark, taken in build.read_statistics(file).items()
        }
        places, learner, facts = prepare(settings, known, progress)
    else:
        checkpoint.require(found.state, {*PARTS, *state.PARTS}, where=found.file)
        facts = Facts.from_json(found.state["facts"], where=found.file)
        settings = settings.model_copy(update={"bands": facts.settings.bands})  # an old run's
        facts = replace(facts, settings=settings)  # the same but for what may change on the way
        bare = settings.network.model_copy(update={"pretrained": False})  # all weights are there
        made = settings.model_copy(update={"network": bare})
        places, learner = build.places(settings), build.learner(made, len(facts.bands))
    learner.set_up()
    if found is not None:
        state.restore(learner, found.state)
    if not resume:
        statistics = {str(name): taken.to_dict() for name, taken in facts.statistics.items()}
        run.create(config.dump(settings), facts.record, statistics)
    if cache is not None and ranks.first():
        build.keep_statistics(cache, facts.statistics)
    run.rewind(0 if found is None else found.state["step"])
    ranks.wait()  # all may read what is written
    session = Session(
        settings, places, learner, facts, run, found=found, progress=progress, watch=watch
    )
    with closing(session):
        session.train()
    steps = settings.training.steps
    return Outcome(run, steps, run.validation(steps) or {}, run.feeding())


def check_packages(settings: config.Configuration) -> None:
    """Make sure, before anything is read, that what a run asks for is installed.

    Raises:
        MissingFileError: naming the package that is not.
    """
    if settings.training.tensorboard:
        from rsadapt.curves import writer_class

        writer_class()


def prepare(
    settings: config.Configuration, known: build.Known, progress: Progress | None = None
) -> tuple[Places[Imagery], Learner, Facts]:
    """Open, read and check all that a new run needs, and write nothing.

    Args:
        settings: its configuration.
        known: statistics that need not be taken.
        progress: is told of what is read.

    Returns:
        The imagery of both domains, what learns, and what was decided once for the run.
    """
    places = build.places(settings)
    scheme = build.class_scheme(settings)
    if ranks.first():
        for imagery in places.labelled():  # unknown ids and damage show before anything is written
            imagery.check(scheme, progress)
    bands = places.source.training.bands
    learner = build.learner(settings, len(bands))
    start = warm_start(learner.parts, settings, bands)
    taken = ranks.first_does(
        lambda: build.take_statistics(
            settings,
            places,
            settled=start.normalise is not None,
            known={**known, **start.known},
            progress=progress,
        )
    )
    normalise = build.normalisers(settings, places, taken, source=start.normalise)
    for domain in normalise:  # what cannot give a first sample is refused before anything is made
        build.training_samples(settings, places, normalise, domain)[0]
    for imagery in places.scored().values():
        build.evaluation_samples(settings, imagery, normalise["target"])
    pixels = build.ground_pixels(places)
    _warn_of_other_sizes(pixels)
    told, theirs = record(settings, start.weights, taken), places.target.training.bands
    facts = Facts(settings, normalise, bands, told, taken, pixels, theirs)
    return places, learner, facts


def _warn_of_other_sizes(pixels: Mapping[Domain, float]) -> None:
    """Tell where a pixel is of another size on the ground in the source than in the target."""
    ours, theirs = pixels.get("source"), pixels.get("target")
    if ours is None or theirs is None:
        return
    from rsadapt.geo.place import sizes_differ  # with rasterio, which image folders do without

    if not sizes_differ(ours, theirs):
        return
    finer = "source" if ours < theirs else "target"
    warnings.warn(
        f"a pixel is {ours:.3g} m on the ground in the source and {theirs:.3g} m in the target, so "
        f"that things look of other sizes; --set {finer}.pixel={max(ours, theirs):.3g} brings "
        f"them to one",
        stacklevel=2,
    )
