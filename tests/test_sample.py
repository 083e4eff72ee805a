"""Samples become batches."""

import pytest
import torch

from rsadapt.errors import ShapeError
from rsadapt.sample import Batch, Sample, collate


def sample(number, *, size=3, label=True):
    shape = (size, size + 1)
    return Sample(
        image=torch.full((2, *shape), float(number)),
        valid=torch.full(shape, number % 2 == 0),
        label=torch.full(shape, number) if label else None,
    )


def test_batch_holds_its_samples_in_order():
    batch = collate([sample(number) for number in (4, 1, 3)])
    assert batch.image.shape == (3, 2, 3, 4)
    for place, number in enumerate((4, 1, 3)):
        assert torch.equal(batch.image[place], sample(number).image)
        assert torch.equal(batch.valid[place], sample(number).valid)
        assert torch.equal(batch.labels()[place], sample(number).label)


def test_one_unlabelled_sample_makes_an_unlabelled_batch():
    batch = collate([sample(0), sample(1, label=False)])
    assert batch.label is None
    with pytest.raises(ShapeError, match="must carry labels"):
        batch.labels()


def test_samples_of_different_size_are_refused():
    with pytest.raises(ShapeError, match=r"one size, found \[\(2, 3, 4\), \(2, 5, 6\)\]"):
        collate([sample(0), sample(1, size=5)])


@pytest.mark.parametrize("label", [True, False])
def test_moving_a_batch_moves_all_of_it(label):
    moved = collate([sample(1, label=label)]).to("meta")
    parts = [moved.image, moved.valid] + ([moved.labels()] if label else [])
    assert {part.device.type for part in parts} == {"meta"}
    assert isinstance(moved, Batch)
    assert (moved.label is not None) is label
