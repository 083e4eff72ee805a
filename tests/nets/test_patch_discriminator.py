"""The patch discriminator judges patches of 70 pixels."""

import pytest
import torch

from rsadapt.errors import ShapeError
from rsadapt.nets.patch_discriminator import LEAST, PatchDiscriminator


def test_a_cell_sees_70_pixels(monkeypatch):
    monkeypatch.setattr(
        "rsadapt.nets.patch_discriminator.instance_norm", lambda value, seen: value
    )  # whose statistics reach over the whole image
    judge = PatchDiscriminator(1, width=2).double()
    image = torch.randn(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    judged = judge(image)
    assert judged.shape == (1, 1, 14, 14)
    judged[0, 0, 7, 7].backward()
    rows, cols = image.grad[0, 0].nonzero().unbind(1)
    assert (rows.max() - rows.min() + 1, cols.max() - cols.min() + 1) == (70, 70)


def test_the_published_one_has_as_many_weights():
    parameters = PatchDiscriminator(3).parameters()
    assert sum(p.numel() for p in parameters) == 2_764_737  # as its layers add up


def test_small_images_are_refused():
    judge = PatchDiscriminator(2, width=2)
    assert judge(torch.randn(1, 2, LEAST, LEAST)).shape == (1, 1, 1, 1)
    with pytest.raises(ShapeError, match="at least 24 x 24 pixels, found 23 x 40"):
        judge(torch.randn(1, 2, LEAST - 1, 40))
