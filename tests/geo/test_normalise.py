import json

import numpy as np
import pytest

from rsadapt.errors import ConfigError, ShapeError
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.statistics import band_statistics


def image(dtype="uint16"):
    random = np.random.default_rng(0)
    values = random.integers(0, 200, (3, 40, 50)).astype(dtype)
    return values, random.random((40, 50)) < 0.7


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_own_statistics_bring_mean_0_and_deviation_1(dtype):
    values, valid = image(dtype)
    scaled = Normaliser.from_statistics(band_statistics([(values, valid)]))(values, valid)
    assert scaled.dtype == np.float32
    assert scaled[:, valid].mean(axis=1) == pytest.approx([0, 0, 0], abs=1e-5)
    assert scaled[:, valid].std(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


@pytest.mark.parametrize("filler", [np.nan, np.inf, -np.inf, 3.4e38, -9999])
def test_invalid_pixels_become_0_whatever_they_hold(filler):
    values, valid = image("float32")
    values[:, ~valid] = filler
    scaled = Normaliser((100.0, 90.0, 80.0), (1e-3, 1.0, 50.0))(values, valid)
    assert (scaled[:, ~valid] == 0).all()
    assert np.isfinite(scaled).all()


def test_formula_is_that_of_the_docstring():
    values, valid = image()
    scaled = Normaliser((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))(values, valid | True)
    assert scaled[1] == pytest.approx((values[1] - 2.0) / 5.0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("std", [(1.0, 1.0, 1.0), (1.0, 7.3, 0.3)])
def test_pixels_that_are_all_valid_take_a_short_way_to_the_same_bits(dtype, std):
    values, valid = image(dtype)
    normaliser, everywhere = Normaliser((104.006, 116.668, 122.678), std), valid | True
    whole, part = normaliser(values, everywhere), normaliser(values, valid)
    assert np.array_equal(whole[:, valid], part[:, valid])
    turned = np.asfortranarray(values)
    assert np.array_equal(normaliser(turned, everywhere), whole)
    assert normaliser(turned, everywhere).flags.c_contiguous


def test_large_integers_keep_their_precision():
    values = np.array([[[2**30, 2**30 + 1]]], np.int32)
    scaled = Normaliser((float(2**30),), (1.0,))(values, np.ones((1, 2), bool))
    assert scaled.tolist() == [[[0.0, 1.0]]]


def test_constant_band_is_centred_and_not_scaled():
    valid = np.ones((4, 5), bool)
    flat = np.full((1, 4, 5), 0.1)
    normaliser = Normaliser.from_statistics(band_statistics([(flat, valid)] * 3))
    assert normaliser.std == (1.0,)
    assert normaliser(flat, valid) == pytest.approx(np.zeros((1, 4, 5)), abs=1e-7)


def test_input_is_left_as_it_was():
    values, valid = image("float32")
    before = values.copy()
    Normaliser((1.0, 1.0, 1.0), (2.0, 2.0, 2.0))(values, valid)
    assert np.array_equal(values, before)


def test_survives_json():
    normaliser = Normaliser((1.5, 2.0), (3.0, 0.1))
    assert Normaliser.from_dict(json.loads(json.dumps(normaliser.to_dict()))) == normaliser


@pytest.mark.parametrize(
    ("values", "valid"), [((2, 4, 5), (4, 5)), ((3, 4, 5), (5, 4)), ((4, 5), (4, 5))]
)
def test_wrong_shape_is_refused(values, valid):
    with pytest.raises(ShapeError, match=r"expected values \[3, height, width\]"):
        Normaliser((1.0,) * 3, (1.0,) * 3)(np.zeros(values), np.ones(valid, bool))


@pytest.mark.parametrize(
    ("mean", "std", "complaint"),
    [
        ((), (), "for every band"),
        ((1.0,), (1.0, 2.0), "for every band"),
        ((1.0,), (0.0,), "above 0"),
        ((1.0,), (float("nan"),), "above 0"),
        ((float("inf"),), (1.0,), "finite"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(mean, std, complaint):
    with pytest.raises(ConfigError, match=complaint):
        Normaliser(mean, std)
