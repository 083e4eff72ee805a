"""A run at work: trained, validated, saved and watched, from a step to the end of its schedule."""

from __future__ import annotations

import shlex
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from rsadapt import build, checkpoints, config, weights
from rsadapt.adapt import ranks, state
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.figures import Said
from rsadapt.adapt.trainer import Learner, due, train
from rsadapt.data.imagery import Imagery, Places
from rsadapt.data.supply import Supply
from rsadapt.errors import CheckpointError, MissingFileError, NonFiniteError
from rsadapt.model import Facts
from rsadapt.peak import Peak
from rsadapt.progress import Progress, Watch
from rsadapt.run import RunFolder
from rsadapt.scoring import judge, score
from rsadapt.watching import Watching
from rsadapt.whole import sync

if TYPE_CHECKING:
    from rsadapt.curves import Curves

TILES = 2
"""Samples of each domain that TensorBoard shows."""


class Session:
    """Trains a run that is checked and whose folder is made; close it at the end.

    Args:
        settings: its configuration.
        places: its imagery.
        learner: what learns, set up, with the state after `start` steps.
        facts: what was decided once for it.
        run: its folder.
        found: the checkpoint that it goes on from, if any.
        progress: is told of the steps done.
        watch: is told of every event.
    """

    def __init__(
        self,
        settings: config.Configuration,
        places: Places[Imagery],
        learner: Learner,
        facts: Facts,
        run: RunFolder,
        *,
        found: checkpoints.Found | None = None,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> None:
        training = settings.training
        self._settings, self._places, self._learner, self._facts = settings, places, learner, facts
        self._run, self._progress = run, progress
        self._start: int = 0 if found is None else found.state["step"]
        self._saved = self._start
        self._good = run.checkpoint if found is None else found.file
        self._keeper = checkpoints.Keeper(
            run, keep=training.keep, keep_every=training.keep_every, found=found
        )
        self._peak = Peak(learner.fabric.device)
        self._open = ExitStack()
        self._curves = self._open_curves() if training.tensorboard and ranks.first() else None
        self._watching = self._watched_by(watch, self._curves)

    def close(self) -> None:
        """Close what is written."""
        self._open.close()

    def train(self) -> None:
        """Train to the end of the schedule, and validate there.

        Raises:
            RsadaptError: see `rsadapt.adapt.trainer.train`.
        """
        steps, start = self._settings.training.steps, self._start
        if start:
            self._mend(start)
        with closing(self._supply()) as supply:
            self._learn(supply)
            if (report := supply.report()) is not None:
                self._watching.tell({"step": steps, "feeding": report})
        if self._run.validation(steps) is None:
            self._validate(steps)

    def _mend(self, done: int) -> None:
        """Do what a run that died after `done` steps had not done yet."""
        if ranks.first():
            self._write_weights(done)
        steps, every = self._settings.training.steps, self._settings.training.validate_every
        if done < steps and due(done, every) and self._run.validation(done) is None:
            self._validate(done)

    def _learn(self, supply: Supply) -> None:
        """Take all steps that are left."""
        learner = self._learner

        def log(done: int, said: Said) -> None:
            scaled = learner.scaled()
            skipped = None if scaled is None else scaled.skipped
            self._watching.log(done, said, self._rates(), waited=supply.waited, skipped=skipped)
            if self._progress is not None:
                self._progress("train", done, self._settings.training.steps)

        self._watching.start(self._start)
        try:
            train(
                learner,
                schedule=build.schedule(self._settings),
                start=self._start,
                source=supply.batches("source"),
                target=supply.batches("target") if learner.method.uses_target else None,
                log=log,
                validate=self._validate,
                save=self._save,
            )
        except NonFiniteError as error:
            stop = NonFiniteError(error.step, error.what, self._cure())
            self._watching.tell({"step": error.step, "stopped": str(stop)})
            raise stop from None

    def _supply(self) -> Supply:
        """The batches of the steps that are left."""
        domains: list[Domain] = ["source", "target"]
        samples = {
            domain: build.training_samples(
                self._settings,
                self._places,
                self._facts.normalise,
                domain,
                self._progress,
                scratch=self._run.path,
            )
            for domain in domains[: 1 + self._learner.method.uses_target]
        }

        def chosen(workers: int, reason: str) -> None:
            self._watching.tell({"step": self._start, "workers": workers, "reason": reason})

        return build.supply(self._settings, samples, self._start, self._learner.fabric, chosen)

    # Saved

    def _save(self, done: int) -> None:
        """Write the state after `done` steps, and the network beside it."""
        with self._watching.pause():
            if ranks.first():
                sync(self._run.metrics)  # no step that is saved may be missing in the log
                facts = {"step": done, "facts": self._facts.to_json()}
                self._keeper.write(done, facts | state.gather(self._learner))
                self._write_weights(done)
            ranks.wait()  # who left first could have the others ended before it is whole
        self._saved, self._good = done, self._run.checkpoint

    def _write_weights(self, done: int) -> None:
        """Write the network for other programs, unless it is there as of `done` steps."""
        file = self._run.weights
        if _written_step(file) != done:
            tensors = self._learner.parts.answering.network.state_dict()
            weights.write_safetensors(file, tensors, self._facts.told(done))

    def _cure(self) -> str:
        """What to do where training came to values that are no numbers."""
        weights = self._settings.method.weights_in_force()
        lower = ["optimiser.rate", *(f"method.{name}" for name in weights)]
        mixed = "" if "mixed" not in self._settings.device.precision else ", compute in 32-true"
        words = f"lower {' or '.join(lower)}{mixed}, and train anew"
        if not self._saved:
            return f"; nothing was saved; {words}"
        return (
            f"; {self._good} holds the state of step {self._saved}, the last good one, from "
            f"which --resume goes on as before; to go another way {words}, from there with "
            f"--init {shlex.quote(str(self._run.path))}"
        )

    # Watched

    def _validate(self, done: int) -> None:
        """Score the network and write the figures down."""
        device = self._learner.fabric.device
        with self._watching.pause():
            reports = score(
                self._places.scored(),
                self._learner.parts.answering,
                self._facts,
                device=device,
                progress=self._progress,
            )
            validators = judge(
                self._places,
                self._learner.parts.answering,
                self._facts,
                device=device,
                progress=self._progress,
            )
            if self._curves is not None:
                precision = build.inference(self._settings)
                self._curves.show_tiles(done, self._learner.parts.answering, device, precision)
        event = {"step": done, "validation": reports, "memory": self._peak.bytes()}
        if validators is not None:
            event["validators"] = validators
        self._watching.tell(event)
        ranks.wait()  # all may read what is written

    def _rates(self) -> dict[str, float]:
        """The learning rate of each optimiser; the network's is its encoder's."""
        optimisers = self._learner.optimisers
        return {name: float(each.param_groups[0]["lr"]) for name, each in optimisers.items()}

    def _watched_by(self, *watchers: Watch | None) -> Watching:
        """Who takes the run's events."""
        training = self._settings.training
        domains = 1 + self._learner.method.uses_target
        pairs = training.batch_size * training.accumulate * self._learner.fabric.world_size
        return Watching(
            self._run,
            [each for each in watchers if each is not None],
            steps=training.steps,
            images=domains * pairs,
            classes=build.class_scheme(self._settings).names,
            objective=getattr(self._settings.method, "objective", "bce"),
        )

    def _open_curves(self) -> Curves:
        """Begin, or go on with, the run's curves, and draw the samples that they show."""
        from rsadapt.curves import Curves  # with matplotlib, which nothing else here needs

        names: list[Domain] = ["source", "target"]
        tiles = {}
        for domain in names:
            samples = build.training_samples(
                self._settings, self._places, self._facts.normalise, domain
            )
            tiles[domain] = [samples[number] for number in range(TILES)]
        curves = Curves(
            self._run.tensorboard,
            start=self._start,
            scheme=build.class_scheme(self._settings),
            tiles=tiles,
            bands=(0, 1, 2) if len(self._facts.bands) > 2 else (0, 0, 0),
        )
        return self._open.enter_context(closing(curves))


def _written_step(file: Path) -> int | None:
    """The steps after which a run wrote its network for other programs; None where nobody knows."""
    try:
        return int(weights.safetensors_facts(file)["step"])
    except (MissingFileError, CheckpointError, LookupError, ValueError):
        return None
