"""Instance norm counts valid pixels alone."""

import torch
from torch.nn import functional

from rsadapt.nets.instance_norm import EPSILON, instance_norm, seen_pixels


def test_pixels_that_are_zero_in_every_band_do_not_count():
    image = torch.randn(1, 2, 4, 4)
    image[0, :, 1, 2] = 0
    image[0, 0, 3, 3] = 0  # the other band says that it counts
    seen = seen_pixels(image)
    assert (seen == 0).nonzero().tolist() == [[0, 0, 1, 2]]


def test_with_all_valid_it_is_pytorchs():
    features = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    assert seen_pixels(features) is None
    expected = functional.instance_norm(features)
    torch.testing.assert_close(instance_norm(features, None), expected)
    torch.testing.assert_close(instance_norm(features, torch.ones(2, 1, 10, 14)), expected)


def test_statistics_are_those_of_valid_pixels():
    features = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    seen = torch.ones(1, 1, 6, 6, dtype=torch.float64)
    seen[..., 4:] = 0
    found = instance_norm(features, seen)
    for channel in range(2):
        there = features[0, channel, :, :4]
        expected = (there - there.mean()) / (there.var(correction=0) + EPSILON).sqrt()
        torch.testing.assert_close(found[0, channel, :, :4], expected)


def test_half_precision_is_summed_in_single():
    features, seen = torch.randn(1, 2, 64, 64) + 50, torch.ones(1, 1, 64, 64)
    half = instance_norm(features.bfloat16(), seen)
    assert half.dtype == torch.bfloat16
    expected = instance_norm(features.bfloat16().float(), seen)
    torch.testing.assert_close(half.float(), expected, rtol=0.01, atol=0.01)


def test_an_image_without_a_valid_pixel_stays_finite():
    assert instance_norm(torch.randn(1, 2, 4, 4), torch.zeros(1, 1, 8, 8)).isfinite().all()
