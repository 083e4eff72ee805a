import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from rsadapt.errors import ConfigError, DataError
from rsadapt.geo.grid import Grid
from rsadapt.geo.harmonise import alike, choose_lattice, ground_pixel, harmonise, read_crs
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster

UTM36, UTM37, MERCATOR, DEGREES, EQUAL_AREA = map(CRS.from_epsg, (32636, 32637, 3857, 4326, 6933))


@pytest.fixture
def scene(tmp_path):
    """Writes an empty scene with its top left corner at a place of a CRS."""

    def make(crs, x, y, size, *, height=40, width=60, name="a", matrix=None):
        matrix = matrix or Affine(size, 0.0, x, 0.0, -size, y)
        path = tmp_path / f"{name}.tif"
        write_raster(path, np.ones((height, width), np.uint8), Grid(height, width, matrix, crs))
        return Raster(path)

    return make


def mercator(latitude):
    return 6378137 * math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))


def test_scenes_of_a_projection_keep_it_and_the_coarsest_pixel(scene):
    one = scene(UTM36, 3e5, 4e5, 10.0)
    two = scene(UTM36, 3e5 + 3, 4e5, 2.0, name="b")
    lattice = choose_lattice([two, one])
    assert (lattice.crs, lattice.pixel) == (UTM36, (10.0, 10.0))
    assert lattice.grid(one).matches(one.grid)  # as it lies on the lattice already
    assert lattice.grid(two).shape == (8, 12)


def test_scenes_of_several_projections_meet_in_the_utm_zone_of_their_centre(scene):
    one = scene(UTM36, 7e5, 4e5, 0.5)
    other = scene(MERCATOR, 35.2 * 111319.49, mercator(3.6), 0.5, name="b")
    assert choose_lattice([one, other]).crs == UTM36


@pytest.mark.parametrize(
    ("lon", "lat", "code"),
    [
        (32.5, 0.3, 32636),
        (85.3, -27.6, 32745),
        (-179.9, 10, 32601),
        (179.99, 10, 32660),
        (10, 85, 32661),
        (10, -81, 32761),
    ],
)
def test_degrees_become_utm(scene, lon, lat, code):
    found = choose_lattice([scene(DEGREES, lon, lat, 1e-5)])
    assert found.crs == CRS.from_epsg(code)


def test_centre_of_scenes_on_both_sides_of_the_date_line(scene):
    scenes = [scene(DEGREES, 179.5, 10, 1e-4), scene(DEGREES, -179.2, 10, 1e-4, name="b")]
    assert choose_lattice(scenes).crs == CRS.from_epsg(32601)


@pytest.mark.parametrize("latitude", [20, 27.6, 45, 60, -70])
def test_mercator_pixel_is_the_ground_size_over_the_cosine(scene, latitude):
    found = choose_lattice([scene(MERCATOR, 0, mercator(latitude), 1.0)], pixel=0.3)
    assert found.crs == MERCATOR
    assert found.pixel[0] == found.pixel[1]
    assert found.pixel[0] == pytest.approx(0.3 / math.cos(math.radians(latitude)), rel=0.004)


def test_degrees_that_are_asked_for_are_squares_on_the_ground(scene):
    raster = scene(UTM36, 5e5, 5e6, 1.0)
    (grid,) = harmonise([raster], crs=DEGREES, pixel=2.0)
    assert grid.crs == DEGREES
    assert grid.ground_size() == pytest.approx((2, 2), rel=1e-3)


@pytest.mark.parametrize("crs", [UTM36, EQUAL_AREA])
def test_lengths_of_a_projection_true_to_scale_are_taken_as_they_stand(scene, crs):
    raster = scene(crs, 3e5, 4e5, 10.0)
    assert ground_pixel(raster) == 10
    assert choose_lattice([raster], pixel=4.0).pixel == (4, 4)


def test_feet_are_no_metres(scene):
    raster = scene(CRS.from_epsg(2263), 1e6, 2e5, 1.0)  # New York, US survey feet
    assert ground_pixel(raster) == pytest.approx(0.3048, rel=1e-4)
    assert choose_lattice([raster], pixel=0.6096).pixel[0] == pytest.approx(2, rel=1e-4)


places = st.builds(
    lambda x, y, turn, size: Affine(
        size * math.cos(turn),
        size * math.sin(turn),
        x,
        size * math.sin(turn),
        -size * math.cos(turn),
        y,
    ),
    st.floats(2e5, 8e5),
    st.floats(-9e5, 9e5),
    st.floats(0, 7),
    st.floats(0.5, 3),
)


