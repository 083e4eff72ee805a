"""Standardised images become raw values of a look, in the scene's own way of storing them."""

import math

import numpy as np
import pytest
import torch
from affine import Affine

from rsadapt.geo.grid import Grid
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.infer.translated import translated

LOOK = Normaliser((100.0, 20.0), (10.0, 4.0))
GRID = Grid(4, 4, Affine(1, 0, 0, 0, -1, 4))


def scene(path, dtype, nodata):
    values = np.ones((3, 4, 4), dtype)
    write_raster(path / "scene.tif", values, GRID, nodata=nodata, descriptions=["a", "b", "c"])
    return Raster(path / "scene.tif")


@pytest.mark.parametrize(
    ("dtype", "other", "nodata", "expected"),
    [
        ("uint8", "uint8", None, ("uint8", 0)),
        ("uint8", "uint16", 255, ("uint16", 255)),
        ("uint16", "uint8", 0, ("uint16", 0)),
        ("int16", "int16", -9999, ("int16", -9999)),
        ("float32", "uint8", -1, ("float32", -1)),
    ],
)
def test_type_nodata_and_names(tmp_path, dtype, other, nodata, expected):
    bands = translated(scene(tmp_path, dtype, nodata), [3, 1], look=LOOK, dtype=other).bands
    assert (bands.dtype, bands.nodata) == expected
    assert bands.descriptions == ("c", "a")


def test_floats_without_nodata_get_nan(tmp_path):
    layer = translated(scene(tmp_path, "float32", None), [1, 2], look=LOOK, dtype="float32")
    assert math.isnan(layer.bands.nodata)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_values_are_the_looks(tmp_path, dtype):
    layer = translated(scene(tmp_path, dtype, 0), [1, 2], look=LOOK, dtype=dtype)
    raw = np.random.default_rng(0).integers(1, 200, (2, 4, 4)).astype(dtype)
    standard = torch.from_numpy(LOOK(raw, np.ones((4, 4), bool)))
    assert layer.of(standard).numpy() == pytest.approx(raw, rel=1e-6)
    assert layer.of(standard).numpy().dtype == dtype


def test_values_stay_within_the_type_and_off_nodata(tmp_path):
    layer = translated(scene(tmp_path, "uint8", 0), [1, 2], look=LOOK, dtype="uint8")
    found = layer.of(torch.tensor([-99.0, 99.0, 0.0, -10.0]).expand(2, 1, 4))
    assert found[0, 0].tolist() == [1, 255, 100, 1]
    floats = translated(scene(tmp_path, "float32", 100), [1, 2], look=LOOK, dtype="float32")
    assert floats.of(torch.zeros(2, 1, 1))[0, 0, 0] > 100
