"""The training loop: when to step, log, validate and save."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.optim import Optimizer

from rsadapt.adapt import ranks
from rsadapt.adapt.feed import Feed
from rsadapt.adapt.figures import Said, fetch
from rsadapt.adapt.method import Losses, Method, Parts
from rsadapt.adapt.schedule import poly, set_rates, warm_up
from rsadapt.adapt.soundness import Soundness
from rsadapt.errors import InterruptedTrainingError, RsadaptError
from rsadapt.sample import Batch

if TYPE_CHECKING:
    from types import FrameType

    from lightning_fabric import Fabric

    from rsadapt.adapt.scaling import ScaledHalf


@dataclass(frozen=True)
class Schedule:
    """How long to train and when to do what beside it.

    Attributes:
        steps: steps of the whole run.
        horizon: step at which the learning rate would reach zero; at least `steps`.
        power: of the poly schedule.
        warm_up: steps in which rates rise, on top of that schedule.
        constant: first steps at the full rate, fewer than `horizon`; only then it falls.
        accumulate: pairs of batches whose mean gradient makes one step.
        log_every: steps between two lines of the log.
        validate_every: steps between two validations on the way; 0 for none.
        save_every: steps between two checkpoints; 0 for the end only.
    """

    steps: int
    horizon: int
    power: float = 0.9
    warm_up: int = 0
    constant: int = 0
    accumulate: int = 1
    log_every: int = 10
    validate_every: int = 0
    save_every: int = 0

    def factor(self, step: int) -> float:
        """By what every learning rate is multiplied at a step."""
        falling = max(0, step - self.constant)
        fallen = poly(falling, self.horizon - self.constant, self.power)
        return fallen * warm_up(step, self.warm_up)


@dataclass
class Learner:
    """What learns.

    Attributes:
        parts: the networks.
        optimisers: one a network, by the network's name; the segmentation network is "network".
        method: what a training step does.
        fabric: gives devices, precision and processes.
    """

    parts: Parts
    optimisers: dict[str, Optimizer]
    method: Method
    fabric: Fabric

    def set_up(self) -> None:
        """Hand every network and its optimiser to Fabric, and let the method begin."""
        parts, fabric = self.parts, self.fabric
        pair = fabric.setup(parts.network, self.optimisers["network"])
        parts.network, self.optimisers["network"] = pair
        for name, other in parts.others.items():
            parts.others[name], self.optimisers[name] = fabric.setup(other, self.optimisers[name])
        for network in (parts.network, *parts.others.values()):
            ranks.share(network.state_dict().values())
        ranks.share(parts.statistics.state_dict().values())
        for kept in parts.memory.values():
            kept.place(fabric)
        self.method.begin(parts)

    def update(self) -> None:
        """Let every optimiser step; with scaled gradients of which any is not finite, none."""
        scaled = self.scaled()
        if scaled is not None:
            scaled.step_all(self.optimisers.values())
            return
        for optimiser in self.optimisers.values():
            optimiser.step()

    def scaled(self) -> ScaledHalf | None:
        """What scales the gradients and counts skipped steps; None where nothing does."""
        from rsadapt.adapt.scaling import ScaledHalf  # with Fabric, which predictions do without

        precision = self.fabric.strategy.precision
        return precision if isinstance(precision, ScaledHalf) else None


def train(
    learner: Learner,
    *,
    schedule: Schedule,
    start: int,
    source: Iterator[Batch],
    target: Iterator[Batch] | None,
    log: Callable[[int, Said], None],
    validate: Callable[[int], None],
    save: Callable[[int], None],
) -> None:
    """Train from step `start` to the schedule's end.

    Ctrl-C and SIGTERM let the step at hand finish, save, and end the training; of several processes
    one that gets the signal is enough. Where the first batches of a step cannot be had, the state
    is saved, too, unless other processes train along; amid a step of several pairs it is not. What
    is not finite is never saved; losses are looked at when they are logged and saved, so that no
    step waits.

    Args:
        learner: networks, optimisers and method, set up.
        schedule: when to do what.
        start: steps already done.
        source: labelled batches from position `start` on.
        target: unlabelled batches from position `start` on; None where the method needs none.
        log: takes a step's number, its losses and its figures.
        validate: takes the number of steps done; must leave every random state as it was.
        save: takes the number of steps done and writes a checkpoint.

    Raises:
        InterruptedTrainingError: after a signal, once the state is saved.
        RsadaptError: where a batch cannot be had.
        LostProcessError: where another process of the run ended.
        NonFiniteError: where a loss or a weight became NaN or infinite.
    """
    pairs = (schedule.steps - start) * schedule.accumulate
    feed = Feed(source, target, device=learner.fabric.device, pairs=pairs)
    sound = Soundness(learner.parts)

    def keep(done: int) -> None:
        sound.check(done)
        save(done)
        reached.saved = done

    with _signals() as caught, ranks.loss_told(ranks.Reached(start, start)) as reached:
        for step in range(start, schedule.steps):
            reached.step = step + 1
            set_rates(learner.optimisers.values(), schedule.factor(step))
            try:
                feed.fetch()
            except RsadaptError:
                if step > start and learner.fabric.world_size == 1:
                    keep(step)
                raise
            done = step + 1
            last = done == schedule.steps
            logged = learner.parts.watched = last or due(done, schedule.log_every)
            learner.parts.done = step
            losses = _step(learner, schedule.accumulate, feed)
            sound.add(done, losses)
            if logged:
                sound.check_losses()
                log(done, fetch(losses))
            stop = ranks.any_of(bool(caught))
            saved = last or due(done, schedule.save_every) or stop
            if saved:
                keep(done)
            scored = not last and due(done, schedule.validate_every)
            if scored:
                validate(done)
            if saved or scored:  # a signal may have come meanwhile
                stop = ranks.any_of(bool(caught))
            if stop:
                if not saved:
                    keep(done)
                raise InterruptedTrainingError(
                    f"stopped at step {done} of {schedule.steps}; the state is saved"
                )


def _step(learner: Learner, accumulate: int, feed: Feed) -> Losses:
    """One update of every network; the mean losses of the pairs it learned from."""
    learner.parts.train()
    for optimiser in learner.optimisers.values():
        optimiser.zero_grad()
    total: Losses = {}
    for turn in range(accumulate):
        learner.parts.pairs = learner.parts.done * accumulate + turn
        losses = learner.method.step(
            learner.parts,
            *feed.take(),
            lambda loss: learner.fabric.backward(loss / accumulate),
        )
        for name, loss in losses.items():
            total[name] = total.get(name, 0) + loss / accumulate
        feed.reach_ahead()
    if ranks.count() > 1:
        groups = [group for each in learner.optimisers.values() for group in each.param_groups]
        parameters = [parameter for group in groups for parameter in group["params"]]
        ranks.average(parameters, learner.parts.statistics.running())
    learner.update()
    learner.parts.done += 1
    learner.method.after(learner.parts)
    return total


def due(done: int, every: int) -> bool:
    """Whether what is done every so many steps, 0 for never, is done after `done` steps."""
    return every > 0 and done % every == 0


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Gather SIGINT and SIGTERM instead of dying of them; a second one acts at once.

    Not so where several processes train together: whoever passes signals on may send one twice.
    """
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def gather(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        if ranks.count() == 1:  # torchrun passes a signal on that a terminal sends to all itself
            signal.signal(number, before[signal.Signals(number)])

    try:
        for number in before:
            signal.signal(number, gather)
    except ValueError:  # only the main thread may set handlers; elsewhere signals act as before
        yield caught
        return
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
