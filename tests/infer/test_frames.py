"""Frames predicted, each at the size of its file."""

import numpy as np
import pytest
import torch

from rsadapt.classes import ClassScheme
from rsadapt.errors import ShapeError
from rsadapt.infer.frames import predict_frames
from rsadapt.sample import Picture

SCHEME = ClassScheme(("sky", "road", "car"), ((23,), (7,), (26,)), ((0, 0, 9),) * 3, ())


def pictures():
    yield Picture("a", torch.rand(3, 4, 6), (5, 9))
    yield Picture("b", torch.rand(3, 4, 6), (8, 3))


def predict(pictures, network):
    return predict_frames(pictures, network, scheme=SCHEME, device="cpu")


def test_every_frame_gets_its_likeliest_classes_at_its_own_size():
    asked, given = [], {}

    def network(images, size):
        asked.append((tuple(images.shape), size))
        given[size] = torch.randn(1, 3, *size)
        return given[size]

    predicted = dict(predict(pictures(), network))
    assert asked == [((1, 3, 4, 6), (5, 9)), ((1, 3, 4, 6), (8, 3))]
    for name, size in (("a", (5, 9)), ("b", (8, 3))):
        assert predicted[name].dtype == np.uint8
        assert predicted[name].shape == size
        for row, col in np.ndindex(size):
            scores = given[size][0, :, row, col].tolist()
            assert predicted[name][row, col] == scores.index(max(scores))


def test_frames_are_taken_one_at_a_time():
    taken = []

    def watched():
        for picture in pictures():
            taken.append(picture.name)
            yield picture

    predicted = predict(watched(), lambda images, size: torch.zeros(1, 3, *size))
    assert next(predicted)[0] == "a"
    assert taken == ["a"]


def test_network_of_other_classes_is_refused():
    with pytest.raises(ShapeError, match=r"with \(1, 3, 5, 9\), found \(1, 2, 5, 9\)"):
        list(predict(pictures(), lambda images, size: torch.zeros(1, 2, *size)))
