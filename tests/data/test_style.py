"""Transforms of style, each against a slow, obvious reference."""

import cmath
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsadapt.data.style import (
    changed,
    fit_covariance,
    fit_histogram,
    fit_moments,
    match,
    match_spectrum,
)
from rsadapt.errors import ShapeError

match_histogram = partial(match, fit=fit_histogram)
match_moments = partial(match, fit=fit_moments)
match_covariance = partial(match, fit=fit_covariance)


def fourier(image, valid, look, look_valid):
    return match_spectrum(image, valid, look, look_valid, beta=0.2)


ALL = [match_histogram, match_moments, match_covariance, fourier]


def draw(seed, *, bands=3, shape=(9, 12), levels=None):
    """An image of correlated bands and a mask that leaves about two thirds."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(bands, bands))
    image = 50 + 10 * np.einsum("ab,bij->aij", mixing, random.normal(size=(bands, *shape)))
    if levels is not None:
        image = random.integers(0, levels, (bands, *shape)).astype(float)
    return image, random.random(shape) < 0.67


def slow_histogram(value, values, others):
    """Where one value goes: by counting, and the line between the two nearest of the look."""
    place = np.mean(values < value) + np.mean(values == value) / 2
    known = sorted(set(others.tolist()))
    places = [np.mean(others < k) + np.mean(others == k) / 2 for k in known]
    if place <= places[0]:
        return known[0]
    for (low, high), (below, above) in zip(pairwise(places), pairwise(known), strict=True):
        if place <= high:
            return below + (place - low) / (high - low) * (above - below)
    return known[-1]


@pytest.mark.parametrize("levels", [None, 4])
def test_histogram_agrees_with_counting(levels):
    (image, valid), (look, look_valid) = draw(0, levels=levels), draw(1, shape=(7, 8), levels=6)
    out = match_histogram(image, valid, look, look_valid)
    for band in range(3):
        values, others = image[band][valid], look[band][look_valid]
        expected = [slow_histogram(value, values, others) for value in values]
        assert np.allclose(out[band][valid], expected, rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), levels=st.sampled_from([None, 3, 20]))
def test_histogram_keeps_order_and_matching_again_changes_nothing(seed, levels):
    (image, valid), (look, _) = draw(seed, levels=levels), draw(seed + 1)
    out = match_histogram(image, valid, look, valid)
    assert np.array_equal(match_histogram(image, valid, image, valid), image)
    for before, after, other in zip(image, out, look, strict=True):
        order = np.argsort(before[valid], kind="stable")
        assert (np.diff(after[valid][order]) >= 0).all()
        if levels is None:  # no ties and as many pixels: the look's very values
            assert np.allclose(np.sort(after[valid]), np.sort(other[valid]))
    if levels is None:
        assert np.allclose(match_histogram(out, valid, look, valid), out)


def test_histogram_undoes_what_bends_each_band():
    image, valid = draw(2)
    bent = np.stack([np.exp(image[0] / 20), image[1] ** 3, np.arctan(image[2] / 50)])
    assert np.allclose(match_histogram(bent, valid, image, valid)[:, valid], image[:, valid])


def test_a_fit_to_many_pixels_is_one_change_for_all():
    """The gap between two regions is undone in a window whose land is not that of the region."""
    image, valid = draw(2, shape=(40, 40))
    bent = np.stack([np.exp(image[0] / 20), image[1] ** 3, np.arctan(image[2] / 50)])
    change = fit_histogram(bent.reshape(3, -1), image.reshape(3, -1))
    part = np.s_[:, 5:9, 3:20]
    assert np.allclose(
        changed(bent[part], valid[part[1:]], change)[:, valid[part[1:]]],
        image[part][:, valid[part[1:]]],
    )
    beyond = change(np.array([[1e9], [-1e9], [2.0]]))[:, 0]
    assert np.allclose(beyond, [image[0].max(), image[1].min(), image[2].max()])


def test_constant_bands_and_single_pixels_are_matched():
    look, look_valid = draw(3)
    flat, one = np.full((3, 9, 12), 7.0), np.zeros((9, 12), bool)
    one[4, 5] = True
    others = np.sort(look[:, look_valid], axis=1)
    for valid in (look_valid, one):
        out = match_histogram(flat, valid, look, look_valid)[:, valid]
        assert np.allclose(out, np.median(others, axis=1)[:, None], atol=np.diff(others).max())
        for transform in (match_moments, match_covariance):
            out = transform(flat, valid, look, look_valid)[:, valid]
            assert np.allclose(out, others.mean(1)[:, None])
            assert np.allclose(transform(look, look_valid, flat, valid)[:, look_valid], 7)
        assert np.isfinite(fourier(flat, valid, look, look_valid)).all()
        assert np.isfinite(fourier(look, look_valid, flat, valid)).all()


def test_moments_are_the_looks():
    (image, valid), (look, look_valid) = draw(4), draw(5, shape=(20, 6))
    for transform in (match_moments, match_covariance):
        out = transform(image, valid, look, look_valid)[:, valid]
        assert np.allclose(out.mean(1), look[:, look_valid].mean(1))
        assert np.allclose(out.std(1), look[:, look_valid].std(1))
    assert np.allclose(np.cov(out, bias=True), np.cov(look[:, look_valid], bias=True))
    by_band = match_moments(image, valid, look, look_valid)[:, valid]
    assert np.allclose(np.corrcoef(by_band), np.corrcoef(image[:, valid]))


def test_covariance_of_uncorrelated_bands_is_matched_band_by_band():
    rows = np.array([[1.0, -1, 1, -1], [1, 1, -1, -1]]).reshape(2, 2, 2)
    valid = np.ones((2, 2), bool)
    look = 5 + rows * np.array([3.0, 0.5])[:, None, None]
    assert np.allclose(match_covariance(rows, valid, look, valid), look)


def test_bands_that_depend_on_each_other_have_a_covariance_to_match():
    image, valid = draw(6)
    image[2] = image[0] + image[1]
    look, look_valid = draw(7)
    out = match_covariance(image, valid, look, look_valid)
    assert np.isfinite(out).all()
    assert np.allclose(out[:, valid].mean(1), look[:, look_valid].mean(1))
    assert np.abs(out).max() < 1000
    assert np.allclose(match_covariance(image, valid, image, valid), image)


def slow_coefficient(band, row, col):
    """One frequency of a band by its definition, over the number of pixels."""
    height, width = band.shape
    turns = (
        band[i, j] * cmath.exp(-2j * cmath.pi * (row * i / height + col * j / width))
        for i in range(height)
        for j in range(width)
    )
    return sum(turns) / band.size


@pytest.mark.parametrize(
    ("shape", "look_shape"), [((6, 8), (6, 8)), ((7, 9), (7, 9)), ((7, 6), (10, 8))]
)
def test_spectrum_agrees_with_a_loop_over_frequencies(shape, look_shape):
    (image, _), (look, _) = draw(8, shape=shape), draw(9, shape=look_shape)
    valid, look_valid = np.ones(shape, bool), np.ones(look_shape, bool)
    out = match_spectrum(image, valid, look, look_valid, beta=0.34)
    assert np.isrealobj(out)
    for before, after, other in zip(image, out, look, strict=True):
        for row in range(-((shape[0] - 1) // 2), shape[0] // 2 + 1):
            for col in range(-((shape[1] - 1) // 2), shape[1] // 2 + 1):
                ours, found = (slow_coefficient(band, row, col) for band in (before, after))
                expected = ours
                if max(abs(row), abs(col)) <= 2:  # floor(6 x 0.34) and floor(7 x 0.34)
                    theirs = abs(slow_coefficient(other, row, col))
                    expected = theirs * ours / abs(ours)  # the phase is kept
                assert abs(found - expected) < 1e-9


def test_mean_alone_is_shifted_by_the_smallest_window():
    (image, valid), (look, look_valid) = draw(10), draw(11)
    for beta in (0.0, 0.1):  # floor(9 x 0.1) is 0 as well
        out = match_spectrum(image, valid, look - 90, look_valid, beta=beta)
        shift = (look - 90)[:, look_valid].mean(1) - image[:, valid].mean(1)
        assert np.allclose((out - image)[:, valid], shift[:, None])
    with pytest.raises(ValueError, match=r"below 0\.5, found 0\.5"):
        match_spectrum(image, valid, look, look_valid, beta=0.5)


@pytest.mark.parametrize("transform", ALL)
def test_what_is_invalid_has_no_effect_and_stays(transform):
    (image, valid), (look, look_valid) = draw(12, bands=5), draw(13, bands=5)
    out = transform(image, valid, look, look_valid)
    soiled, soiled_look = image.copy(), look.copy()
    soiled[:, ~valid], soiled_look[:, ~look_valid] = np.nan, 1e30
    again = transform(soiled, valid, soiled_look, look_valid)
    assert np.array_equal(again[:, valid], out[:, valid])
    assert np.isnan(again[:, ~valid]).all()
    assert np.array_equal(out[:, ~valid], image[:, ~valid])
    assert not np.allclose(out[:, valid], image[:, valid])
    nothing = np.zeros_like(valid)
    assert np.array_equal(transform(image, valid, look, nothing), image)
    assert np.array_equal(transform(image, nothing, look, look_valid), image)


@pytest.mark.parametrize("transform", ALL)
@pytest.mark.parametrize(
    ("dtype", "out"), [("uint8", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_precision_is_the_images_and_one_band_is_enough(transform, dtype, out):
    (image, valid), (look, look_valid) = draw(14, bands=1, levels=99), draw(15, bands=1, levels=99)
    found = transform(image.astype(dtype), valid, look.astype(dtype), look_valid)
    assert found.dtype == out
    exact = transform(image, valid, look, look_valid)
    assert np.allclose(found, exact, rtol=1e-5)


@pytest.mark.parametrize("transform", ALL)
def test_other_bands_are_refused(transform):
    (image, valid), (look, look_valid) = draw(16), draw(17, bands=2)
    with pytest.raises(ShapeError, match=r"as many bands.*\(3, 9, 12\).*\(2, 9, 12\)"):
        transform(image, valid, look, look_valid)
    with pytest.raises(ShapeError, match="validity"):
        transform(image, valid[1:], image, valid)
