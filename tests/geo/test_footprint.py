"""What scenes cover: places that several show count once."""

import pytest
from affine import Affine

from rsadapt.geo.footprint import coverage, footprint
from rsadapt.geo.grid import Grid, crs_of


def grid(x, y, *, width=100, height=50, crs=32633):
    return Grid(height, width, Affine(10, 0, x, 0, -10, y), None if crs is None else crs_of(crs))


def test_area_counts_a_place_once():
    one, beside, over = grid(5e5, 5e6), grid(5e5 + 1000, 5e6), grid(5e5 + 500, 5e6)
    single = coverage([one])
    assert single.area == pytest.approx(1000 * 500, rel=0.001)
    assert single.repeated == pytest.approx(0, abs=1e-9)
    assert coverage([one, beside]).area == pytest.approx(2 * single.area, rel=1e-4)
    assert coverage([one, beside]).repeated == pytest.approx(0, abs=1e-9)
    assert coverage([one, over]).area == pytest.approx(1.5 * single.area, rel=1e-4)
    assert coverage([one, over]).repeated == pytest.approx(0.25)
    assert coverage([one, one]).repeated == pytest.approx(0.5)


def test_unknown_places_have_no_area():
    assert coverage([grid(5e5, 5e6), grid(0, 0, crs=None)]) is None
    assert coverage([grid(5e5, 5e6), grid(5e5, 5e6, crs=32634)]) is None
    assert footprint(grid(0, 0, crs=None)) is None


def test_corners_go_around():
    (west, north), (east, _), (_, south), (left, _) = footprint(grid(5e5, 5e6))
    assert (west, left) == pytest.approx((15, 15), abs=1e-3)  # the zone's central meridian
    assert (east - 15, north - south) == pytest.approx((0.0127, 0.0045), rel=0.02)
