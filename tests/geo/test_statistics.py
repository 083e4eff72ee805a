import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.errors import DataError
from rsadapt.geo.statistics import band_statistics


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
