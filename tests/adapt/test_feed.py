"""Feeds: pairs in order, nothing taken in vain, on the device."""

import itertools

import pytest
import torch

from rsadapt.adapt.feed import Feed
from rsadapt.errors import DataError
from rsadapt.sample import Batch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def numbers(start=0):
    """Batches of one number."""
    for number in itertools.count(start):
        image = torch.full((1, 1, 1, 1), float(number))
        yield Batch(image, torch.ones(1, 1, 1, dtype=torch.bool))


@pytest.mark.parametrize("device", DEVICES)
def test_pairs_come_in_order_and_none_is_taken_in_vain(device):
    source, target = numbers(), numbers(100)
    feed, found = Feed(source, target, device=torch.device(device), pairs=4), []
    for _ in range(4):
        feed.fetch()
        feed.fetch()
        one, other = feed.take()
        assert one.image.device.type == other.image.device.type == device
        found.append((one.image.item(), other.image.item()))
        feed.reach_ahead()
    assert found == [(number, 100 + number) for number in range(4)]
    assert (next(source).image.item(), next(target).image.item()) == (4, 104)


def test_there_may_be_no_target():
    feed = Feed(numbers(), None, device=torch.device("cpu"), pairs=1)
    assert feed.take()[1] is None


@pytest.mark.parametrize("device", DEVICES)
def test_what_goes_wrong_is_raised_when_its_pair_is_due(device):
    def one():
        yield next(numbers())
        raise DataError("scene.tif: cut short")

    feed = Feed(one(), None, device=torch.device(device), pairs=3)
    feed.take()
    feed.reach_ahead()
    with pytest.raises(DataError, match="cut short"):
        feed.fetch()