@given(matrix=places, pixel=st.floats(0.3, 5))
def test_grids_lie_on_the_lattice_and_hold_the_scene_and_no_more(tmp_path_factory, matrix, pixel):
    path = tmp_path_factory.mktemp("scene") / "a.tif"
    write_raster(path, np.ones((20, 30), np.uint8), Grid(20, 30, matrix, UTM36))
    (grid,) = harmonise([Raster(path)], pixel=pixel)
    t = grid.transform
    assert grid.north_up
    assert (t.a, t.e) == (pixel, -pixel)
    assert t.c / pixel == pytest.approx(round(t.c / pixel), abs=1e-6)
    assert t.f / pixel == pytest.approx(round(t.f / pixel), abs=1e-6)
    corners = [(0, 0), (30, 0), (0, 20), (30, 20)]
    xs = [matrix.a * col + matrix.b * row + matrix.c for col, row in corners]
    ys = [matrix.d * col + matrix.e * row + matrix.f for col, row in corners]
    half = 0.501 * pixel
    assert t.c == pytest.approx(min(xs), abs=half)
    assert t.f == pytest.approx(max(ys), abs=half)
    assert t.c + grid.width * pixel == pytest.approx(max(xs), abs=half)
    assert t.f - grid.height * pixel == pytest.approx(min(ys), abs=half)


def test_neighbours_share_no_pixel_and_leave_none_out(scene):
    one = scene(UTM36, 3e5, 4e5, 0.7, width=31)
    two = scene(UTM36, 3e5 + 31 * 0.7, 4e5, 0.7, name="b")
    left, right = harmonise([one, two], pixel=1.0)
    assert left.transform.c + left.width == right.transform.c


def test_alike_scenes_need_no_lattice(scene):
    one, two = scene(UTM36, 3e5, 4e5, 2.0), scene(UTM36, 7e5, 4.1e5, 2.001, name="b")
    assert alike([one, two])
    assert not alike([one, scene(UTM37, 3e5, 4e5, 2.0, name="c")])
    assert not alike([one, scene(UTM36, 3e5, 4e5, 2.1, name="d")])
    turned = Affine(2, 0.5, 3e5, 0.5, -2, 4e5)
    assert not alike([scene(UTM36, 0, 0, 2.0, matrix=turned, name="e")])
    assert not alike([scene(UTM36, 0, 0, 2, matrix=Affine(2, 0, 3e5, 0, 2, 4e5), name="f")])


def test_scenes_without_a_crs_are_alike_among_themselves_alone(scene):
    one, two = scene(None, 0, 0, 1.0), scene(None, 0, 0, 5.0, name="b")
    assert alike([one, two])
    mixed = [scene(UTM36, 3e5, 4e5, 2.0, name="c"), one]
    assert not alike(mixed)
    with pytest.raises(DataError, match=r"a\.tif: expected a coordinate reference system, found"):
        harmonise(mixed)


def test_scene_smaller_than_a_pixel_is_refused(scene):
    with pytest.raises(DataError, match=r"a\.tif: .*at least one pixel of 500 x 500 .*smaller"):
        harmonise([scene(UTM36, 3e5, 4e5, 2.0)], pixel=500.0)


def test_a_pixel_of_degrees_is_refused(scene):
    with pytest.raises(DataError, match=r"1/100 of .*, found 1e-05 where the finest scene has 2"):
        harmonise([scene(UTM36, 3e5, 4e5, 2.0)], pixel=1e-5)


def test_crs_of_the_other_side_of_the_earth_is_refused(scene):
    raster = scene(CRS.from_epsg(32748), 7e5, 9.25e6, 1.0)
    with pytest.raises(
        DataError, match=r"a\.tif: .*found EPSG:32633, in which it has none; choose"
    ):
        harmonise([raster], crs=CRS.from_epsg(32633))


def test_world_has_no_place_in_utm(scene):
    world = Affine(0.5, 0, -180, 0, 0.5, -90)
    raster = scene(DEGREES, 0, 0, 0.5, height=360, width=720, matrix=world)
    with pytest.raises(DataError, match=r"a\.tif: expected a scene that has a place in EPSG:32631"):
        harmonise([raster])


def test_scene_without_a_place_on_earth_is_refused(scene):
    with pytest.raises(DataError, match=r"a\.tif: expected a .*place"):
        harmonise([scene(DEGREES, 500.0, 300.0, 1.0)])


@pytest.mark.parametrize("text", ["EPSG:999999", "banana", "", "EPSG:banana", "EPSG:5703"])
def test_text_that_names_no_crs_is_refused(text):
    with pytest.raises(ConfigError, match=f"'crs': .*EPSG:32636, found '{text}'"):
        read_crs(text)


def test_crs_by_code_or_text():
    assert read_crs("EPSG:32636") == UTM36
    assert read_crs(UTM36.to_wkt()) == UTM36
