"""Outlines in whole pixels, against arrays and against shapely."""

from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rsadapt.geo.grid import Window
from rsadapt.geo.outlines import trace
from rsadapt.geo.writer import write_scratch

MAPS = arrays(
    np.uint8,
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    elements=st.integers(0, 3),
)


@pytest.fixture(scope="module")
def outlined(tmp_path_factory):
    """Outlines of an array, through a file."""
    path = tmp_path_factory.mktemp("outlines") / "map.tif"

    def outline(values):
        write_scratch(path, values.shape, [(Window(0, 0, *values.shape), values)])
        return trace(path)

    return outline


def pieces(values):
    """Pieces of one value as sets of pixels, by flooding: slow and obvious."""
    left = {(int(r), int(c)) for r, c in zip(*np.nonzero(values), strict=True)}
    found = []
    while left:
        piece, front = set(), [left.pop()]
        while front:
            row, col = front.pop()
            piece.add((row, col))
            for near in ((row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)):
                if near in left and values[near] == values[row, col]:
                    left.remove(near)
                    front.append(near)
        found.append(frozenset(piece))
    return found


def drawn(polygon):
    """The pixels whose centres a polygon holds."""
    left, top, right, bottom = map(int, polygon.bounds)
    cols, rows = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
    held = shapely.contains_xy(polygon, cols.ravel() + 0.5, rows.ravel() + 0.5)
    return frozenset(zip(rows.ravel()[held].tolist(), cols.ravel()[held].tolist(), strict=True))


@given(MAPS)
def test_polygons_are_the_pieces(outlined, values):
    outlines = outlined(values).noded()
    found = [drawn(polygon) for polygon in outlines.geometries()]
    assert sorted(map(sorted, found)) == sorted(map(sorted, pieces(values)))
    assert [values[next(iter(piece))] for piece in found] == outlines.values.tolist()
    assert outlines.pixels().tolist() == [len(piece) for piece in found]


@given(MAPS)
def test_polygons_with_nodes_are_a_coverage(outlined, values):
    polygons = outlined(values).noded().geometries()
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).sum() == np.count_nonzero(values)


def test_outlines_alone_are_no_coverage(outlined):
    values = np.array([[1, 1], [2, 3]], np.uint8)
    assert not shapely.coverage_is_valid(outlined(values).geometries())
    assert shapely.coverage_is_valid(outlined(values).noded().geometries())


@given(MAPS)
def test_nodes_change_no_shape_and_lie_on_every_outline(outlined, values):
    plain, noded = outlined(values), outlined(values).noded()
    assert shapely.equals(plain.geometries(), noded.geometries()).all()
    known = set(map(tuple, plain.corners.tolist()))
    assert set(map(tuple, noded.corners.tolist())) == known
    for first, stop in pairwise(noded.rings):
        assert (noded.corners[first] == noded.corners[stop - 1]).all()
        for (x, y), (u, v) in pairwise(noded.corners[first:stop].tolist()):
            assert (x == u) != (y == v)
            inside = {(a, b) for a in range(min(x, u), max(x, u) + 1) for b in (y,) if y == v}
            inside |= {(x, b) for b in range(min(y, v), max(y, v) + 1) if x == u}
            assert inside & known == {(x, y), (u, v)}


@given(MAPS, st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_sums_are_those_over_the_pixels(outlined, values, height, seed):
    rasters = np.random.default_rng(seed).integers(0, 255, (2, *values.shape))
    outlines = outlined(values).noded()
    strips = (rasters[:, row : row + height] for row in range(0, len(values), height))
    expected = [
        [sum(int(raster[pixel]) for pixel in drawn(polygon)) for polygon in outlines.geometries()]
        for raster in rasters
    ]
    found = outlines.sums(strips)
    assert found.shape == (2, len(outlines))
    assert found.tolist() == expected
