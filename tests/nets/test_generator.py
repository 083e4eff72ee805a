"""The generator keeps size and bands, and looks nowhere that is invalid."""

import pytest
import torch

from rsadapt.nets.generator import DEVIATION, Generator


@pytest.mark.parametrize(("bands", "size"), [(1, (32, 32)), (4, (33, 46)), (13, (8, 9))])
def test_any_bands_and_size_come_back(bands, size):
    image = torch.randn(2, bands, *size)
    assert Generator(bands, width=4, blocks=1)(image).shape == image.shape


def test_the_published_one_has_as_many_weights():
    parameters = Generator(3).parameters()
    assert sum(p.numel() for p in parameters) == 11_378_179  # as its layers add up


def test_weights_begin_small():
    weights = torch.cat([p.detach().flatten() for p in Generator(3).parameters() if p.ndim == 4])
    assert float(weights.std()) == pytest.approx(DEVIATION, rel=0.01)


def test_far_from_them_invalid_pixels_change_nothing():
    """Statistics are of valid pixels, so that of two halves alike one may be missing."""
    generator = Generator(2, width=4, blocks=1).double()
    half = torch.randn(1, 2, 64, 64, dtype=torch.float64)
    whole = torch.cat([half, half.flip(-1)], dim=-1)
    missing = whole.clone()
    missing[..., 64:] = 0
    with torch.no_grad():
        found, expected = generator(missing), generator(whole)
    zeros_as_data = missing.clone()
    zeros_as_data[..., 64:] = 1e-9
    with torch.no_grad():
        other = generator(zeros_as_data)
    inner = (..., slice(0, 32))
    masked, unmasked = ((each - expected)[inner].abs().max() for each in (found, other))
    assert masked < unmasked / 2
