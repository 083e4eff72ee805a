"""One training run from a configuration: check, train, validate, record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rsadapt import build, config
from rsadapt.adapt import checkpoint
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.method import Parts
from rsadapt.adapt.trainer import Learner, train
from rsadapt.data.stream import in_order
from rsadapt.errors import DataError
from rsadapt.geo.normalise import Normaliser
from rsadapt.infer.evaluate import evaluate_samples
from rsadapt.model import Facts, probabilities, warm_start
from rsadapt.progress import Progress, watched
from rsadapt.run import RunFolder, environment
from rsadapt.sample import Batch

LEAST_VALIDATION = 16
"""Pixels of a validation part's side: a network needs some cells to look at."""


@dataclass(frozen=True)
class Outcome:
    """What a finished run came to.

    Attributes:
        run: its folder.
        step: training steps done.
        validation: by domain, the report of `ConfusionMatrix.to_dict` at the final step; a domain
            without labels, or without a validation part, has none.
    """

    run: RunFolder
    step: int
    validation: dict[str, Any]


@dataclass
class _Session:
    """The objects of a run, checked and ready to train."""

    settings: config.Configuration
    places: build.Places
    learner: Learner
    facts: Facts

    def restore(self, state: dict[str, Any]) -> int:
        """Load the state that `save` wrote; return the steps done."""
        parts = self.learner.parts
        parts.network.load_state_dict(state["network"])
        parts.statistics.load_state_dict(state["statistics"])
        for name, other in parts.others.items():
            other.load_state_dict(state["others"][name])
        for name, optimiser in self.learner.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        torch.set_rng_state(state["random"])
        step: int = state["step"]
        return step

    def save(self, run: RunFolder, done: int) -> None:
        """Write the state after `done` steps."""
        parts, optimisers = self.learner.parts, self.learner.optimisers
        checkpoint.save(
            run.checkpoint,
            {
                "step": done,
                "facts": self.facts.to_json(),
                "network": parts.network.state_dict(),
                "statistics": parts.statistics.state_dict(),
                "others": {name: other.state_dict() for name, other in parts.others.items()},
                "optimisers": {name: o.state_dict() for name, o in optimisers.items()},
                "random": torch.get_rng_state(),
            },
        )

    def train(self, run: RunFolder, start: int, progress: Progress | None) -> None:
        """Train from `start` to the end of the schedule."""
        steps = self.settings.training.steps
        clock = time.perf_counter()

        def log(done: int, losses: dict[str, float]) -> None:
            nonlocal clock
            now = time.perf_counter()
            run.append({"step": done, "losses": losses, "seconds": round(now - clock, 3)})
            clock = now
            if progress is not None:
                progress("train", done, steps)

        def batches(domain: Domain) -> Iterator[Batch]:
            windows = build.training_windows(
                self.settings, self.places, self.facts.normalise, domain
            )
            return build.batches(self.settings, windows, start, self.learner.fabric)

        train(
            self.learner,
            schedule=build.schedule(self.settings),
            start=start,
            source=batches("source"),
            target=batches("target") if self.learner.method.uses_target else None,
            log=log,
            validate=lambda done: self.log_validation(run, done, progress),
            save=lambda done: self.save(run, done),
        )

    def log_validation(self, run: RunFolder, done: int, progress: Progress | None) -> None:
        """Score the network and write the figures down."""
        reports = score(
            self.places,
            self.learner.parts,
            self.facts,
            device=self.learner.fabric.device,
            progress=progress,
        )
        run.append({"step": done, "validation": reports})


