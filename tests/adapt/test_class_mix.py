"""Which classes are pasted, and which pixels."""

import pytest
import torch
from torch import tensor

from rsadapt.adapt.class_mix import half_of_classes, pixels_of
from rsadapt.adapt.dacs import mixed
from rsadapt.adapt.mean_teacher import Lesson
from rsadapt.errors import ShapeError
from rsadapt.sample import Batch


def test_half_of_the_classes_that_are_there_one_more_of_an_odd_number():
    random = torch.Generator().manual_seed(0)
    label = tensor(
        [
            [[0, 0], [2, 255]],  # two
            [[1, 2], [3, 3]],  # three
            [[4, 4], [4, 255]],  # one
            [[255, 255], [255, 255]],  # none
        ]
    )
    seen = [set(), set(), set(), set()]
    for _ in range(100):
        chosen = half_of_classes(label, 5, random)
        assert chosen.sum(1).tolist() == [1, 2, 1, 0]
        for sample in range(4):
            seen[sample].add(tuple(chosen[sample].nonzero().flatten().tolist()))
    assert seen == [{(0,), (2,)}, {(1, 2), (1, 3), (2, 3)}, {(4,)}, {()}]


def test_exactly_the_pixels_of_chosen_classes():
    label = torch.randint(0, 4, (3, 6, 6))
    label[torch.rand(3, 6, 6) < 0.2] = 255
    chosen = torch.rand(3, 4) < 0.5
    for sample in range(3):
        for row in range(6):
            for col in range(6):
                value = label[sample, row, col].item()
                expected = value != 255 and chosen[sample, value].item()
                assert pixels_of(label, chosen)[sample, row, col].item() == expected


def test_a_mixed_image_by_hand():
    """One class in the source: it is pasted, and where the source is invalid or unlabelled not."""
    source = Batch(
        tensor([[[[1.0, 2.0, 0.0], [3.0, 4.0, 5.0]]]]),
        tensor([[[True, True, False], [True, True, True]]]),
        tensor([[[2, 2, 255], [255, 2, 255]]]),
    )
    target = Batch(
        tensor([[[[10.0, 0.0, 30.0], [40.0, 50.0, 0.0]]]]),
        tensor([[[True, False, True], [True, True, False]]]),
        tensor([[[0, 255, 1], [1, 0, 255]]]),
    )
    lesson = Lesson(target, torch.full((1, 2, 3), 0.25), classes=3)
    found = mixed(source, lesson, torch.Generator())
    assert found.batch.image.tolist() == [[[[1, 2, 30], [40, 4, 0]]]]
    assert found.batch.valid.tolist() == [[[True, True, True], [True, True, False]]]
    assert found.batch.label.tolist() == [[[2, 2, 1], [1, 2, 255]]]
    assert found.weight.tolist() == [[[1, 1, 0.25], [0.25, 1, 0.25]]]


def test_images_of_two_sizes_are_refused():
    source = Batch(torch.zeros(1, 1, 4, 4), torch.ones(1, 4, 4).bool(), torch.zeros(1, 4, 4).long())
    target = Batch(torch.zeros(1, 1, 4, 8), torch.ones(1, 4, 8).bool(), torch.zeros(1, 4, 8).long())
    with pytest.raises(ShapeError, match=r"\[1, 1, 4, 4\] and \[1, 1, 4, 8\]"):
        mixed(source, Lesson(target, torch.ones(1, 4, 8), classes=1), torch.Generator())
