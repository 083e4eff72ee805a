"""Samples that look like others', in whose units they are then."""

import numpy as np
import pytest
import torch

from rsadapt.data.style import match_spectrum
from rsadapt.data.styling import POOLED, POOLED_PIXELS, LikeSample, Styling, pool
from rsadapt.geo.normalise import Normaliser
from rsadapt.sample import Sample

OURS, THEIRS = Normaliser((2000.0, 900.0), (400.0, 300.0)), Normaliser((70.0, 30.0), (9.0, 6.0))


class Looks:
    """Samples that say their number."""

    def __getitem__(self, number):
        image = torch.full((2, 4, 5), float(number))
        return Sample(image, torch.ones((4, 5), dtype=torch.bool))


@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_images_come_in_the_targets_units_and_meet_the_look_of_their_number(dtype):
    values = np.random.default_rng(0).integers(100, 4000, (2, 4, 5)).astype(dtype)
    valid, met = np.ones((4, 5), bool), []

    def transform(image, image_valid, look, look_valid):
        assert image_valid is valid
        assert look_valid.all()
        met.append(look[0, 0, 0])
        return image

    def styling(source, target):
        return Styling(LikeSample(Looks(), transform), source=source, target=target)

    out = styling(OURS, THEIRS)(values, valid, 7)
    assert np.allclose(THEIRS(out, valid), OURS(values, valid), atol=1e-5)
    assert np.array_equal(styling(OURS, OURS)(values, valid, 8), values)
    assert met == [7, 8]


def test_other_units_of_the_source_make_no_other_low_frequencies():
    random = np.random.default_rng(1)
    values, valid = random.uniform(1000, 3000, (2, 4, 5)), np.ones((4, 5), bool)
    finer = Normaliser(tuple(10 * m for m in OURS.mean), tuple(10 * s for s in OURS.std))

    def transform(image, image_valid, look, look_valid):
        return match_spectrum(image, image_valid, look, look_valid, beta=0.3)

    out, again = (
        Styling(LikeSample(Looks(), transform), source=source, target=THEIRS)(image, valid, 3)
        for image, source in ((values, OURS), (10 * values, finer))
    )
    assert np.allclose(out, again)


def test_pool_is_valid_pixels_spread_over_many_samples():
    class Half:
        """Samples whose left half is invalid, twice as large as what is taken of each."""

        def __getitem__(self, number):
            image = torch.arange(2 * 8 * POOLED_PIXELS).reshape(2, 8, -1).float() + number
            valid = torch.arange(POOLED_PIXELS) >= POOLED_PIXELS // 2
            return Sample(image * valid, valid.expand(8, -1))

    pixels = pool(Half())
    assert pixels.shape == (2, POOLED * POOLED_PIXELS)
    assert (pixels[1] - pixels[0] == 8 * POOLED_PIXELS).all()
    first = pixels[0, :POOLED_PIXELS]
    assert (first % POOLED_PIXELS >= POOLED_PIXELS // 2).all()
    assert set(first // POOLED_PIXELS) == set(range(8))
    assert pixels[0, -1] - pixels[0, POOLED_PIXELS - 1] == POOLED - 1
