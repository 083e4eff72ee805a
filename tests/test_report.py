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


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """The figure that `beside` would write, laid out."""

    def draw(measured, title="t"):
        figures = []
        monkeypatch.setattr(report, "_save", lambda figure, _: figures.append(figure))
        report.beside(tmp_path / "beside.png", measured, {}, title=title)
        figures[0].draw_without_rendering()
        return figures[0]

    return draw


def test_title_fits_a_chart_of_one_row(drawn):
    figure = drawn({"multi": (0.5, None)}, "Cityscapes -> Cross-City, as the paper says")
    title = figure.axes[0].title.get_window_extent()
    assert figure.bbox.x0 <= title.x0
    assert title.x1 <= figure.bbox.x1


@pytest.mark.parametrize(
    ("deviations", "expected"), [((None, None), []), ((None, 0.1), [("b", 40, 60)])]
)
def test_error_bars_stand_where_a_deviation_exists(drawn, deviations, expected):
    measured = dict(zip("ab", ((0.5, deviation) for deviation in deviations), strict=True))
    (axis,) = drawn(measured).axes
    bars = [segment for lines in axis.collections for segment in lines.get_segments()]
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert [(names[int(x)], low, high) for (x, low), (_, high) in bars] == expected


def test_pictures_of_different_size_are_refused(tmp_path):
    pictures = {"x": np.zeros((2, 2, 3), np.uint8), "y": np.zeros((3, 2, 3), np.uint8)}
    with pytest.raises(ShapeError, match="one size"):
        report.panels(tmp_path / "maps.png", pictures, SCHEME, title="t")


def test_figures_of_two_regions_are_pictures():
    curves = {"source": ([0, 1, 2], [3, 1]), "target": ([1, 3], [5])}
    picture = np.zeros((20, 20, 3), np.uint8)
    figures = [
        report.band_histograms([("a $x", curves), ("a $x", curves)]),
        report.class_shares({"source": {"land": 0.5, "sea": 0.5}}),
        report.windows([picture, picture], [picture, None]),
        report.windows([picture], [None]),
        report.footprints({"source": [[(1, 2), (2, 2), (2, 1), (1, 1)]]}),
    ]
    assert all(figure.startswith(b"\x89PNG") for figure in figures)
