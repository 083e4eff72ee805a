"""Tiles of a translated scene meet without a border, and tiles to be told apart are whole ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine

from rsadapt import config
from rsadapt.data.region import Region, Scene
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.translated_scenes import spread, tiles, write_scenes
from rsadapt.translator import Translator

SAME = Normaliser((0.0,), (1.0,))


@pytest.fixture
def scene(tmp_path):
    """A ramp from west to east, with a corner of nodata."""
    values = np.tile(np.arange(1.0, 301, dtype=np.float32), (1, 128, 1))
    values[:, :40, :40] = -1
    grid = Grid(128, 300, Affine(2, 0, 0, 0, -2, 0), crs_of(32633))
    write_raster(tmp_path / "ramp.tif", values, grid, nodata=-1)
    return Raster(tmp_path / "ramp.tif")


def translator(values, file, blending):
    """One whose answer depends on the tile, as instance norm's does: its mean is taken away."""
    values = values | {"prediction": {"tile": 64, "overlap": 32, "blending": blending}}
    file.touch()
    return Translator(
        lambda images: images - images.mean((2, 3), keepdim=True),
        {"source": SAME, "target": SAME},
        config.parse(values, where="a test"),
        (1, 2),
        "float32",
        file,
        1,
        torch.device("cpu"),
    )


def test_borders_of_tiles_do_not_show(scene, values, tmp_path):
    steepest = {}
    for blending in ("hann", "crop"):
        made = translator(values, tmp_path / "network", blending)
        (written,) = write_scenes(made, [scene], (1,), tmp_path / blending)
        found, valid = Raster(written.files[0]).read()
        assert (valid == scene.read()[1]).all()
        steepest[blending] = np.abs(np.diff(found[0, 64:], axis=1)).max()
    assert steepest["hann"] < steepest["crop"] / 10


def test_what_was_written_by_the_same_is_left(scene, values, tmp_path):
    made = translator(values, tmp_path / "network", "hann")
    (first,) = write_scenes(made, [scene], (1,), tmp_path / "out")
    before = first.files[0].stat().st_mtime_ns
    (again,) = write_scenes(made, [scene], (1,), tmp_path / "out")
    assert again.predicted == 0
    assert again.files[0].stat().st_mtime_ns == before


def test_tiles_are_whole_and_valid(scene):
    region = Region("source", (Scene(scene, None, scene.grid.window),), (1,))
    found = tiles(region, SAME, 64)
    assert found.shape == (9, 1, 64, 64)  # of 10 the one with the corner of nodata is left out
    assert (found != 0).all()
    narrow = replace(region.scenes[0], area=replace(scene.grid.window, width=50))
    assert len(tiles(replace(region, scenes=(narrow,)), SAME, 64)) == 0


def test_spread_takes_all_or_evenly():
    assert spread(3, 5) == [0, 1, 2]
    assert spread(10, 5) == [0, 2, 4, 6, 8]


def test_no_path_is_left_behind(scene, values, tmp_path):
    made = translator(values, tmp_path / "network", "hann")
    write_scenes(made, [scene], (1,), tmp_path / "out")
    assert [Path(f).name for f in (tmp_path / "out").iterdir()] == ["ramp.tif"]
