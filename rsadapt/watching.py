"""How a run is watched: what it logs is written down, told, and searched for what goes wrong."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rsadapt.adapt.adversarial import Objective
from rsadapt.adapt.figures import Said, apart
from rsadapt.adapt.warning_signs import signs
from rsadapt.errors import TrainingWarning
from rsadapt.progress import Watch
from rsadapt.run import RunFolder


class Watching:
    """Takes a run's events as they come; after a resume it knows those before.

    Args:
        run: where they are written down.
        watchers: are told each of them, too.
        steps: of the whole run.
        images: that one step takes, of both domains and all processes.
        classes: their names.
        objective: what discriminators learn, if there are any.
    """

    def __init__(
        self,
        run: RunFolder,
        watchers: Sequence[Watch],
        *,
        steps: int,
        images: int,
        classes: Sequence[str],
        objective: Objective = "bce",
    ) -> None:
        self._run, self._watchers, self._steps, self._images = run, watchers, steps, images
        self._classes, self._objective = classes, objective
        before = run.events()
        self._lines = [event for event in before if "figures" in event]
        self._told = {event["warning"]["sign"] for event in before if "warning" in event}
        self._clock = time.perf_counter()
        self._step: int | None = None
        self._paused, self._waited = 0.0, 0.0

    def start(self, step: int) -> None:
        """Measure time from here, after `step` steps."""
        self._clock, self._step, self._paused = time.perf_counter(), step, 0.0

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Leave what is done meanwhile, such as a validation, out of the images a second."""
        begin = time.perf_counter()
        yield
        self._paused += time.perf_counter() - begin

    def tell(self, event: dict[str, Any]) -> None:
        """Write an event down and tell it."""
        self._run.append(event)
        for watch in self._watchers:
            watch(event)

    def log(
        self,
        step: int,
        said: Said,
        rates: Mapping[str, float],
        *,
        waited: float,
        skipped: int | None = None,
    ) -> None:
        """Tell what a step said, with the rates it learned at, and what goes wrong.

        Args:
            step: steps done.
            said: its losses and figures.
            rates: learning rates by optimiser.
            waited: seconds that steps waited for batches, since the training began.
            skipped: steps so far that changed no weight, where gradients are scaled.
        """
        seconds = time.perf_counter() - self._clock
        losses, figures = apart(said)
        if self._step is not None and seconds > self._paused:
            images = self._images * (step - self._step)
            figures["images_per_second"] = round(images / (seconds - self._paused), 3)
        event = {
            "step": step,
            "losses": losses,
            "figures": figures,
            "rates": dict(rates),
            "seconds": round(seconds, 3),
            "waiting": round((waited - self._waited) / seconds, 4),
        }
        if skipped is not None:
            event["skipped"] = skipped
        self._waited = waited
        self.start(step)
        self._lines.append(event)
        self.tell(event)
        self._warn(step)

    def _warn(self, step: int) -> None:
        """Tell each sign that was not told before."""
        found = signs(
            self._lines, steps=self._steps, classes=self._classes, objective=self._objective
        )
        for sign in found:
            if sign.name not in self._told:
                self._told.add(sign.name)
                self.tell({"step": step, "warning": {"sign": sign.name, "text": sign.text}})
                warnings.warn(f"step {step}: {sign.text}", TrainingWarning, stacklevel=2)
