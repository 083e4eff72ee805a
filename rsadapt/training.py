"""One training run from a configuration: check, train, validate, record."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rsadapt import build, checkpoints, config, weights
from rsadapt.adapt import checkpoint, ranks, state
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.method import Parts
from rsadapt.adapt.trainer import Learner, due, train
from rsadapt.data.imagery import Imagery, Places
from rsadapt.data.stream import Dealt, in_order
from rsadapt.data.supply import Supply
from rsadapt.errors import CheckpointError, MissingFileError
from rsadapt.infer.evaluate import evaluate_samples
from rsadapt.model import PARTS, Facts, answers, record, warm_start
from rsadapt.progress import Progress, watched
from rsadapt.run import RunFolder, WatchedFolder
from rsadapt.whole import sync


@dataclass(frozen=True)
class Outcome:
    """What a finished run came to.

    Attributes:
        run: its folder.
        step: training steps done.
        validation: by domain, the report of `ConfusionMatrix.to_dict` at the final step; a domain
            without labels, or without a validation part, has none.
        feeding: how long was waited for data, as `Supply.report` has it; None after a few steps.
    """

    run: RunFolder
    step: int
    validation: dict[str, Any]
    feeding: dict[str, Any] | None = None


@dataclass
class _Session:
    """The objects of a run, checked and ready to train."""

    settings: config.Configuration
    places: Places[Imagery]
    learner: Learner
    facts: Facts

    def save(self, keeper: checkpoints.Keeper, done: int) -> None:
        """Write the state after `done` steps, and the network beside it."""
        sync(keeper.run.metrics)  # no step that is saved may be missing in the log
        facts = {"step": done, "facts": self.facts.to_json()}
        keeper.write(done, facts | state.gather(self.learner))
        self.write_weights(keeper.run, done)

    def write_weights(self, run: RunFolder, done: int) -> None:
        """Write the network for other programs, unless it is there as of `done` steps."""
        if _written_step(run.weights) != done:
            tensors = self.learner.parts.network.state_dict()
            weights.write_safetensors(run.weights, tensors, self.facts.told(done))

    def train(self, keeper: checkpoints.Keeper, start: int, progress: Progress | None) -> None:
        """Train from `start` to the end of the schedule."""
        run = keeper.run
        steps = self.settings.training.steps
        every = self.settings.training.validate_every
        if 0 < start < steps and due(start, every) and run.validation(start) is None:
            self.log_validation(run, start, progress)  # a run that died in it had saved before
        clock, waited = time.perf_counter(), 0.0
        supply = self.supply(run, start, progress)

        def log(done: int, losses: dict[str, float]) -> None:
            nonlocal clock, waited
            now = time.perf_counter()
            waiting = round((supply.waited - waited) / (now - clock), 4)
            seconds = round(now - clock, 3)
            run.append({"step": done, "losses": losses, "seconds": seconds, "waiting": waiting})
            clock, waited = now, supply.waited
            if progress is not None:
                progress("train", done, steps)

        def save(done: int) -> None:
            if ranks.first():
                self.save(keeper, done)
            ranks.wait()  # who left first could have the others ended before it is whole

        with closing(supply):
            train(
                self.learner,
                schedule=build.schedule(self.settings),
                start=start,
                source=supply.batches("source"),
                target=supply.batches("target") if self.learner.method.uses_target else None,
                log=log,
                validate=lambda done: self.log_validation(run, done, progress),
                save=save,
            )
            if (report := supply.report()) is not None:
                run.append({"step": steps, "feeding": report})

    def supply(self, run: RunFolder, start: int, progress: Progress | None) -> Supply:
        """The batches from step `start` on."""
        domains: list[Domain] = ["source", "target"]
        samples = {
            domain: build.training_samples(
                self.settings,
                self.places,
                self.facts.normalise,
                domain,
                progress,
                scratch=run.path,
            )
            for domain in domains[: 1 + self.learner.method.uses_target]
        }

        def chosen(workers: int, reason: str) -> None:
            run.append({"step": start, "workers": workers, "reason": reason})

        return build.supply(self.settings, samples, start, self.learner.fabric, chosen)

    def log_validation(self, run: RunFolder, done: int, progress: Progress | None) -> None:
        """Score the network and write the figures down."""
        reports = score(
            self.places.scored(),
            self.learner.parts,
            self.facts,
            device=self.learner.fabric.device,
            progress=progress,
        )
        run.append({"step": done, "validation": reports})
        ranks.wait()  # all may read what is written


def train_run(
    settings: config.Configuration,
    out: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
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

    Raises:
        RsadaptError: for anything wrong with the configuration, the data or the folder.
        InterruptedTrainingError: after Ctrl-C, once the state is saved.
        LostProcessError: where another process of a distributed run ended.
    """
    ranks.join()
    run = RunFolder(out) if ranks.first() else WatchedFolder(out)
    progress = progress if ranks.first() else None
    resume = resume and not run.unbegun()
    if resume:
        run.check_run(config.dump(settings))
        run.check_processes(ranks.count())
    else:
        run.check_free()
    found = checkpoints.load(run.path) if resume and checkpoints.candidates(run) else None
    if found is None:
        files = [run.statistics] if cache is None else [run.statistics, cache]
        known = {
            mark: found for file in files for mark, found in build.read_statistics(file).items()
        }
        session = _prepare(settings, known, progress)
    else:
        checkpoint.require(found.state, {*PARTS, *state.PARTS}, where=found.file)
        facts = Facts.from_json(found.state["facts"], where=found.file)
        facts = replace(facts, settings=settings)  # the same but for what may change on the way
        learner = build.learner(settings, len(facts.bands))
        session = _Session(settings, build.places(settings), learner, facts)
    session.learner.set_up()
    start = 0
    if found is not None:
        state.restore(session.learner, found.state)
        start = found.state["step"]
    if not resume:
        taken = {str(name): found.to_dict() for name, found in session.facts.statistics.items()}
        run.create(config.dump(settings), session.facts.record, taken)
    if cache is not None and ranks.first():
        build.keep_statistics(cache, session.facts.statistics)
    run.rewind(start)
    if found is not None and ranks.first():
        session.write_weights(run, start)  # a run that died before had not yet
    ranks.wait()
    keep, keep_every, steps = (
        settings.training.keep,
        settings.training.keep_every,
        settings.training.steps,
    )
    keeper = checkpoints.Keeper(run, keep=keep, keep_every=keep_every, found=found)
    session.train(keeper, start, progress)
    if run.validation(steps) is None:
        session.log_validation(run, steps, progress)
    return Outcome(run, steps, run.validation(steps) or {}, run.feeding())


