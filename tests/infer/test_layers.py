"""What a map can say of each pixel."""

import numpy as np
import pytest
import torch

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError
from rsadapt.infer.layers import LAYERS, LayerRows, layers

SCHEME = ClassScheme(("water", "forest", "field"), ((10,), (20,), (30,)), ((0, 0, 255),) * 3)
VALID = np.array([[True, True], [True, False]])
SHARES = torch.tensor(
    [[[0.7, 1.0], [1 / 3, 0.1]], [[0.2, 0.0], [1 / 3, 0.2]], [[0.1, 0.0], [1 / 3, 0.7]]]
)


def stored(name, **options):
    (layer,) = layers([name], SCHEME, **options)
    rows = LayerRows([layer], (3, 2), "cpu")
    rows.put(slice(1, 2), SHARES[:, :, 1:], VALID[:, 1:])
    rows.put(slice(0, 1), SHARES[:, :, :1], VALID[:, :1])
    values = rows.take(2, where="a.tif")[name]
    assert values.dtype == layer.bands.dtype
    assert len(values) == len(layer.bands.descriptions)
    return values


def test_classes_are_codes():
    np.testing.assert_array_equal(stored("classes")[0].ravel()[[0, 1, 3]], [10, 10, 255])


def test_the_first_of_equally_probable_classes_is_taken():
    shares = torch.randint(0, 4, (3, 40, 50), generator=torch.Generator().manual_seed(0)) / 4
    (layer,) = layers(["classes"], SCHEME)
    expected = np.array(SCHEME.codes)[shares.numpy().argmax(axis=0)]
    np.testing.assert_array_equal(layer.of(shares)[0].numpy(), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("confidence", [0.7, 1, 1 / 3]),
        ("margin", [0.5, 1, 0]),
        (
            "entropy",
            [-(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1)) / np.log(3), 0, 1],
        ),
    ],
)
def test_shares_are_steps_of_one_in_254(name, expected):
    values = stored(name)[0].ravel()
    np.testing.assert_allclose(values[:3] / 254, expected, atol=0.5001 / 254)
    assert values[3] == 255


def test_probabilities_are_steps_or_precise():
    np.testing.assert_allclose(stored("probabilities")[:, 0, 0] / 254, [0.7, 0.2, 0.1], atol=0.002)
    precise = stored("probabilities", precise=True)
    np.testing.assert_array_equal(precise[:, VALID], SHARES.numpy()[:, VALID])
    assert np.isnan(precise[:, 1, 1]).all()


def test_one_class_is_sure():
    one = ClassScheme(("water",), ((10,),), ((0, 0, 255),))
    for name, expected in (("margin", 254), ("entropy", 0), ("confidence", 254)):
        (layer,) = layers([name], one)
        assert (layer.of(torch.ones(1, 2, 2)) == expected).all()


def test_layers_come_in_one_order():
    assert [layer.name for layer in layers(["margin", "classes"], SCHEME)] == ["classes", "margin"]
    assert [layer.name for layer in layers(LAYERS, SCHEME)] == list(LAYERS)


def test_probabilities_that_are_no_numbers_are_refused():
    def told(shares):
        rows = LayerRows([], (2, 2), "cpu")
        rows.put(slice(0, 2), shares, VALID)
        return rows.take(2, where="a.tif")

    shares = SHARES.clone()
    shares[0, 1, 1] = torch.nan
    assert told(shares) == {}
    for wrong in (torch.nan, torch.inf, -torch.inf):
        shares[2, 0, 0] = wrong
        with pytest.raises(DataError, match=r"a\.tif.*not finite"):
            told(shares)
