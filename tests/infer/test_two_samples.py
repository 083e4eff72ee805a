"""A small network tells sets of tiles apart as far as they differ."""

import torch

from rsadapt.infer.two_samples import discriminability


def test_alike_is_chance_and_different_is_told():
    ours, theirs = torch.randn(64, 2, 16, 16), torch.randn(80, 2, 16, 16)
    assert abs(discriminability(ours, theirs) - 0.5) < 0.2
    assert discriminability(ours, theirs + 1) > 0.9


def test_random_numbers_stay_as_they_were():
    tiles = torch.randn(8, 1, 8, 8)
    before = torch.get_rng_state()
    first = discriminability(tiles, tiles + 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert discriminability(tiles, tiles + 1) == first


def test_too_few_tell_nothing():
    assert discriminability(torch.zeros(3, 1, 8, 8), torch.zeros(9, 1, 8, 8)) is None
