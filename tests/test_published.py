"""Published figures: each with its source, of rows that exist, and consistent in itself."""

import math
import re

import pytest

from rsadapt import build, config
from rsadapt.benchmark_rows import BENCHMARKS, benchmark_values
from rsadapt.published import PUBLISHED

FIGURES = [(name, row) for name, rows in PUBLISHED.items() for row in rows]
BY_CLASS = [(name, row) for name, row in FIGURES if PUBLISHED[name][row].classes]

ROUNDING = 0.0005
"""Of a figure printed in per cent with one decimal, which its mean and its classes all have."""


def values_of(name):
    return benchmark_values(BENCHMARKS[name], "published")


@pytest.mark.parametrize("name", PUBLISHED)
def test_figures_belong_to_rows_of_a_benchmark(name):
    assert PUBLISHED[name].keys() <= BENCHMARKS[name].rows(values_of(name)).keys()


@pytest.mark.parametrize(("name", "row"), FIGURES)
def test_figures_are_shares_and_name_their_source(name, row):
    figure = PUBLISHED[name][row]
    assert all(0 <= value <= 1 for value in (figure.miou, *figure.classes.values()))
    for source in filter(None, (figure.source, figure.classes_source)):
        assert re.search(r"arXiv \d{4}\.\d{5}", source)
    assert not figure.classes_source or figure.classes


@pytest.mark.parametrize(("name", "row"), BY_CLASS)
def test_classes_are_the_tables_and_their_mean_is_the_figure(name, row):
    figure = PUBLISHED[name][row]
    scheme = build.class_scheme(config.parse(values_of(name), where=name))
    assert tuple(figure.classes) == scheme.names
    mean = math.fsum(figure.classes.values()) / len(figure.classes)
    assert mean == pytest.approx(figure.miou, abs=2 * ROUNDING)
