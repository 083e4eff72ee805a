"""The domain discriminator that judges every location at several scales."""

import torch

from rsadapt.nets.pyramid_discriminator import PyramidDiscriminator


def test_every_location_is_judged_by_all_branches():
    features = torch.randn(2, 5, 7, 9, requires_grad=True)
    rates = [1, 3]
    judge = PyramidDiscriminator(5, width=4, rates=rates)
    found = judge(features)
    assert found.shape == (2, 1, 7, 9)
    branches = torch.cat([branch(features) for branch in judge.branches], 1)
    torch.testing.assert_close(found, branches.mean(1, keepdim=True))
    found[0, 0, 3, 4].backward()
    rows, cols = features.grad[0].abs().sum(0).nonzero(as_tuple=True)
    reach = {(3 + r * y, 4 + r * x) for r in rates for y in (-1, 0, 1) for x in (-1, 0, 1)}
    assert set(zip(rows.tolist(), cols.tolist(), strict=True)) == reach
    assert not features.grad[1].any()