def score(
    scored: Mapping[Domain, Imagery],
    parts: Parts,
    facts: Facts,
    *,
    device: torch.device,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a network.

    Args:
        scored: what to score on, by domain.
        parts: the network.
        facts: what holds for it.
        device: where it is.
        progress: is told of the samples done.

    Returns:
        By domain, the report of `ConfusionMatrix.to_dict`, with the "initial_weights" that the
        run began with, and what the "statistics" were taken of that images are standardised by,
        where that is known.
    """
    reports: dict[str, Any] = {}
    scheme = build.class_scheme(facts.settings)
    for domain, imagery in scored.items():
        samples = build.evaluation_samples(facts.settings, imagery, facts.normalise[domain])
        batch_size = facts.settings.prediction.batch_on(device.type)
        mine = Dealt(samples, batch_size, rank=ranks.rank(), ranks=ranks.count())
        matrix = evaluate_samples(
            in_order(watched(mine, f"score {domain}", progress), batch_size),
            answers(parts, domain),
            num_classes=len(scheme),
            device=device,
        )
        counts = ranks.total(torch.tensor([*matrix.counts.flat, matrix.missed]))
        matrix.counts = counts[:-1].numpy().reshape(matrix.counts.shape)
        matrix.missed = int(counts[-1])
        report = matrix.to_dict(scheme.names)
        reports[domain] = report | {"initial_weights": facts.record["initial_weights"]}
        if (basis := facts.basis(domain)) is not None:
            reports[domain]["statistics"] = basis
    return reports


def _prepare(
    settings: config.Configuration, known: build.Known, progress: Progress | None
) -> _Session:
    """Open, read and check all that a new run needs, but for statistics that are known."""
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
    facts = Facts(settings, normalise, bands, record(settings, start.weights, taken), taken, pixels)
    return _Session(settings, places, learner, facts)


def _written_step(file: Path) -> int | None:
    """The steps after which a run wrote its network for other programs; None where nobody knows."""
    try:
        return int(weights.safetensors_facts(file)["step"])
    except (MissingFileError, CheckpointError, LookupError, ValueError):
        return None


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
