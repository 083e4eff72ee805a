"""Streams: endless, shared between ranks, and taken up where they were left."""

import multiprocessing
import os
import signal
import socket
from itertools import islice
from multiprocessing.reduction import DupFd

import numpy as np
import pytest
import torch

from rsadapt.data.stream import Dealt, begin_worker, in_order, stream
from rsadapt.errors import DataError, WorkerError
from rsadapt.sample import Sample


class Numbers:
    """Sample g is an image of g."""

    def __getitem__(self, number):
        image = torch.full((1, 2, 2), number, dtype=torch.float64)
        return Sample(image, torch.ones(2, 2, dtype=torch.bool))


def numbers(count, **options):
    """The samples of a stream's first batches."""
    batches = islice(stream(Numbers(), **options), count)
    return [batch.image[:, 0, 0, 0].tolist() for batch in batches]


def test_batches_hold_the_samples_in_order():
    assert numbers(3, batch_size=4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize("start", [0, 1, 7, 10**9])
@pytest.mark.parametrize("ranks", [1, 3])
def test_starting_at_a_position_is_skipping_to_it(start, ranks):
    for rank in range(ranks):
        options = {"batch_size": 2, "rank": rank, "ranks": ranks}
        first = 2 * (start * ranks + rank)
        assert numbers(2, start=start, **options) == [
            [first, first + 1],
            [first + 2 * ranks, first + 2 * ranks + 1],
        ]
        if start < 10:
            assert numbers(start + 2, **options)[start:] == numbers(2, start=start, **options)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_samples_of_one(ranks):
    shares = [numbers(4, batch_size=2, rank=rank, ranks=ranks) for rank in range(ranks)]
    together = [sample for turn in zip(*shares, strict=True) for batch in turn for sample in batch]
    assert together == list(range(8 * ranks))


def test_workers_read_the_same():
    options = {"batch_size": 3, "start": 2}
    assert numbers(5, workers=2, **options) == numbers(5, **options)


class Damaged(Numbers):
    """Sample 3 cannot be read."""

    def __getitem__(self, number):
        if number == 3:
            raise DataError("scene.tif: cut short")
        return super().__getitem__(number)


@pytest.mark.parametrize("workers", [0, 2])
def test_damage_is_told_in_its_own_words_when_its_batch_is_due(workers):
    others = set(multiprocessing.active_children())
    batches = stream(Damaged(), batch_size=2, workers=workers)
    assert next(batches).image.flatten()[0] == 0
    with pytest.raises(DataError, match=r"^scene\.tif: cut short$") as told:
        next(batches)
    assert told.value.__traceback__ is not None  # which may keep alive what it passed through
    assert set(multiprocessing.active_children()) <= others


class Huge(Numbers):
    """Samples need more memory than there is."""

    def __getitem__(self, number):
        return np.empty(2**59)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_lack_of_memory_is_told_with_what_helps(workers):
    batches = stream(Huge(), batch_size=2, workers=workers)
    with pytest.raises(WorkerError, match=r"no memory left for a batch of 2; fewer training"):
        next(batches)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS])
def test_a_worker_that_was_killed_is_told_when_its_batch_is_due(number):
    others, before = set(multiprocessing.active_children()), signal.getsignal(signal.SIGCHLD)
    batches = stream(Numbers(), batch_size=2, workers=1)
    next(batches)
    assert signal.getsignal(signal.SIGCHLD) == before
    (worker,) = set(multiprocessing.active_children()) - others
    os.kill(worker.pid, number)
    worker.join()
    with pytest.raises(WorkerError, match=f"was ended by {number.name}, .*; --resume goes on"):
        list(islice(batches, 5))
    assert set(multiprocessing.active_children()) <= others


def hand_over(addresses, done):
    """Offer a file, as workers do with each batch, and stay until all was tried."""
    begin_worker(0)
    addresses.put(DupFd(0)._id[0])
    done.wait()


def test_a_worker_says_nothing_of_a_trainer_that_went_amid_a_batch(capfd):
    fork = multiprocessing.get_context("fork")
    addresses, done = fork.Queue(), fork.Event()
    worker = fork.Process(target=hand_over, args=(addresses, done))
    worker.start()
    address = addresses.get()
    for _ in range(2):  # the second is answered once the first one's end was seen
        with socket.socket(socket.AF_UNIX) as trainer:
            trainer.connect(address)
            trainer.recv(1)
    done.set()
    worker.join()
    assert capfd.readouterr().err == ""


def test_costs_are_told_batch_by_batch():
    for workers in (0, 1):
        costs = []
        found = list(islice(stream(Numbers(), batch_size=2, workers=workers, told=costs.append), 3))
        assert len(costs) == len(found) == 3
        assert min(costs) > 0


def test_closing_ends_the_workers():
    others = set(multiprocessing.active_children())
    batches = stream(Numbers(), batch_size=2, workers=2)
    next(batches)
    assert len(set(multiprocessing.active_children()) - others) == 2
    batches.close()
    assert set(multiprocessing.active_children()) <= others


@pytest.mark.parametrize("size", [1, 2, 5])
def test_in_order_gives_every_sample_once(size):
    shapes = [(2, 2), (2, 2), (2, 2), (2, 3), (2, 2), (3, 2), (3, 2)]
    samples = [
        Sample(torch.full((1, *shape), float(n)), torch.ones(shape, dtype=torch.bool))
        for n, shape in enumerate(shapes)
    ]
    batches = list(in_order(samples, size))
    assert [value for batch in batches for value in batch.image[:, 0, 0, 0].tolist()] == [
        float(n) for n in range(7)
    ]
    assert all(len(batch.image) <= size for batch in batches)
    assert [tuple(batch.image.shape[2:]) for batch in batches] == [
        shape
        for shape, run in [((2, 2), 3), ((2, 3), 1), ((2, 2), 1), ((3, 2), 2)]
        for _ in range(-(-run // size))
    ]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_dealt_samples_stand_in_the_batches_of_one_process(ranks):
    samples = [Numbers()[number] for number in range(7)]
    whole = [batch.image.tolist() for batch in in_order(samples, 2)]
    shares = [Dealt(samples, 2, rank=rank, ranks=ranks) for rank in range(ranks)]
    dealt = [[batch.image.tolist() for batch in in_order(share, 2)] for share in shares]
    assert dealt == [whole[rank::ranks] for rank in range(ranks)]
    assert sum(map(len, shares)) == 7


def test_nothing_in_order_is_nothing():
    assert list(in_order([], 4)) == []
