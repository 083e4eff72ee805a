"""Labels in colour: each colour is its id, and others are told with their counts."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from rsadapt.errors import DataError
from rsadapt.geo.grid import Window
from rsadapt.geo.labels import ColourLabels
from rsadapt.geo.raster import Raster

IDS = {"#ffffff": 1, "#0000FF": 2, "#00ff7f": 7, "#000000": 0}


def raster(path, values, **profile):
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=values.dtype,
        crs="EPSG:32633", transform=Affine(1, 0, 500, 0, -1, 900), **profile,
    ) as file:  # fmt: skip
        file.write(values)
    return Raster(path)


def painted(ids):
    """Ids in their colours, uint8 [3, height, width], one pixel after another."""
    colours = {label: bytes.fromhex(text[1:]) for text, label in IDS.items()}
    flat = [list(colours[label]) for label in ids.ravel().tolist()]
    return np.moveaxis(np.array(flat, np.uint8).reshape(*ids.shape, 3), -1, 0)


def test_every_colour_is_its_id(tmp_path):
    ids = np.random.default_rng(0).choice([0, 1, 2, 7], (40, 50))
    labels = ColourLabels(raster(tmp_path / "labels.tif", painted(ids)), IDS)
    found, valid = labels.read()
    np.testing.assert_array_equal(found[0], ids)
    assert valid.all()
    part = labels.read(Window(3, 4, 10, 20), [1])[0][0]
    np.testing.assert_array_equal(part, ids[3:13, 4:24])


def test_invalid_pixels_have_no_colour(tmp_path):
    ids = np.ones((4, 4), int)
    values = painted(ids)
    values[:, 0, 0] = 9
    labels = ColourLabels(raster(tmp_path / "labels.tif", values, nodata=9), IDS)
    found, valid = labels.read()
    assert not valid[0, 0]
    assert valid.sum() == 15
    assert (found[0][valid] == 1).all()


def test_unknown_colours_are_listed_with_their_counts(tmp_path):
    values = painted(np.ones((10, 10), int))
    values[:, 0, :3] = np.array([252, 255, 0], np.uint8)[:, np.newaxis]
    values[:, 5, 5] = 1
    labels = ColourLabels(raster(tmp_path / "labels.tif", values), IDS)
    with pytest.raises(DataError, match=r"labels\.tif.*#fcff00 \(3 pixels\), #010101 \(1 pixels\)"):
        labels.read()
    labels.read(Window(6, 0, 4, 10))


@pytest.mark.parametrize("values", [np.ones((1, 4, 4), np.uint8), np.ones((3, 4, 4), np.uint16)])
def test_what_is_no_colour_raster_is_refused(tmp_path, values):
    with pytest.raises(DataError, match="three bands of 8 bits, found"):
        ColourLabels(raster(tmp_path / "labels.tif", values), IDS)