def train_run(
    settings: config.Configuration,
    out: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Train one run into a folder.

    All input is read and checked before the folder is made, so that a mistake leaves nothing.
    Target labels are read to check their ids and to validate, never to train.

    Args:
        settings: resolved configuration (see `build.configuration`).
        out: folder of the run, new or empty.
        resume: go on in a folder that already holds the run.
        progress: is told of the steps done.

    Raises:
        RsadaptError: for anything wrong with the configuration, the data or the folder.
        InterruptedTrainingError: after Ctrl-C, once the state is saved.
    """
    run = RunFolder(out)
    if resume:
        run.check_run(config.dump(settings))
    else:
        run.check_free()
    state = checkpoint.load(run.checkpoint) if resume and run.checkpoint.exists() else None
    if state is None:
        session = _prepare(settings, progress)
    else:
        facts = Facts.from_json(state["facts"], where=run.checkpoint)
        learner = build.learner(settings, len(facts.bands))
        session = _Session(settings, build.places(settings), learner, facts)
    session.learner.set_up()
    start = 0 if state is None else session.restore(state)
    if not resume:
        run.create(config.dump(settings), session.facts.record)
    run.rewind(start)
    session.train(run, start, progress)
    steps = settings.training.steps
    if run.validation(steps) is None:
        session.log_validation(run, steps, progress)
    return Outcome(run, steps, run.validation(steps) or {})


def score(
    places: build.Places,
    parts: Parts,
    facts: Facts,
    *,
    device: torch.device,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a network on the validation part of each labelled domain.

    Returns:
        By domain, the report of `ConfusionMatrix.to_dict`.
    """
    reports: dict[str, Any] = {}
    for domain, region in places.scored().items():
        windows = build.evaluation_windows(facts.settings, region, facts.normalise[domain])
        matrix = evaluate_samples(
            in_order(
                watched(windows, f"score {domain}", progress),
                facts.settings.prediction.batch_size,
            ),
            probabilities(parts, domain),
            num_classes=len(facts.settings.classes),
            device=device,
        )
        reports[domain] = matrix.to_dict(build.class_scheme(facts.settings).names)
    return reports


def _prepare(settings: config.Configuration, progress: Progress | None) -> _Session:
    """Open, read and check all that a new run needs."""
    places = build.places(settings)
    _check_labels(settings, places, progress)
    bands = places.source.training.bands
    learner = build.learner(settings, len(bands))
    source = warm_start(learner.parts, settings, bands)
    if source is None:
        source = Normaliser.from_statistics(places.source.training.statistics(progress))
    target = Normaliser.from_statistics(places.target.training.statistics(progress))
    normalise = build.normalisers(settings, source, target)
    for domain in normalise:  # what cannot give a first sample is refused before anything is made
        build.training_windows(settings, places, normalise, domain)[0]
    facts = Facts(settings, normalise, bands, _record(settings))
    return _Session(settings, places, learner, facts)


def _check_labels(
    settings: config.Configuration, places: build.Places, progress: Progress | None
) -> None:
    """Read every label once: unknown ids and damaged files show before anything is written."""
    scheme = build.class_scheme(settings)
    for region in places.scored().values():
        for scene in region.scenes:
            if min(scene.area.height, scene.area.width) < LEAST_VALIDATION:
                raise DataError(
                    f"{scene.image.path}: the validation part is {scene.area.height} x "
                    f"{scene.area.width} pixels, too narrow to be predicted; give it at least "
                    f"{LEAST_VALIDATION} with a greater 'validation.share', or 0 for none"
                )
    for region in places.labelled_regions():
        counts = region.class_counts(scheme, progress)
        if not counts[:-1].any():
            raise DataError(
                f"{region.name} region: its {region.scenes[0].image.path.name} and others have no "
                f"labelled valid pixel; check 'classes' and 'ignored_ids'"
            )


def _record(settings: config.Configuration) -> dict[str, Any]:
    """The facts every result must state, and where they were made."""
    return {
        "seed": settings.seed,
        "method": settings.method.name,
        "classes": len(settings.classes),
        "initial_weights": settings.init_from
        or ("ImageNet (torchvision)" if settings.network.pretrained else "random"),
        "batch_norm": build.batch_norm_policy(settings),
        "evaluation": f"windows of {settings.prediction.tile} pixels at the scene's own resolution",
        "target_split": _target_split(settings),
        **environment(),
    }


def _target_split(settings: config.Configuration) -> str:
    """What of the target training saw, in words."""
    if settings.target.scenes == settings.source.scenes:
        return "trained with the target's labels, which are the source's"
    if not build.method(settings).uses_target:
        return "statistics of its images at most"
    split = settings.target.validation
    kept = f" but the {split.side} {split.share:.0%}" if split.share else ""
    return f"trained on all{kept}, without labels"
