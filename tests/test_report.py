"""Figures: colours that mean what the class table says, files that are pictures."""

import numpy as np
import pytest

from rsadapt import report
from rsadapt.classes import ClassScheme
from rsadapt.errors import ShapeError

SCHEME = ClassScheme(("land", "sea"), ((4,), (9,)), ((1, 2, 3), (0, 0, 255)))


def test_natural_colours_stretch_valid_pixels_only():
    values = np.linspace(100, 900, 300).reshape(3, 10, 10)
    valid = np.ones((10, 10), bool)
    valid[0, 0] = False
    values[:, 0, 0] = 1e9
    picture = report.natural_colours(values, valid, bands=(2, 1, 0))
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[valid].min() == 0
    assert picture[valid].max() == 255


def test_all_invalid_and_constant_images_are_drawn():
    blank = report.natural_colours(np.ones((3, 2, 2)), np.zeros((2, 2), bool), bands=(0, 1, 2))
    assert (blank == 255).all()
    flat = report.natural_colours(np.ones((3, 2, 2)), np.ones((2, 2), bool), bands=(0, 1, 2))
    assert (flat == 0).all()


def test_figures_are_written(tmp_path):
    picture = np.zeros((20, 8, 3), np.uint8)
    report.panels(tmp_path / "a" / "maps.png", {"x": picture, "y": picture}, SCHEME, title="t")
    report.bars(tmp_path / "bars.png", {"x": {"land": 0.5, "sea": None}}, title="t")
    measured = {"single": (0.4, 0.02), "multi": (0.5, None)}
    report.beside(tmp_path / "beside.png", measured, {"multi": 0.424}, title="t")
    for name in ("a/maps.png", "bars.png", "beside.png"):
        file = tmp_path / name
        assert file.read_bytes().startswith(b"\x89PNG")


def test_pictures_of_different_size_are_refused(tmp_path):
    pictures = {"x": np.zeros((2, 2, 3), np.uint8), "y": np.zeros((3, 2, 3), np.uint8)}
    with pytest.raises(ShapeError, match="one size"):
        report.panels(tmp_path / "maps.png", pictures, SCHEME, title="t")
