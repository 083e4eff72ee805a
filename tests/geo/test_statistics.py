import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.errors import DataError
from rsadapt.geo.statistics import (
    PERCENTILES,
    SAMPLE,
    BandStatistics,
    band_statistics,
    constant_bands,
)


def image(seed=0, shape=(3, 40, 50), dtype="float64"):
    random = np.random.default_rng(seed)
    return random.normal(100, 20, shape).astype(dtype), random.random(shape[1:]) < 0.7


def rows(values, valid, step):
    for row in range(0, len(valid), step):
        yield values[:, row : row + step], valid[row : row + step]


@given(st.integers(0, 99), st.integers(1, 45))
def test_blocks_give_what_the_whole_gives(seed, step):
    values, valid = image(seed)
    statistics = band_statistics(rows(values, valid, step))
    pixels = values[:, valid]
    assert statistics.mean == pytest.approx(pixels.mean(axis=1))
    assert statistics.std == pytest.approx(pixels.std(axis=1))
    assert statistics.minimum == tuple(pixels.min(axis=1))
    assert statistics.maximum == tuple(pixels.max(axis=1))
    assert (statistics.valid, statistics.total) == (valid.sum(), valid.size)
    assert statistics.valid_share == valid.mean()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "int64"])
def test_narrow_types_do_not_overflow(dtype):
    values, valid = image(dtype=dtype)
    assert band_statistics([(values, valid)]).mean == pytest.approx(
        values[:, valid].astype(float).mean(axis=1)
    )


def test_small_spread_on_a_large_offset_survives():
    values, valid = image()
    far = band_statistics(rows(values + 1e9, valid, 7))
    assert far.std == pytest.approx(band_statistics([(values, valid)]).std, rel=1e-6)


def test_invalid_pixels_count_nowhere():
    values, valid = image()
    spoilt = values.copy()
    spoilt[:, ~valid] = np.nan
    assert band_statistics(rows(spoilt, valid, 9)) == band_statistics(rows(values, valid, 9))


def test_no_valid_pixel_is_an_error():
    values, valid = image()
    with pytest.raises(DataError, match="no valid pixel among 4000"):
        band_statistics([(values, valid & False)] * 2)
    with pytest.raises(DataError, match="no valid pixel among 0"):
        band_statistics([])


# Percentiles and histograms


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32"])
@given(st.integers(0, 99), st.integers(1, 45))
def test_percentiles_are_those_of_all_values(dtype, seed, step):
    values, valid = image(seed)
    values = (values - 80).astype(dtype)
    found = band_statistics(rows(values, valid, step)).percentiles
    expected = np.percentile(values[:, valid], PERCENTILES, axis=1).T
    assert np.array(found) == pytest.approx(expected)


def test_percentiles_of_integers_are_exact_in_any_number():
    values = np.random.default_rng(0).integers(0, 65536, (1, 800, 800), dtype=np.uint16)
    valid = np.ones(values.shape[1:], bool)
    assert values.size > SAMPLE
    found = band_statistics(rows(values, valid, 70)).percentiles
    assert np.array(found[0]) == pytest.approx(np.percentile(values, PERCENTILES))


def test_percentiles_of_a_sample_are_as_near_as_stated():
    steps = np.arange(1500) ** 3.0  # far from even, and in order
    values = np.repeat(steps[np.newaxis, np.newaxis], 1500, axis=1).astype(np.float32)
    values = np.concatenate([values, values.swapaxes(1, 2)])
    valid = np.ones(values.shape[1:], bool)
    for step in (7, 64, 1500):
        found = band_statistics(rows(values, valid, step)).percentiles
        for band, percentiles in zip(values, found, strict=True):
            for percentile, value in zip(PERCENTILES, percentiles, strict=True):
                below, upto = 100 * (band < value).mean(), 100 * (band <= value).mean()
                assert below - 0.3 <= percentile <= upto + 0.3


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_histogram_counts_every_valid_pixel_once(dtype):
    values, valid = image(dtype=dtype)
    values[0, :2, :2] = 127
    for band, histogram in zip(
        values[:, valid], band_statistics(rows(values, valid, 9)).histograms, strict=True
    ):
        edges = np.array(histogram.edges)
        inside = band.clip(edges[0], edges[-1])
        assert histogram.counts == tuple(np.histogram(inside, edges)[0])
        assert sum(histogram.counts) == valid.sum()
        assert len(histogram.counts) <= 64
        assert np.diff(edges) == pytest.approx(edges[1] - edges[0])


def test_bins_of_integers_hold_equally_many_values():
    values = np.arange(200, dtype=np.uint8).reshape(1, 10, 20)
    (histogram,) = band_statistics([(values, np.ones((10, 20), bool))]).histograms
    assert histogram.edges == tuple(-0.5 + 4 * np.arange(51))
    assert set(histogram.counts) == {4}


def test_histogram_is_not_stretched_by_outliers():
    values, valid = image(shape=(1, 60, 60))
    values[0, 0, :5] = 1e9
    valid[0, :5] = True
    (histogram,) = band_statistics([(values, valid)]).histograms
    assert histogram.edges[-1] < 250
    assert histogram.counts[-1] >= 5


def test_files_of_several_types_make_one_region():
    values, valid = image(shape=(2, 60, 60))
    parts = [values[:, :20].astype(np.uint8), values[:, 20:40].astype(np.int16), values[:, 40:]]
    joined = np.concatenate([part.astype(float) for part in parts], axis=1)
    found = band_statistics(zip(parts, np.split(valid, 3), strict=True))
    whole = band_statistics([(joined, valid)])
    assert found.mean == pytest.approx(whole.mean)
    assert found.std == pytest.approx(whole.std)
    assert np.array(found.percentiles) == pytest.approx(np.array(whole.percentiles))
    assert [sum(h.counts) for h in found.histograms] == [valid.sum()] * 2


# Constant bands


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_constant_bands_are_told(dtype):
    values, valid = image(dtype=dtype)
    values[1] = 7
    values[1, ~valid] = 9
    found = band_statistics(rows(values, valid, 11))
    assert constant_bands(found) == (1,)
    assert found.percentiles[1] == (7,) * len(PERCENTILES)
    edges = found.histograms[1].edges
    assert edges[0] < 7 < edges[-1]


# Samples and records


def test_figures_say_what_they_were_taken_of():
    values, valid = image()
    assert band_statistics([(values, valid)]).basis == "all pixels"
    part = band_statistics([(values, valid)], total=16_000)
    assert (part.pixels, part.total) == (2000, 16_000)
    assert part.basis == "a sample of 12 % of pixels"
    assert part.valid_share == valid.mean()


def test_figures_survive_json():
    values, valid = image(dtype="uint8")
    found = band_statistics([(values, valid)])
    assert BandStatistics.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_missing_value_that_nobody_named_is_told_of():
    values, valid = image()
    values[1, 3, 4], valid[3, 4] = -np.finfo(float).max, True
    with pytest.raises(DataError, match=r"from -1\.798e\+308 to .*-a_nodata"):
        band_statistics(rows(values, valid, 9))
