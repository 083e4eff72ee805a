"""The class table: raw ids, train ids and map codes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsadapt.adapt import losses
from rsadapt.classes import IGNORE_INDEX, NODATA, ClassScheme
from rsadapt.errors import ConfigError, DataError

SCHEME = ClassScheme(
    names=("water", "forest", "road"),
    ids=((10, 300), (0,), (254, -1)),
    colours=((0, 0, 255), (0, 90, 0), (9, 9, 9)),
    ignored=(255, 7),
)
TRAIN = {10: 0, 300: 0, 0: 1, 254: 2, -1: 2, 255: IGNORE_INDEX, 7: IGNORE_INDEX}


def table(**changes):
    plain = {"names": ("a", "b"), "ids": ((1,), (2,)), "colours": ((0, 0, 0), (1, 1, 1))}
    return ClassScheme(**{**plain, **changes})


def test_adapt_leaves_out_the_same_index():
    assert losses.IGNORE_INDEX == IGNORE_INDEX


@given(st.data(), st.sampled_from(["u1", "i1", "u2", ">u2", "i2", "i4", "u8"]))
def test_encoding_is_a_look_up_of_every_pixel(data, dtype):
    limits = np.iinfo(dtype)
    ids = st.sampled_from([value for value in TRAIN if limits.min <= value <= limits.max])
    raw = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0), elements=ids))
    for view in (raw, raw.T, raw[..., ::-1] if raw.ndim else raw):
        train = SCHEME.encode(view)
        assert (train.dtype, train.shape) == (np.uint8, view.shape)
        assert train.ravel().tolist() == [TRAIN[value] for value in view.ravel().tolist()]
        train[...] = 0  # the caller's own


def test_ids_that_fit_no_table_are_looked_up_too():
    far = table(ids=((1, 10**12), (2, -(10**12))))
    np.testing.assert_array_equal(far.encode(np.array([10**12, -(10**12), 1, 255])), [0, 1, 0, 255])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "i8"])
def test_no_id_is_taken_for_another(dtype):
    limits, dense = np.iinfo(dtype), np.arange(-300, 70_000)
    raw = dense[(limits.min <= dense) & (dense <= limits.max)].astype(dtype)
    known = np.isin(raw, list(TRAIN))
    SCHEME.encode(raw, known)
    for value in raw[~known][:: 1 + raw.size // 50]:
        with pytest.raises(DataError, match=rf": {value} \(1 pixels\); known"):
            SCHEME.encode(np.append(raw[known], value))


def test_table_of_255_classes_leaves_no_id_unnoticed():
    ids = range(IGNORE_INDEX)
    full = ClassScheme(tuple(map(str, ids)), tuple((i,) for i in ids), ((0, 0, 0),) * len(ids))
    everything = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(full.encode(everything), everything)
    with pytest.raises(DataError, match=r"256 \(1 pixels\)"):
        full.encode(np.append(everything.astype(np.uint16), np.uint16(256)))


@given(hnp.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 2, IGNORE_INDEX])))
def test_maps_read_back_as_the_train_ids_they_were_made_of(train):
    codes = SCHEME.decode(train)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(SCHEME.encode(codes), train)
    np.testing.assert_array_equal(codes == NODATA, train == IGNORE_INDEX)


def test_codes_are_the_first_ids():
    assert SCHEME.codes == (10, 0, 254)


def test_ids_at_invalid_pixels_are_not_looked_at():
    raw, valid = np.array([[10, 99], [0, 7]]), np.array([[True, False], [False, True]])
    for dtype in (np.uint8, np.uint16, np.int64):
        np.testing.assert_array_equal(
            SCHEME.encode(raw.astype(dtype), valid), [[0, IGNORE_INDEX], [IGNORE_INDEX] * 2]
        )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_unknown_ids_are_counted_and_the_file_is_named(dtype):
    raw, valid = np.array([77, 10, 77, 8, 77], dtype), np.array([True] * 4 + [False])
    with pytest.raises(DataError, match=r"here\.tif: .*: 8 \(1 pixels\), 77 \(2 pixels\); .*add"):
        SCHEME.encode(raw, valid, where="here.tif")


def test_table_survives_json():
    assert ClassScheme.from_dict(json.loads(json.dumps(SCHEME.to_dict()))) == SCHEME


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": (), "ids": (), "colours": ()}, "1 to 255 classes, found 0"),
        ({"names": ("a",)}, "found 1, 2 and 2"),
        ({"names": ("a", "a")}, "must differ"),
        ({"ids": ((1,), ())}, "'b' has no label id"),
        ({"ids": ((1,), (255,))}, r"0\.\.254, found 255"),
        ({"ids": ((1,), (-1,))}, r"0\.\.254, found -1"),
        ({"ids": ((1, 3), (2, 3))}, "3 stands in the class table twice"),
        ({"ignored": (2, 9)}, r"\[2\] are a class and ignored"),
    ],
)
def test_table_that_cannot_be_meant(changes, message):
    with pytest.raises(ConfigError, match=message):
        table(**changes)


def test_classes_get_their_colours_and_the_rest_white():
    scheme = ClassScheme(("land", "sea"), ((4,), (9,)), ((1, 2, 3), (0, 0, 255)))
    painted = scheme.paint(np.array([[0, 1, 255]], np.uint8))
    assert painted.tolist() == [[[1, 2, 3], [0, 0, 255], [255, 255, 255]]]
