"""Maps' classes as strata."""

import numpy as np
import pytest
from affine import Affine
from rasterio.warp import transform

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.raster import Raster
from rsadapt.geo.strata import draw, measure
from rsadapt.geo.writer import write_raster

SCHEME = ClassScheme(("water", "forest", "town"), ((3,), (5,), (9,)), ((0, 0, 255),) * 3)


def a_map(path, codes, *, crs=32633, step=10.0, left=500000.0, top=5000000.0):
    grid = Grid(*codes.shape, Affine(step, 0, left, 0, -step, top), crs_of(crs))
    write_raster(path, codes, grid, nodata=255)
    return Raster(path)


def some_codes(seed, shape=(300, 700)):
    return np.random.default_rng(seed).choice([3, 5, 9, 255], shape, p=[0.1, 0.6, 0.01, 0.29])


def test_classes_are_measured(tmp_path):
    codes = some_codes(0).astype(np.uint8)
    strata = measure([a_map(tmp_path / "a.tif", codes)], SCHEME)
    assert strata.pixels == tuple(int((codes == code).sum()) for code in (3, 5, 9))
    assert strata.areas == pytest.approx([100 * n for n in strata.pixels])
    assert sum(strata.weights) == pytest.approx(1)


def test_areas_in_degrees_are_those_of_an_equal_area_projection(tmp_path):
    codes = np.full((1000, 600), 3, np.uint8)
    codes[500:] = 5
    strata = measure(
        [a_map(tmp_path / "a.tif", codes, crs=4326, step=0.01, left=10, top=65)], SCHEME
    )
    (left, right), edges = transform(crs_of(4326), crs_of(6933), [10, 16], [65, 55])
    _, (middle,) = transform(crs_of(4326), crs_of(6933), [10], [60])
    assert strata.areas[0] == pytest.approx((right - left) * (edges[0] - middle), rel=1e-4)
    assert strata.areas[1] == pytest.approx((right - left) * (middle - edges[1]), rel=1e-4)


def test_units_are_pixels_of_their_class_and_none_twice(tmp_path):
    arrays = [some_codes(seed).astype(np.uint8) for seed in (1, 2)]
    maps = [
        a_map(tmp_path / "a.tif", arrays[0]),
        a_map(tmp_path / "b.tif", arrays[1], left=520000.0),
    ]
    strata = measure(maps, SCHEME)
    units = draw(maps, SCHEME, strata, [40, 60, 10**6], seed=4)
    assert len({(u.map, u.row, u.col) for u in units}) == len(units)
    drawn = [u.train_id for u in units]
    assert [drawn.count(k) for k in range(3)] == [40, 60, strata.pixels[2]]
    for unit in units:
        assert arrays[unit.map][unit.row, unit.col] == (3, 5, 9)[unit.train_id]
        assert unit.x == (500000 + 20000 * unit.map) + 10 * (unit.col + 0.5)
        assert unit.y == 5000000 - 10 * (unit.row + 0.5)
    assert units == draw(maps, SCHEME, strata, [40, 60, 10**6], seed=4)
    assert units != draw(maps, SCHEME, strata, [40, 60, 10**6], seed=5)
    assert drawn != sorted(drawn)


def test_every_pixel_is_as_likely(tmp_path):
    codes = np.full((20, 20), 3, np.uint8)
    maps = [a_map(tmp_path / "a.tif", codes)]
    strata = measure(maps, SCHEME)
    hits = np.zeros(codes.shape)
    for seed in range(400):
        for unit in draw(maps, SCHEME, strata, [20, 0, 0], seed=seed):
            hits[unit.row, unit.col] += 1
    expected = 400 * 20 / codes.size
    chi_square = ((hits - expected) ** 2 / expected).sum()
    assert chi_square < codes.size + 4 * np.sqrt(2 * codes.size)


def test_maps_of_other_projections_meet_in_the_first(tmp_path):
    maps = [
        a_map(tmp_path / "a.tif", np.full((9, 9), 3, np.uint8)),
        a_map(
            tmp_path / "b.tif", np.full((9, 9), 5, np.uint8), crs=4326, step=1e-4, left=15, top=45
        ),
    ]
    units = draw(maps, SCHEME, measure(maps, SCHEME), [0, 5, 0], seed=0)
    assert all(abs(unit.x - 500000) < 200 for unit in units)  # 15 degrees east is UTM 33's middle


def test_maps_that_overlap_are_refused(tmp_path):
    codes = np.full((40, 60), 3, np.uint8)
    first = a_map(tmp_path / "a.tif", codes)
    beside = a_map(tmp_path / "b.tif", codes, left=500550.0)
    degrees = a_map(tmp_path / "c.tif", codes, crs=4326, step=1e-4, left=15.001, top=45.155)
    for other in (beside, degrees):
        with pytest.raises(
            DataError, match=rf"found .*a\.tif and .*{other.path.name}, whose areas"
        ):
            measure([first, other], SCHEME)


def test_maps_that_share_a_border_are_measured(tmp_path):
    codes = np.full((40, 60), 3, np.uint8)
    places = [(5e5, 5e6, 10), (500600, 5e6, 10), (5e5, 4999600, 30), (499405, 4999997, 10)]
    maps = [
        a_map(tmp_path / f"{left}.{top}.tif", codes, left=left, top=top, step=step)
        for left, top, step in places
    ]
    assert measure(maps, SCHEME).pixels == (4 * codes.size, 0, 0)


def test_maps_whose_bounds_alone_overlap_are_measured(tmp_path):
    here = np.ones((100, 100), bool)
    upper, lower = np.where(np.triu(here), 3, 255), np.where(np.tril(here), 5, 255)  # one diagonal
    maps = [
        a_map(tmp_path / f"{name}.tif", codes.astype(np.uint8))
        for name, codes in (("a", upper), ("b", lower))
    ]
    turned = Affine(5, 5, 500900, 5, -5, 5000300)  # its left corner is 100 m west of their right
    write_raster(
        tmp_path / "c.tif", np.full((80, 80), 9, np.uint8), Grid(80, 80, turned, crs_of(32633))
    )
    assert measure([*maps, Raster(tmp_path / "c.tif")], SCHEME).pixels == (5050, 5050, 6400)


def test_a_map_without_a_place(tmp_path):
    grid = Grid(4, 4, Affine(1, 0, 0, 0, -1, 0))
    write_raster(tmp_path / "a.tif", np.full((4, 4), 3, np.uint8), grid)
    with pytest.raises(DataError, match=r"a\.tif: expected a map with a place on Earth"):
        measure([Raster(tmp_path / "a.tif")], SCHEME)


def test_a_map_without_a_class(tmp_path):
    with pytest.raises(DataError, match="expected pixels with a class, found none"):
        measure([a_map(tmp_path / "a.tif", np.full((4, 4), 255, np.uint8))], SCHEME)
