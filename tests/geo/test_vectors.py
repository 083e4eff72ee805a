"""Features as labels: drawn as rasterio draws the whole, whatever the window."""

import pickle
from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.features import rasterize
from shapely import LineString, Point, Polygon, box

from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.raster import Raster
from rsadapt.geo.vectors import DrawnLabels, Features, Legend, is_vector

PLAIN = Legend()
UTM = CRS.from_epsg(32632)
GRID = Grid(40, 60, Affine(2, 0, 500000, 0, -2, 5200000), UTM)
SENSORS = Path(__file__).parents[3] / "shared" / "data" / "sensors"


def at(*pixels, grid=GRID):
    """Places in the CRS of pixels (column, row)."""
    t = grid.transform
    return [(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f) for x, y in pixels]


def square(col, row, size=10, grid=GRID):
    corners = [(col, row), (col + size, row), (col + size, row + size), (col, row + size)]
    return Polygon(at(*corners, grid=grid))


@pytest.fixture
def written(tmp_path):
    """Writes features, with fields, and gives the file."""

    def write(geometries, name="f.geojson", crs=UTM, **fields):
        table = geopandas.GeoDataFrame(fields, geometry=list(geometries), crs=crs)
        table.to_file(tmp_path / name)
        return tmp_path / name

    return write


def drawn(file, legend=PLAIN, window=None, grid=GRID, **options):
    ids, valid = Features([file], legend, **options).on(grid, Path("scene.tif")).read(window)
    assert ids.shape == (1, *valid.shape)
    return ids[0], valid


def test_polygons_are_inside_and_all_else_outside(written):
    ids, valid = drawn(written([square(5, 5), square(30, 20)]), Legend(inside=7, outside=3))
    expected = np.full(GRID.shape, 3)
    expected[5:15, 5:15] = expected[20:30, 30:40] = 7
    assert np.array_equal(ids, expected)
    assert valid.all()


def test_pixels_without_a_feature_may_be_unlabelled(written):
    ids, valid = drawn(written([square(5, 5)]), Legend(outside=None))
    assert valid.sum() == 100
    assert valid[5:15, 5:15].all()
    assert (ids[valid] == 1).all()


def test_later_values_lie_over_earlier_whatever_the_order_of_features(written):
    legend = Legend("kind", {"field": 4, "house": 9})
    first = drawn(written([square(5, 5), square(10, 10)], kind=["house", "field"]), legend)[0]
    second = drawn(written([square(10, 10), square(5, 5)], kind=["field", "house"]), legend)[0]
    assert np.array_equal(first, second)
    assert (first[10:15, 10:15] == 9).all()
    assert (first[15:20, 10:20] == 4).all()


def test_values_may_be_numbers(written):
    ids, _ = drawn(written([square(5, 5)], code=[30]), Legend("code", {"30": 2}))
    assert (ids == 2).sum() == 100


def test_features_are_brought_from_their_own_crs(written):
    table = geopandas.GeoSeries([square(5.2, 5.2)], crs=UTM).to_crs(4326)
    ids, _ = drawn(written(table, crs=4326))
    assert (ids == 1).sum() == 100
    assert ids[5:15, 5:15].all()


def test_several_files_are_drawn_on_every_scene(written):
    files = [written([square(5, 5)], "a.gpkg"), written([square(30, 20)], "b.fgb")]
    ids = Features(files, Legend()).on(GRID, Path("scene.tif")).read()[0]
    assert ids.sum() == 200


def test_points_and_lines_mark_the_pixels_that_they_lie_in(written):
    line = LineString(at((10.5, 20.5), (30.5, 20.5)))
    ids, _ = drawn(written([Point(at((3.5, 4.5))[0]), line], "p.gpkg"))
    assert ids[4, 3] == 1
    assert ids[20, 11:30].all()
    assert ids.sum() < 25


def test_missing_and_empty_geometries_are_left_out(written):
    assert drawn(written([None, Polygon(), square(5, 5)], "m.gpkg"))[0].sum() == 100


POLYGONS = st.lists(
    st.tuples(*[st.floats(-5, 65, width=32) for _ in range(6)], st.integers(0, 3)), max_size=8
)


@given(
    corners=POLYGONS,
    place=st.tuples(st.integers(0, 39), st.integers(0, 59)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 60)),
)
@settings(max_examples=150, deadline=None)
def test_a_window_is_drawn_as_it_is_cut_from_the_whole(corners, place, size):
    triangles = [Polygon(np.reshape(six, (3, 2))) for *six, _ in corners]
    ids = np.array([number for *_, number in corners], np.int32)
    labels = DrawnLabels(Path("f"), GRID, np.array(triangles, object), ids, outside=9)
    height, width = min(size[0], 40 - place[0]), min(size[1], 60 - place[1])
    window = Window(*place, height, width)
    whole, part = labels.read()[0], labels.read(window)[0]
    assert np.array_equal(part[0], whole[0][window.slices])


@pytest.mark.parametrize(
    "transform",
    [
        GRID.transform,
        Affine(1.9, 0.7, 500000, 0.7, -1.9, 5200000),
        Affine(2, 0, 500000, 0, 2, 5199000),
        Affine(3, 0, 500000, 0, -1.5, 5200000),
    ],
    ids=["north up", "rotated", "south up", "oblong"],
)
def test_the_whole_is_what_rasterio_draws(written, transform):
    grid = Grid(40, 60, transform, UTM)
    random = np.random.default_rng(0)
    shapes = [Polygon(at(*(random.random((5, 2)) * (60, 40)), grid=grid)) for _ in range(12)]
    ids, _ = drawn(written(shapes, "r.gpkg"), grid=grid)
    assert np.array_equal(ids, rasterize(shapes, grid.shape, transform=transform))


