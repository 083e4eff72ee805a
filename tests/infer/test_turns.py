"""Test-time augmentation."""

import pytest
import torch

from rsadapt.infer.turns import averaged


@pytest.mark.parametrize(("turns", "passes"), [("none", 1), ("flips", 4), ("dihedral", 8)])
def test_a_network_of_single_pixels_answers_the_same(turns, passes):
    seen = []

    def predict(images):
        seen.append(images.clone())
        return images.softmax(dim=1)

    images = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(averaged(predict, turns)(images), images.softmax(dim=1))
    assert len({tuple(image.ravel().tolist()) for image in seen}) == len(seen) == passes


@pytest.mark.parametrize("turns", ["flips", "dihedral"])
def test_the_answer_turns_with_the_image(turns):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 4, 3, padding=1)

    def predict(images):
        return layer(images).softmax(dim=1)

    images = torch.randn(2, 3, 6, 6)
    mean = averaged(predict, turns)
    torch.testing.assert_close(mean(images.flip(-1)), mean(images).flip(-1))
    assert not torch.allclose(predict(images.flip(-1)), predict(images).flip(-1), atol=1e-3)
    if turns == "dihedral":
        turned = mean(torch.rot90(images, 1, (-2, -1)))
        torch.testing.assert_close(turned, torch.rot90(mean(images), 1, (-2, -1)))
