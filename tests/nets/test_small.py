"""The small encoder: cells where DeepLab expects them."""

import pytest
import torch
from torch import nn

from rsadapt.nets.small import SmallEncoder


@pytest.mark.parametrize("bands", [1, 3, 4, 7])
def test_stages_have_the_promised_channels_and_stride(bands):
    encoder = SmallEncoder(bands=bands, width=4)
    features = encoder(torch.zeros(2, bands, 33, 50))
    assert [tuple(stage.shape) for stage in features] == [
        (2, channels, 9, 13) for channels in encoder.channels
    ]


def test_cells_lie_at_multiples_of_the_stride():
    """Under mirrored kernels, mirroring pixels 0..8 strides mirrors cells 0..8 exactly."""
    encoder = SmallEncoder(bands=2, width=4).double().eval()
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data += layer.weight.data.flip(2, 3)
    size = 8 * encoder.stride + 1
    image = torch.rand(1, 2, size, size, dtype=torch.float64)
    for plain, turned in zip(encoder(image), encoder(image.flip(2, 3)), strict=True):
        torch.testing.assert_close(turned, plain.flip(2, 3), rtol=1e-10, atol=1e-12)
