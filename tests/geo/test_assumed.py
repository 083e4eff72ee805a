"""Rasters without a place: what is assumed is used, and never stated."""

import pickle

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from rsadapt.geo.assumed import AssumedRaster, assumed, assumption, on_its_scene, stated_grid
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.harmonise import harmonise
from rsadapt.geo.place import ground_length
from rsadapt.geo.raster import Raster, without_georeference
from rsadapt.geo.warp import WarpedRaster

UTM = CRS.from_epsg(32633)
CORNER = Affine(0.5, 0, 366000, 0, -0.5, 5808000)


def raster(path, **profile):
    values = np.random.default_rng(0).integers(1, 255, (2, 60, 80), dtype=np.uint8)
    with (
        without_georeference(),
        rasterio.open(
            path, "w", driver="GTiff", height=60, width=80, count=2, dtype="uint8", **profile
        ) as file,
    ):
        file.write(values)
    return Raster(path), values


def test_nothing_is_assumed_of_a_raster_that_says_it(tmp_path):
    placed, _ = raster(tmp_path / "placed.tif", crs=UTM, transform=CORNER)
    assert assumed(placed, crs=CRS.from_epsg(32736), pixel=3.0) is placed
    assert assumption(placed) is None
    assert stated_grid(placed) is placed.grid
    lost, _ = raster(tmp_path / "lost.tif")
    assert assumed(lost, crs=UTM) is lost  # it has no transform to read in a CRS
    half, _ = raster(tmp_path / "half.tif", transform=CORNER)
    assert assumed(half, pixel=3.0) is half


@pytest.mark.parametrize("profile", [{}, {"transform": CORNER}])
def test_values_are_those_of_the_file_in_other_processes_too(tmp_path, profile):
    found, values = raster(tmp_path / "scene.tif", **profile)
    view = pickle.loads(pickle.dumps(assumed(found, crs=UTM, pixel=0.5)))
    assert isinstance(view, AssumedRaster)
    window = Window(5, 7, 20, 30)
    np.testing.assert_array_equal(view.read(window)[0], values[:, 5:25, 7:37])
    assert ground_length(view.grid) == pytest.approx(0.5, rel=1e-3)


def test_warped_by_what_is_assumed_as_if_the_file_said_it(tmp_path):
    half, _ = raster(tmp_path / "half.tif", transform=CORNER)
    whole, _ = raster(tmp_path / "whole.tif", transform=CORNER, crs=UTM)
    (grid,) = harmonise([whole], pixel=0.9)
    ours = WarpedRaster(assumed(half, crs=UTM), grid, "bilinear")
    for mine, theirs in zip(ours.read(), WarpedRaster(whole, grid, "bilinear").read(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert stated_grid(ours) == Grid(*grid.shape, grid.transform)


def test_a_made_up_place_is_stated_in_pixels(tmp_path):
    lost, values = raster(tmp_path / "lost.tif")
    view = assumed(lost, pixel=0.3)
    assert view.made_up
    assert stated_grid(view) == lost.grid
    (grid,) = harmonise([view], pixel=0.6)
    smaller = WarpedRaster(view, grid, "average")
    means = values.reshape(2, 30, 2, 40, 2).mean((2, 4))
    np.testing.assert_allclose(smaller.read()[0], means, atol=0.51)
    stated = stated_grid(smaller)
    assert stated.crs is None
    np.testing.assert_allclose(stated.transform[:6], (2, 0, 0, 0, 2, 0), atol=1e-9)


def test_labels_of_a_scenes_size_lie_on_it(tmp_path):
    scene, _ = raster(tmp_path / "scene.tif", crs=UTM, transform=CORNER)
    label, _ = raster(tmp_path / "label.tif")
    assert on_its_scene(label, scene).grid == scene.grid
    elsewhere, _ = raster(tmp_path / "elsewhere.tif", transform=CORNER)
    assert on_its_scene(elsewhere, scene) is elsewhere
    assert on_its_scene(scene, label) is scene
