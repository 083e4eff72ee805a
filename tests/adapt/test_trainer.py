"""The training loop: when it steps, logs, validates, saves and stops."""

import itertools
import signal
import threading

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.method import Method, Parts
from rsadapt.adapt.schedule import poly
from rsadapt.adapt.trainer import Learner, Schedule, train
from rsadapt.errors import DataError, InterruptedTrainingError, NonFiniteError
from rsadapt.sample import Batch

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Target(Method):
    """A method that pulls a weight towards each batch's mean, and does more where it is told."""

    uses_target = False

    def __init__(self, more=lambda: None):
        self.more = more
        self.seen = []

    def step(self, parts, source, target, backward):
        self.more()
        self.seen.append((source.image.mean().item(), target))
        loss = (parts.network(torch.ones(1, 1)) - source.image.mean()).square().sum()
        backward(loss)
        return {"distance": loss.detach()}


def make(method, *, rate=0.1):
    network = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(network.weight)
    optimisers = {"network": torch.optim.SGD(network.parameters(), lr=rate)}
    parts = Parts(network, lambda x, _: x, DomainStatistics(network, "both"))
    learner = Learner(parts, optimisers, method, Fabric(accelerator="cpu", precision="64-true"))
    learner.set_up()
    return learner


def numbers(start=0):
    """Batches whose mean is their number."""
    for number in itertools.count(start):
        image = torch.full((1, 1, 1, 1), float(number), dtype=torch.float64)
        yield Batch(image, torch.ones(1, 1, 1, dtype=torch.bool))


class Diary:
    """Writes down what the loop asks for."""

    def __init__(self):
        self.logged, self.losses, self.validated, self.saved = [], [], [], []

    def log(self, done, losses):
        self.logged.append(done)
        self.losses.append(losses)

    def train(self, learner, *, start=0, batches=numbers, **schedule):
        schedule = {"horizon": schedule["steps"], **schedule}
        train(
            learner,
            schedule=Schedule(**schedule),
            start=start,
            source=batches(start * schedule.get("accumulate", 1)),
            target=None,
            log=self.log,
            validate=self.validated.append,
            save=self.saved.append,
        )


def test_everything_happens_when_it_is_due():
    diary = Diary()
    diary.train(make(Target()), steps=10, log_every=3, validate_every=5, save_every=4)
    assert diary.logged == [3, 6, 9, 10]
    assert diary.validated == [5]  # the final one is the caller's
    assert diary.saved == [4, 8, 10]


def test_nothing_on_the_way_but_the_end():
    diary = Diary()
    diary.train(make(Target()), steps=4, log_every=100)
    assert (diary.logged, diary.validated, diary.saved) == ([4], [], [4])


def test_rates_follow_the_poly_schedule_from_wherever_it_starts():
    rates = []
    learner = make(
        Target(lambda: rates.append(learner.optimisers["network"].param_groups[0]["lr"]))
    )
    Diary().train(learner, steps=6, horizon=8, power=0.9)
    assert rates == pytest.approx([0.1 * poly(step, 8, 0.9) for step in range(6)])
    Diary().train(learner, start=4, steps=6, horizon=8, power=0.9)
    assert rates[6:] == rates[4:6]
    Diary().train(learner, steps=6, horizon=8, power=0.9, warm_up=4)
    shares = [0.25, 0.5, 0.75, 1, 1, 1]
    assert rates[8:] == pytest.approx([a * b for a, b in zip(rates[:6], shares, strict=True)])


@pytest.mark.parametrize("accumulate", [1, 2, 5])
def test_accumulated_batches_make_one_step_of_their_mean_gradient(accumulate):
    learner, method, diary = make(Target()), Target(), Diary()
    learner.method = method
    diary.train(learner, steps=2, power=0, accumulate=accumulate, log_every=1)
    weight, losses = 0.0, []
    for step in range(2):
        means = range(step * accumulate, (step + 1) * accumulate)
        losses.append(sum((weight - mean) ** 2 for mean in means) / accumulate)
        weight -= 0.1 * sum(2 * (weight - mean) for mean in means) / accumulate
    assert learner.parts.network.weight.item() == pytest.approx(weight, rel=1e-6)
    assert [found["distance"] for found in diary.losses] == pytest.approx(losses)
    assert [mean for mean, _ in method.seen] == list(range(2 * accumulate))


def test_networks_train_again_after_validation_left_them_evaluating():
    learner, modes = make(Target()), []
    learner.method.more = lambda: modes.append(learner.parts.network.training)
    diary = Diary()
    diary.validated = type("", (), {"append": lambda _, done: learner.parts.network.eval()})()
    diary.train(learner, steps=3, validate_every=1)
    assert modes == [True] * 3


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_lets_the_step_finish_saves_and_stops(number):
    before = [signal.getsignal(each) for each in SIGNALS]
    steps = itertools.count(1)
    learner = make(Target(lambda: signal.raise_signal(number) if next(steps) == 2 else None))
    diary = Diary()
    with pytest.raises(InterruptedTrainingError, match="stopped at step 2 of 9; the state is sav"):
        diary.train(learner, steps=9, log_every=1, validate_every=1)
    assert (diary.saved, diary.logged, diary.validated) == ([2], [1, 2], [1, 2])
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.parametrize(("good", "saved"), [(0, []), (2, [2])])
def test_state_is_saved_where_the_next_batch_cannot_be_had(good, saved):
    def damaged(start):
        yield from itertools.islice(numbers(start), good)
        raise DataError("scene.tif: cut short")

    diary = Diary()
    with pytest.raises(DataError, match="cut short"):
        diary.train(make(Target()), batches=damaged, steps=9)
    assert diary.saved == saved


@pytest.mark.usefixtures("heard")
def test_second_signal_acts_at_once():
    before = [signal.getsignal(each) for each in SIGNALS]

    def impatient():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    diary = Diary()
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        diary.train(make(Target(impatient)), steps=9)
    assert diary.saved == []
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_handlers_are_restored_after_an_error_and_at_the_end():
    before = [signal.getsignal(each) for each in SIGNALS]
    Diary().train(make(Target()), steps=1)
    assert [signal.getsignal(each) for each in SIGNALS] == before
    with pytest.raises(ZeroDivisionError, match="division"):
        Diary().train(make(Target(lambda: 1 / 0)), steps=1)
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_other_threads_may_train_too():
    diary = Diary()
    thread = threading.Thread(target=diary.train, args=(make(Target()),), kwargs={"steps": 2})
    thread.start()
    thread.join()
    assert diary.saved == [2]


# What is not finite


def test_what_is_not_finite_is_found_when_logged_and_never_saved():
    steps = itertools.count(1)
    learner = make(
        Target(lambda: learner.parts.network.weight.data.fill_(next(steps) // 5 * 1e200))
    )
    diary = Diary()
    with pytest.raises(NonFiniteError, match=r"^step 5: the loss distance became NaN or infinite"):
        diary.train(learner, steps=20, log_every=4, save_every=2)
    assert (diary.saved, diary.logged) == ([2, 4], [4])


def test_weights_that_only_the_next_loss_would_show_are_not_saved():
    diary = Diary()
    with pytest.raises(
        NonFiniteError, match=r"^step 2: the weight network\S* became NaN or infinite"
    ):
        diary.train(make(Target(), rate=1e308), steps=2, power=0)
    assert diary.saved == []


def test_only_steps_that_are_logged_are_watched():
    seen = []
    learner = make(Target(lambda: seen.append(learner.parts.watched)))
    Diary().train(learner, steps=5, log_every=3)
    assert seen == [False, False, True, False, True]
