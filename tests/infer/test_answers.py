"""Answers of a network: handed on as they are, or refused for their shape."""

import pytest
import torch

from rsadapt.errors import ShapeError
from rsadapt.infer.answers import answers_of

IMAGES = torch.rand(2, 3, 4, 6)


def ask(predict, num_classes=5, size=(8, 12)):
    return answers_of(IMAGES, predict=predict, num_classes=num_classes, size=size)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_answers_are_the_networks_own_as_float32(dtype):
    given = torch.rand(2, 5, 8, 12).to(dtype)
    answers = ask(lambda images: given)
    assert answers.dtype == torch.float32
    assert torch.equal(answers, given.float())


def test_images_reach_the_network_and_no_gradient_is_recorded():
    layer = torch.nn.Conv2d(3, 5, 1)
    answers = ask(layer, size=(4, 6))
    assert not answers.requires_grad
    torch.testing.assert_close(answers, layer(IMAGES), check_layout=False)


@pytest.mark.parametrize("shape", [(2, 4, 8, 12), (2, 5, 8, 11), (1, 5, 8, 12), (2, 8, 12)])
def test_answers_of_another_shape_are_refused(shape):
    with pytest.raises(ShapeError, match=r"with \(2, 5, 8, 12\), found \(\d"):
        ask(lambda images: torch.zeros(shape))
