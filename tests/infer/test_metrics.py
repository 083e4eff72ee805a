"""The confusion matrix against hand-computed figures and a slow loop."""

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.errors import ConfigError, DataError, ShapeError
from rsadapt.infer.metrics import CHUNK, ConfusionMatrix

CLASSES = 4
train_ids = st.sampled_from([*range(CLASSES), 255])
pixels = st.lists(st.tuples(train_ids, train_ids), max_size=60)


def matrix_of(counts):
    matrix = ConfusionMatrix(len(counts))
    matrix.counts += np.array(counts)
    return matrix


def counted(pairs):
    matrix = ConfusionMatrix(CLASSES)
    reference, predicted = np.array(pairs, np.uint8).reshape(-1, 2).T
    matrix.update(reference, predicted)
    return matrix


def divided(part, whole):
    return part / whole if whole else math.nan


def test_hand_computed_example():
    matrix = matrix_of([[20, 5], [10, 15]])
    np.testing.assert_allclose(matrix.iou, [20 / 35, 15 / 30])
    np.testing.assert_allclose(matrix.f1, [40 / 55, 30 / 45])
    np.testing.assert_allclose(matrix.users_accuracy, [20 / 30, 15 / 20])
    np.testing.assert_allclose(matrix.producers_accuracy, [20 / 25, 15 / 25])
    np.testing.assert_array_equal(matrix.support, [25, 25])
    assert matrix.miou == pytest.approx((20 / 35 + 15 / 30) / 2)
    assert matrix.overall_accuracy == pytest.approx(0.7)
    assert matrix.kappa == pytest.approx(0.4)  # chance: 0.5 * 0.6 + 0.5 * 0.4 = 0.5


@given(pixels)
def test_equals_a_slow_loop(pairs):
    matrix = counted(pairs)
    kept = [(r, p) for r, p in pairs if r != 255 and p != 255]
    right = sum(r == p for r, p in kept)
    chance = 0.0
    for c in range(CLASSES):
        hits = sum(r == p == c for r, p in kept)
        present, predicted = sum(r == c for r, _ in kept), sum(p == c for _, p in kept)
        union = sum(c in pair for pair in kept)
        chance += divided(present * predicted, len(kept) ** 2)
        assert matrix.support[c] == present
        np.testing.assert_equal(matrix.iou[c], divided(hits, union))
        np.testing.assert_equal(matrix.f1[c], divided(2 * hits, present + predicted))
        np.testing.assert_equal(matrix.users_accuracy[c], divided(hits, predicted))
        np.testing.assert_equal(matrix.producers_accuracy[c], divided(hits, present))
    accuracy = divided(right, len(kept))
    np.testing.assert_equal(matrix.overall_accuracy, accuracy)
    np.testing.assert_allclose(matrix.kappa, divided(accuracy - chance, 1 - chance), atol=1e-12)
    assert matrix.missed == sum(r != 255 and p == 255 for r, p in pairs)


def pair_of_maps(classes, longest, *, size):
    """Reference and predicted in runs of up to so many pixels, some of them 255."""
    random = np.random.default_rng(longest)
    lengths = random.integers(1, longest + 1, size)
    ids = random.integers(0, classes + 1, (2, size))
    ids[ids == classes] = 255
    return np.repeat(ids, lengths, axis=1)[:, :size].astype(np.uint8)


@pytest.mark.parametrize("classes", [1, 4, 19, 130, 255])
@pytest.mark.parametrize("longest", [1, 30])
def test_maps_larger_than_a_chunk_are_counted_pixel_by_pixel(classes, longest):
    reference, predicted = pair_of_maps(classes, longest, size=2 * CHUNK + 77)
    pairs = Counter(zip(reference.tolist(), predicted.tolist(), strict=True))
    matrix = ConfusionMatrix(classes)
    matrix.update(reference, predicted)
    assert matrix.missed == sum(n for (r, p), n in pairs.items() if r != 255 and p == 255)
    assert {(r, p): matrix.counts[r, p] for r, p in np.argwhere(matrix.counts)} == {
        pair: n for pair, n in pairs.items() if 255 not in pair
    }


def test_arrays_are_read_in_one_order_and_left_alone():
    reference, predicted = pair_of_maps(5, 9, size=600).reshape(2, 20, 30)
    whole, turned = ConfusionMatrix(5), ConfusionMatrix(5)
    copies = reference.copy(), predicted.copy()
    whole.update(reference, predicted)
    turned.update(reference.T[::-1], np.ascontiguousarray(predicted.T[::-1]))
    np.testing.assert_array_equal(turned.counts, whole.counts)
    np.testing.assert_array_equal((reference, predicted), copies)