def test_features_that_the_projection_does_not_reach_are_left_out(written):
    table = geopandas.GeoSeries([square(5, 5)], crs=UTM).to_crs(4326)
    far = [*table, box(-160, -89.9999, -150, -89.999), box(170, 10, 171, 11)]
    assert (drawn(written(far, "far.gpkg", crs=4326))[0] == 1).sum() == 100


def test_labels_pickle(written):
    labels = Features([written([square(5, 5)])], Legend()).on(GRID, Path("scene.tif"))
    again = pickle.loads(pickle.dumps(labels))
    assert np.array_equal(again.read()[0], labels.read()[0])


def test_unknown_values_are_listed_with_their_counts(written):
    file = written([square(n, n) for n in range(4)], kind=["house", "tree", "tree", None])
    with pytest.raises(DataError, match=r"f\.geojson: .*'kind' among house, found 'tree' \(2\)"):
        Features([file], Legend("kind", {"house": 1}))


def test_a_field_that_is_not_there_lists_those_that_are(written):
    with pytest.raises(DataError, match=r"expected the field 'kind', found a, b; name one"):
        Features([written([square(1, 1)], a=[1], b=[2])], Legend("kind", {"x": 1}))


def test_features_and_scenes_need_a_crs(written):
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        bare = written([square(1, 1)], "bare.gpkg", crs=None)
    with pytest.raises(DataError, match=r"bare\.gpkg: expected features with a CRS, found none"):
        Features([bare], Legend())
    features = Features([written([square(1, 1)])], Legend())
    with pytest.raises(DataError, match=r"scene\.tif: has no CRS.*f\.geojson.*gdal_edit"):
        features.on(Grid(4, 4, Affine.identity(), None), Path("scene.tif"))


def test_files_that_cannot_be_read_are_named(tmp_path, written):
    with pytest.raises(
        MissingFileError, match=r"gone\.geojson: expected a vector file, found none"
    ):
        Features([tmp_path / "gone.geojson"], Legend())
    (tmp_path / "bad.geojson").write_text('{"type": "FeatureCollection", "features": [')
    with pytest.raises(DataError, match=r"bad\.geojson: expected features that GDAL reads"):
        Features([tmp_path / "bad.geojson"], Legend())
    empty = written([], "empty.gpkg")
    with pytest.raises(DataError, match=r"empty\.gpkg: expected features, found none"):
        Features([empty], Legend())
    with pytest.raises(DataError, match=r"l\.gpkg: expected features that GDAL reads"):
        Features([written([box(0, 0, 1, 1)], "l.gpkg")], Legend(), layer="other")


def test_a_window_outside_is_refused(written):
    labels = Features([written([square(5, 5)])], Legend()).on(GRID, Path("scene.tif"))
    with pytest.raises(ValueError, match="must lie in the grid"):
        labels.read(Window(35, 0, 10, 10))


@pytest.mark.parametrize(("name", "vector"), [("a.GPKG", True), ("a.tif", False), ("a", False)])
def test_vectors_are_told_by_their_name(name, vector):
    assert is_vector(Path(name)) == vector


CHIPS = {
    "antioch_dove_sn7/antioch_4b_int16.tif": ("antioch_buildings.geojson", None),
    "atlanta_pan_uint16/sample_geotiff.tif": ("geotiff_labels.geojson", None),
    "atlanta_wv2/atlanta_rgbnir.tif": ("atlanta_buildings.geojson", None),
    "newbrunswick_aerial/bakerlake_1of2.tif": ("bakerlake_4class.gpkg", "Quatreclasses"),
    "newbrunswick_aerial/bakerlake_2of2_epsg2036.tif": ("bakerlake_4class.gpkg", "Quatreclasses"),
    "newbrunswick_aerial/bakerlake_2of2_epsg2953.tif": ("bakerlake_4class.gpkg", "Quatreclasses"),
    "vegas_wv3/vegas_rgb.tif": ("vegas_buildings.gpkg", None),
}


@pytest.mark.skipif(not SENSORS.is_dir(), reason=f"no real imagery at {SENSORS}")
@pytest.mark.parametrize("chip", CHIPS)
def test_real_chips_are_drawn_as_rasterio_draws_the_whole(chip):
    scene = Raster(SENSORS / chip)
    file, attribute = SENSORS / Path(chip).parent / CHIPS[chip][0], CHIPS[chip][1]
    table = geopandas.read_file(file).to_crs(scene.grid.crs.to_wkt())
    ids = np.ones(len(table), int)
    legend = Legend()
    if attribute is not None:
        values = sorted(set(map(str, table[attribute])))
        legend = Legend(attribute, {value: n for n, value in enumerate(values, start=1)})
        ids = np.array([legend.ids[str(value)] for value in table[attribute]])
    order = np.argsort(ids, kind="stable")
    shapes = [(table.geometry[n], int(ids[n])) for n in order if table.geometry[n] is not None]
    expected = rasterize(shapes, scene.grid.shape, transform=scene.grid.transform, dtype="int32")
    labels = Features([file], legend).on(scene.grid, scene.path)
    assert expected.any()
    assert np.array_equal(labels.read()[0][0], expected)
    random = np.random.default_rng(0)
    for _ in range(20):
        height, width = (int(n) for n in random.integers(1, np.array(scene.grid.shape) + 1))
        row = int(random.integers(scene.grid.height - height + 1))
        col = int(random.integers(scene.grid.width - width + 1))
        window = Window(row, col, height, width)
        assert np.array_equal(labels.read(window)[0][0], expected[window.slices])
