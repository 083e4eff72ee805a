"""Colours and blur of images of any bands, against slow loops."""

import math

import pytest
import torch

from rsadapt.adapt.photometry import blurred, jittered


def make(bands, size=9):
    valid = torch.rand(3, size, size) < 0.7
    image = (5 + 3 * torch.randn(3, bands, size, size, dtype=torch.float64)) * valid.unsqueeze(1)
    return image, valid


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("bands", [1, 3, 7])
def test_each_band_keeps_its_form_and_stays_within_the_strength(bands):
    image, valid = make(bands)
    out = jittered(image, valid, strength=0.25, chance=1, random=random())
    slopes = set()
    for sample in range(3):
        for band in range(bands):
            before, after = (maps[sample, band][valid[sample]] for maps in (image, out))
            slope = (after.std() / before.std()).item()
            assert 1 / 1.25 <= slope <= 1.25
            torch.testing.assert_close(
                after - after.mean(), slope * (before - before.mean()), rtol=0, atol=1e-9
            )
            moved = (after.mean() - before.mean()).abs()
            assert 0 < moved <= 0.25 * before.std(correction=0)
            slopes.add(round(slope, 9))
    assert len(slopes) == 3 * bands
    assert not out[(~valid).unsqueeze(1).expand_as(out)].any()


@pytest.mark.parametrize("bands", [1, 4])
def test_blur_is_the_mean_of_valid_neighbours_by_a_gaussian(bands):
    image, valid = make(bands)
    most = 1.2
    out = blurred(image, valid, most=most, chance=1, random=random())
    deviations = most * torch.rand(3, generator=random())
    reach = math.ceil(3 * most)
    for sample, row, col in [(0, 0, 0), (1, 4, 4), (2, 8, 3), (0, 2, 7)]:
        total, weights = torch.zeros(bands, dtype=torch.float64), 0.0
        for r in range(max(0, row - reach), min(9, row + reach + 1)):
            for c in range(max(0, col - reach), min(9, col + reach + 1)):
                if valid[sample, r, c]:
                    squared = (r - row) ** 2 + (c - col) ** 2
                    weight = math.exp(-squared / (2 * deviations[sample].item() ** 2))
                    total += weight * image[sample, :, r, c]
                    weights += weight
        expected = total / weights if valid[sample, row, col] else torch.zeros(bands)
        torch.testing.assert_close(out[sample, :, row, col], expected.double(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", [jittered, blurred])
def test_chance_and_strength_of_nothing_leave_images_and_the_seed_decides(change):
    image, valid = make(2)
    size = "strength" if change is jittered else "most"
    given = {"chance": 1.0, size: 0.8}
    for nothing in ({"chance": 0.0}, {size: 0.0}):
        torch.testing.assert_close(change(image, valid, random=random(), **given | nothing), image)
    first, again, other = (change(image, valid, random=random(s), **given) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    some = change(
        image.repeat(20, 1, 1, 1),
        valid.repeat(20, 1, 1),
        random=random(),
        **given | {"chance": 0.5},
    )
    changed = (some != image.repeat(20, 1, 1, 1)).flatten(1).any(1)
    assert 15 < changed.sum() < 45


@pytest.mark.parametrize("change", [jittered, blurred])
def test_images_without_data_stay_nothing_and_values_below_are_not_read(change):
    size = "strength" if change is jittered else "most"
    image, valid = make(2)
    valid[0] = False
    image = image * valid.unsqueeze(1)
    given = {"chance": 1.0, size: 0.8}
    out = change(image, valid, random=random(), **given)
    assert out.isfinite().all()
    assert not out[0].any()
    if change is blurred:
        noise = torch.where(valid.unsqueeze(1), image, 1e6)
        torch.testing.assert_close(change(noise, valid, random=random(), **given), out)