@pytest.mark.parametrize(
    ("dtype", "stray"), [(np.uint8, 99), (np.int8, -1), (np.int16, 257), (np.int64, -255)]
)
def test_a_prediction_may_be_anything_where_nothing_is_labelled(dtype, stray):
    predicted = np.array([1, stray], dtype)
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([1, 255]), predicted)
    assert matrix.counts[1, 1] == matrix.counts.sum() == 1
    assert matrix.missed == 0
    with pytest.raises(DataError, match=rf"predicted ids must lie in 0\.\.2 .*{stray}"):
        matrix.update(np.array([1, 0]), predicted)


@given(pixels, pixels)
def test_sum_of_parts_is_the_whole(first, second):
    whole, total = counted(first + second), counted(first) + counted(second)
    np.testing.assert_array_equal(total.counts, whole.counts)
    assert total.missed == whole.missed


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_any_shape_and_integer_type(dtype):
    matrix = ConfusionMatrix(200)
    matrix.update(np.full((2, 3, 4), 199, dtype), np.full((2, 3, 4), 198, dtype))
    assert matrix.counts[199, 198] == matrix.counts.sum() == 24


def test_class_neither_present_nor_predicted_is_left_out():
    matrix = matrix_of([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert np.isnan(matrix.iou[2])
    assert matrix.miou == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert matrix.mean_f1 == pytest.approx((6 / 7 + 8 / 9) / 2)
    assert matrix.to_dict(["a", "b", "c"])["left_out"] == ["c"]


def test_nothing_counted_is_nan_throughout():
    matrix = ConfusionMatrix(2)
    figures = (matrix.miou, matrix.mean_f1, matrix.overall_accuracy, matrix.kappa)
    assert all(math.isnan(figure) for figure in figures)


def test_kappa_of_one_class_alone_is_undefined():
    assert math.isnan(matrix_of([[9, 0], [0, 0]]).kappa)


def test_kappa_survives_continents():
    counts = np.array([[20, 5], [10, 15]]) * 10**15
    assert matrix_of(counts).kappa == pytest.approx(0.4)


def test_report_is_json():
    matrix = matrix_of([[20, 5, 0], [10, 15, 0], [0, 0, 0]])
    matrix.missed = 7
    report = json.loads(json.dumps(matrix.to_dict(["a", "b", "c"]), allow_nan=False))
    assert report["classes"]["c"] == {
        "iou": None,
        "f1": None,
        "users_accuracy": None,
        "producers_accuracy": None,
        "support": 0,
    }
    assert report["totals"]["kappa"] == pytest.approx(0.4)
    assert report["totals"]["pixels"] == 50
    assert report["totals"]["missed"] == 7
    assert report["counts"][1] == [10, 15, 0]
    assert report["axes"] == "rows reference, columns predicted"


@pytest.mark.parametrize(
    ("reference", "predicted", "text"),
    [
        ([0, 3], [0, 0], r"reference ids .* found 0\.\.3"),
        ([0, 0], [-1, 2], r"predicted ids .* -1"),
        (np.uint8([255, 0, 254]), np.uint8([0, 0, 0]), r"reference ids .* found 0\.\.254"),
        (np.uint8([2, 2, 2]), np.uint8([255, 7, 1]), r"predicted ids .* found 1\.\.7"),
    ],
)
def test_ids_that_are_no_class(reference, predicted, text):
    matrix = ConfusionMatrix(3)
    with pytest.raises(DataError, match=text):
        matrix.update(np.array(reference), np.array(predicted))
    assert matrix.counts.sum() == matrix.missed == 0


def test_a_missed_pixel_must_have_a_class():
    with pytest.raises(DataError, match="reference ids"):
        ConfusionMatrix(3).update(np.array([7]), np.array([255]))


def test_what_cannot_be_counted():
    matrix = ConfusionMatrix(3)
    with pytest.raises(ShapeError, match=r"\(2,\) and \(3,\)"):
        matrix.update(np.zeros(2, int), np.zeros(3, int))
    with pytest.raises(DataError, match="float64"):
        matrix.update(np.zeros(2), np.zeros(2, int))
    with pytest.raises(ShapeError, match="2 classes into one of 3"):
        matrix.merge(ConfusionMatrix(2))
    with pytest.raises(ShapeError, match="expected 3 class names, found 1"):
        matrix.to_dict(["a"])
    with pytest.raises(ConfigError, match="found 256"):
        ConfusionMatrix(256)
