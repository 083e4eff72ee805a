"""Example windows: the same ones every time, in colours that mean what bands show."""

import numpy as np
import pytest

from rsadapt import build, config
from rsadapt.inspection.examples import COUNT, draw_examples, shown_bands


@pytest.fixture
def region(values):
    return build.geotiff_places(config.parse(values, where="test")).source.training


@pytest.fixture
def scheme(values):
    return build.class_scheme(config.parse(values, where="test"))


def test_windows_repeat_and_carry_their_labels(region, scheme, make_band):
    bands = tuple(make_band(n) for n in region.bands)
    ours, again = (draw_examples(region, scheme, bands, size=48) for _ in range(2))
    assert len(ours) == COUNT
    for one, other in zip(ours, again, strict=True):
        assert one.name == other.name
        assert one.picture.shape == one.label.shape == (48, 48, 3)
        np.testing.assert_array_equal(one.picture, other.picture)
        painted = {tuple(colour) for colour in one.label.reshape(-1, 3).tolist()}
        assert painted <= {*scheme.colours, (255, 255, 255)}


def test_unlabelled_regions_have_windows_without_labels(values, scheme, make_band):
    values["target"].pop("labels")
    region = build.geotiff_places(config.parse(values, where="test")).target.training
    bands = tuple(make_band(n) for n in region.bands)
    assert all(shown.label is None for shown in draw_examples(region, scheme, bands, size=48))


def test_bands_by_name_by_colour_and_by_place(make_band):
    named = tuple(make_band(n, name=name) for n, name in enumerate(("Blue", "Green", "Red"), 1))
    assert shown_bands(named) == (2, 1, 0)
    assert shown_bands(tuple(make_band(n) for n in (1, 2, 3, 4))) == (0, 1, 2)
    assert shown_bands((make_band(1), make_band(2))) == (0, 0, 0)
