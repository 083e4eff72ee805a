"""Supplies: the same batches whoever makes them, waiting measured, workers where they pay."""

import itertools
import math
import multiprocessing
import re
import time
from contextlib import closing

import pytest
import torch

from rsadapt.data import supply as supplies
from rsadapt.data.stream import stream
from rsadapt.data.supply import Costs, Supply, room_for_workers
from rsadapt.sample import Batch, Sample

FULL = supplies.WARM + supplies.TRIAL


class Slow:
    """Sample g is an image of g that takes a while to make."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __getitem__(self, number):
        time.sleep(self.seconds)
        image = torch.full((1, 1, 1), float(number))
        return Sample(image, torch.ones(1, 1, dtype=torch.bool))


def make(*, source=0.0, target=0.0, workers=None, rounds=10**6, start=0, most=2):
    """A supply of two domains, and the list of what it chose."""

    def opener(seconds):
        return lambda position, number, told: stream(
            Slow(seconds), batch_size=1, start=position, workers=number, told=told
        )

    openers = {"source": opener(source), "target": opener(target)}
    chosen = []
    made = Supply(
        openers,
        start=start,
        rounds=rounds,
        workers=workers,
        most=lambda _: most,
        chosen=lambda *told: chosen.append(told),
    )
    return made, chosen


def rounds(supply, count, step=0.0):
    """The numbers of both domains' samples in so many rounds, with steps between."""
    found = []
    for source, target in itertools.islice(
        zip(supply.batches("source"), supply.batches("target"), strict=True), count
    ):
        time.sleep(step)
        found.append((source.image.item(), target.image.item()))
    return found


@pytest.mark.parametrize("workers", [None, 0, 1])
def test_batches_follow_one_another_from_the_start_on(workers):
    supply, _ = make(source=0.01, target=0.01, workers=workers, start=5)
    with closing(supply):
        found = rounds(supply, FULL + 4)
    assert found == [(number, number) for number in range(5, 5 + FULL + 4)]


def test_workers_start_where_making_takes_a_good_part_of_the_time():
    others = set(multiprocessing.active_children())
    supply, chosen = make(source=0.03, target=0.01)
    with closing(supply):
        rounds(supply, FULL - 1, step=0.05)
        assert supply.workers == 0
        rounds(supply, 1)
        assert supply.workers == 1
        assert len(set(multiprocessing.active_children()) - others) == 2
        before = supply.waited
        rounds(supply, 10, step=0.05)
        assert supply.waited - before < 0.5 * 10 * 0.04
    assert [number for number, _ in chosen] == [1]
    assert set(multiprocessing.active_children()) <= others


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"source": 0.0}, r"a step takes \d\d ms, its batches \d\.\d ms and \d\.\d ms"),
        ({"source": 0.03, "rounds": 20}, "too few steps are left"),
    ],
)
def test_none_start_where_they_do_not_pay(options, says):
    supply, chosen = make(**options)
    with closing(supply):
        rounds(supply, FULL + 1, step=0.03)
    ((number, reason),) = chosen
    assert (supply.workers, number) == (0, 0)
    assert re.search(says, reason)


def test_no_more_start_than_there_is_room_for():
    supply, chosen = make(source=0.05)
    with closing(supply):
        rounds(supply, FULL + 1, step=0.01)
    assert supply.workers == 2
    assert chosen[0][1].endswith("there is room for no more than 2")


def test_what_was_waited_is_what_making_took():
    supply, _ = make(source=0.02, target=0.01, workers=0)
    with closing(supply):
        rounds(supply, FULL + 1, step=0.02)
        report = supply.report()
    assert supply.waited >= 0.03 * (FULL + 1)
    assert 0.3 < report["waited"] < 0.9
    assert report["workers"] == 0
    assert report["recommended"] >= 1
    assert f"set training.workers={report['recommended']}" in report["words"]


def test_nothing_is_reported_before_a_step_was_timed():
    supply, _ = make(workers=0)
    with closing(supply):
        rounds(supply, 2)
        assert supply.report() is None


@pytest.mark.parametrize(
    ("making", "step", "wanted"),
    [
        ((0.010, 0.010), 1.0, 0),  # 2 % of the time
        ((0.002, 0.002), 0.01, 0),  # handing over would cost as much
        ((0.3, 0.1), 1.0, 1),
        ((0.9, 0.1), 1.0, 2),  # one would be on time only if none were late
        ((3.0, 3.0), 1.0, 4),
        ((1.0,), 0.1, 13),
    ],
)
def test_workers_make_batches_as_fast_as_steps_take_them(making, step, wanted):
    costs = Costs(dict(enumerate(making)), step)
    assert costs.wanted == wanted
    if wanted:
        assert wanted * step >= max(making)


def test_room_for_workers_is_shared_and_ends_with_memory(monkeypatch):
    batch = Batch(torch.zeros(4, 3, 64, 64), torch.ones(4, 64, 64, dtype=torch.bool))
    monkeypatch.setattr(supplies.os, "sched_getaffinity", lambda _: range(16), raising=False)
    monkeypatch.setattr(supplies, "_free_memory", lambda: math.inf)
    assert room_for_workers(batch, domains=2, processes=1) == 8
    assert room_for_workers(batch, domains=2, processes=4) == 2
    assert room_for_workers(batch, domains=2, processes=99) == 1
    monkeypatch.setattr(supplies, "_free_memory", lambda: 4e9)
    assert room_for_workers(batch, domains=2, processes=1) == 4
