"""Class areas: what is counted, in square metres, hectares and shares, as CSV and as JSON."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from rsadapt.classes import ClassScheme
from rsadapt.geo.areas import areas_csv, areas_json, class_areas
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.raster import Raster
from rsadapt.geo.strata import count
from rsadapt.geo.writer import write_raster

SCHEME = ClassScheme(
    ("water", 'field, "wet"', "Wald"), ((3,), (5,), (9,)), ((0, 0, 255), (0, 90, 0), (9, 0, 0))
)


def areas_of(folder, codes, grid):
    write_raster(folder / "a.tif", codes, grid, nodata=255)
    return class_areas(SCHEME, count([Raster(folder / "a.tif")], SCHEME))


@pytest.fixture
def codes():
    codes = np.full((10, 20), 3, np.uint8)
    codes[:, 5:] = 5
    codes[0] = 255
    return codes


def test_areas_in_utm_are_pixels_times_their_size(tmp_path, codes):
    areas = areas_of(tmp_path, codes, Grid(10, 20, Affine(10, 0, 5e5, 0, -10, 5e6), crs_of(32633)))
    assert [(area.code, area.pixels) for area in areas] == [(3, 45), (5, 135), (9, 0)]
    assert [area.area_m2 for area in areas] == pytest.approx([4500, 13500, 0])
    assert [area.hectares for area in areas] == pytest.approx([0.45, 1.35, 0])
    assert [area.share for area in areas] == pytest.approx([0.25, 0.75, 0])


def test_tables_read_back(tmp_path, codes):
    areas = areas_of(tmp_path, codes, Grid(10, 20, Affine(10, 0, 5e5, 0, -10, 5e6), crs_of(32633)))
    rows = list(csv.DictReader(areas_csv(areas).splitlines()))
    assert [row["name"] for row in rows] == list(SCHEME.names)
    assert [float(row["hectares"]) for row in rows] == pytest.approx([0.45, 1.35, 0])
    told = json.loads(areas_json(areas, shown=Path("maps/a_classes.tif"), started="2026"))
    assert (told["map"], told["started"], told["pixels"]) == ("a_classes.tif", "2026", 180)
    assert told["area_m2"] == pytest.approx(18_000)
    assert [str(value) for value in told["classes"][1].values()] == list(rows[1].values())


def test_in_degrees_rows_are_as_large_as_they_are(tmp_path):
    """Against the area between two parallels of a sphere of the authalic radius, to 0.5 %."""
    codes = np.full((600, 100), 3, np.uint8)
    areas = areas_of(tmp_path, codes, Grid(600, 100, Affine(0.1, 0, 20, 0, -0.1, 60), crs_of(4326)))
    expected = 6_371_007.2**2 * np.radians(10) * np.sin(np.radians(60))
    assert areas[0].area_m2 == pytest.approx(expected, rel=0.005)


def test_without_a_place_only_pixels_and_shares_are_known(tmp_path, codes):
    areas = areas_of(tmp_path, codes, Grid(10, 20, Affine.identity()))
    assert [area.share for area in areas] == pytest.approx([0.25, 0.75, 0])
    assert {area.area_m2 for area in areas} == {area.hectares for area in areas} == {None}
    assert areas_csv(areas).splitlines()[1] == "water,3,45,,,0.25"
    assert json.loads(areas_json(areas, shown=Path("a"), started=None))["area_m2"] is None


def test_an_empty_map_has_no_shares(tmp_path):
    grid = Grid(10, 20, Affine(10, 0, 5e5, 0, -10, 5e6), crs_of(32633))
    areas = areas_of(tmp_path, np.full((10, 20), 255, np.uint8), grid)
    assert {(area.pixels, area.area_m2, area.share) for area in areas} == {(0, 0.0, None)}
