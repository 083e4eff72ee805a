"""Class maps as polygons: exact, without gaps, measured on the ground."""

import re

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyproj import Geod
from rasterio.features import rasterize

from rsadapt.classes import ClassScheme
from rsadapt.errors import ConfigError, DataError
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.polygons import class_polygons
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster

SCHEME = ClassScheme(
    ("water", "forest", "town"), ((3,), (5, 6), (9,)), ((0, 0, 255), (0, 90, 0), (200, 0, 0)), (0,)
)
PLACES = {
    "projected": (Affine(10, 0, 500000, 0, -10, 5000000), 32633),
    "southern": (Affine(0.5, 0, 334900, 0, -0.5, 6252300), 32756),
    "geographic": (Affine(1e-4, 0, -58.4, 0, -1e-4, 64.2), 4326),
    "rotated": (Affine(8.66, 5, 500000, 5, -8.66, 5000000), 32633),
    "feet": (Affine(3, 0, 980000, 0, -3, 200000), 2263),
}


def a_map(path, codes, place="projected"):
    transform, crs = PLACES[place] if place else (Affine.identity(), None)
    grid = Grid(*codes.shape, transform, crs and crs_of(crs))
    write_raster(path, codes, grid, nodata=255)
    return Raster(path)


def land(seed=0, shape=(150, 190), empty=0.1):
    """Codes of patches of all sizes, as networks draw them, with some of them empty."""
    random = np.random.default_rng(seed)
    height, width = shape
    fields = []
    for _ in range(4):
        field = random.normal(0, 0.35, shape)
        for size in (40, 12, 5):
            coarse = random.normal(size=(height // size + 1, width // size + 1))
            field += np.kron(coarse, np.ones((size, size)))[:height, :width]
        fields.append(field)
    codes = np.array([3, 5, 9, 255], np.uint8)[np.argmax(fields, axis=0)]
    codes[(codes == 255) & (random.random(shape) > empty * 4)] = 3
    return codes


def drawn_back(table, raster, field="class"):
    """The polygons as a raster on the map's grid, 255 where there is none."""
    shapes = zip(table.geometry, table[field], strict=True)
    return rasterize(
        shapes, raster.grid.shape, fill=255, transform=raster.grid.transform, dtype="int32"
    )


def areas(table):
    """Square units of the CRS, whatever those are."""
    return shapely.area(table.geometry.array)


def on_the_ellipsoid(table, step):
    """Square metres of polygons whose edges are cut into short geodesics (Karney 2013)."""
    bent = table.geometry.segmentize(step).to_crs(4326).array
    geod = Geod(ellps="WGS84")
    return [geod.geometry_area_perimeter(p)[0] for p in shapely.orient_polygons(bent)]


@pytest.mark.parametrize("place", PLACES)
def test_unsimplified_polygons_are_the_map(tmp_path, place):
    codes = land()
    raster = a_map(tmp_path / "a.tif", codes, place)
    table = class_polygons(raster, SCHEME, folder=tmp_path).table
    assert (drawn_back(table, raster) == codes).all()
    assert shapely.coverage_is_valid(table.geometry.array)
    pixel = abs(raster.grid.transform.determinant)
    assert areas(table).sum() == pytest.approx(pixel * (codes != 255).sum(), rel=1e-9)
    assert table.crs == f"EPSG:{PLACES[place][1]}"
    assert dict(zip(table["class"], table["name"], strict=True)) == {
        3: "water",
        5: "forest",
        9: "town",
    }
    assert list(tmp_path.iterdir()) == [raster.path]  # nothing temporary is left


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("pixels", "corners"), [(0.8, 0.8), (3, 0.7)])
def test_simplified_polygons_leave_no_gap_and_no_overlap(tmp_path, place, pixels, corners):
    raster = a_map(tmp_path / "a.tif", np.where(land() == 255, 5, land()), place)
    x, y = raster.grid.ground_size()
    exact = class_polygons(raster, SCHEME, folder=tmp_path).table
    table = class_polygons(raster, SCHEME, folder=tmp_path, simplify=pixels * np.sqrt(x * y)).table
    assert len(table) == len(exact)
    assert shapely.get_num_coordinates(table.geometry.array).sum() < corners * (
        shapely.get_num_coordinates(exact.geometry.array).sum()
    )
    assert table.is_valid.all()
    assert (table.geom_type == "Polygon").all()
    assert not table.is_empty.any()
    assert shapely.coverage_is_valid(table.geometry.array)
    whole = shapely.coverage_union_all(table.geometry.array)
    assert whole.geom_type == "Polygon"
    assert not whole.interiors
    assert areas(table).sum() == pytest.approx(whole.area, rel=1e-9)
    assert whole.area == pytest.approx(areas(exact).sum(), rel=2e-3)  # corners of the map may go


MAPS = arrays(
    np.uint8,
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    elements=st.sampled_from([3, 5, 9, 255]),
)


@given(MAPS, st.sampled_from(list(PLACES)), st.floats(0.3, 6))
def test_any_map_stays_a_coverage(tmp_path_factory, codes, place, pixels):
    folder = tmp_path_factory.mktemp("any")
    raster = a_map(folder / "a.tif", codes, place)
    x, y = raster.grid.ground_size()
    exact = class_polygons(raster, SCHEME, folder=folder).table
    table = class_polygons(raster, SCHEME, folder=folder, simplify=pixels * np.sqrt(x * y)).table
    assert (drawn_back(exact, raster) == codes).all() if len(exact) else (codes == 255).all()
    assert table["class"].equals(exact["class"])
    assert table.is_valid.all()
    assert shapely.coverage_is_valid(table.geometry.array)
    union = shapely.union_all(table.geometry.array)
    assert areas(table).sum() == pytest.approx(union.area, rel=1e-6)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("simplify", [0, 15])
def test_areas_are_those_on_the_ellipsoid(tmp_path, place, simplify):
    raster = a_map(tmp_path / "a.tif", land(), place)
    table = class_polygons(raster, SCHEME, folder=tmp_path, simplify=simplify).table
    expected = on_the_ellipsoid(table, max(raster.grid.pixel_size))
    assert np.allclose(table["area_m2"], expected, rtol=1e-5, atol=1e-3)


def test_areas_of_a_large_map_in_degrees(tmp_path):
    codes = np.full((500, 800), 3, np.uint8)
    codes[200:] = 5
    grid = Grid(*codes.shape, Affine(0.01, 0, 10, 0, -0.01, 65), crs_of(4326))
    write_raster(tmp_path / "a.tif", codes, grid, nodata=255)
    table = class_polygons(Raster(tmp_path / "a.tif"), SCHEME, folder=tmp_path).table
    assert np.allclose(table["area_m2"], on_the_ellipsoid(table, 0.01), rtol=3e-6)


@pytest.mark.parametrize("stored", ["uint8", "float32"])
def test_confidence_is_the_mean_of_the_pixels(tmp_path, stored):
    codes = land(3)
    raster = a_map(tmp_path / "a.tif", codes)
    steps = np.random.default_rng(1).integers(0, 255, codes.shape)
    steps[codes == 255] = 255
    steps[:40] = 255  # unknown there although the map has classes
    stored_values = steps.astype(np.uint8)
    if stored == "float32":
        stored_values = np.where(steps == 255, np.nan, steps / 254).astype(np.float32)
    write_raster(
        tmp_path / "b.tif", stored_values, raster.grid, nodata=255 if stored == "uint8" else np.nan
    )
    table = class_polygons(
        raster, SCHEME, folder=tmp_path, simplify=20, confidence=Raster(tmp_path / "b.tif")
    ).table
    exact = class_polygons(raster, SCHEME, folder=tmp_path).table
    numbers = drawn_back(exact.assign(number=range(len(exact))), raster, "number")
    for number, found in enumerate(table["confidence"]):
        known = steps[(numbers == number) & (codes != 255) & (steps != 255)]
        assert (np.isnan(found) and not len(known)) or found == pytest.approx(known.mean() / 254)
    assert exact["confidence"].isna().all()


def test_confidence_on_another_grid(tmp_path):
    raster = a_map(tmp_path / "a.tif", land())
    other = a_map(tmp_path / "b.tif", land(shape=(150, 191)))
    with pytest.raises(DataError, match=r"b\.tif: expected the confidence on the grid of a\.tif"):
        class_polygons(raster, SCHEME, folder=tmp_path, confidence=other)


def test_small_pieces_go_to_their_largest_neighbour(tmp_path):
    codes = np.full((12, 12), 3, np.uint8)
    codes[:, 8:] = 5
    codes[2, 2:5] = 9  # 3 pixels inside water
    codes[6:8, 6:10] = 9  # 8 pixels between both
    codes[10, 10:] = 255
    raster = a_map(tmp_path / "a.tif", codes)
    table = class_polygons(raster, SCHEME, folder=tmp_path, smallest_area=800).table
    expected = codes.copy()
    expected[2, 2:5] = 3
    assert (drawn_back(table, raster) == expected).all()  # 8 pixels of 100 m2 are enough
    table = class_polygons(raster, SCHEME, folder=tmp_path, smallest_area=800.5).table
    expected[6:8, 6:10] = 3
    assert (drawn_back(table, raster) == expected).all()
    assert table["name"].tolist() == ["water", "forest"]


@given(MAPS, st.integers(2, 12))
def test_what_is_empty_neither_takes_nor_is_taken(tmp_path_factory, codes, smallest):
    folder = tmp_path_factory.mktemp("sieve")
    raster = a_map(folder / "a.tif", codes)
    polygons = class_polygons(raster, SCHEME, folder=folder, smallest_area=smallest * 100)
    table = polygons.table
    drawn = drawn_back(table, raster) if len(table) else codes
    assert ((drawn == 255) == (codes == 255)).all()
    small = areas(table) < smallest * 100
    told = re.match(r"pieces below .* stay: (\d+)$", polygons.note)
    assert small.sum() == (int(told[1]) if told else 0)
    large = shapely.union_all(table.geometry.array[~small])
    shared = shapely.length(shapely.intersection(table.geometry.array[small], large))
    assert (shared == 0).all()  # none that stays has a large neighbour


def test_a_map_smaller_than_the_smallest_area(tmp_path):
    raster = a_map(tmp_path / "a.tif", np.full((3, 3), 5, np.uint8))
    polygons = class_polygons(raster, SCHEME, folder=tmp_path, smallest_area=1e9)
    assert len(polygons.table) == 1
    assert polygons.note == "pieces below 1e+09 m2 that no neighbour could take over stay: 1"


def test_only_some_classes(tmp_path):
    codes = land(5)
    raster = a_map(tmp_path / "a.tif", codes)
    for smallest in (0, 2000):
        table, whole = (
            class_polygons(raster, SCHEME, folder=tmp_path, only=only, smallest_area=smallest).table
            for only in (["town", "water"], [])
        )
        assert set(table["name"]) == {"town", "water"}
        expected = whole[whole["name"] != "forest"].reset_index(drop=True)
        assert (drawn_back(table, raster) == drawn_back(expected, raster)).all()
        assert len(table) == len(expected)
    with pytest.raises(ConfigError, match="among water, forest, town, found 'sea'"):
        class_polygons(raster, SCHEME, folder=tmp_path, only=["sea"])


def test_a_map_without_a_place(tmp_path):
    codes = land()
    raster = a_map(tmp_path / "a.tif", codes, None)
    polygons = class_polygons(raster, SCHEME, folder=tmp_path)
    assert polygons.table["area_m2"].isna().all()
    assert polygons.table.crs is None
    assert polygons.note == "without areas: the map does not say where on Earth it lies"
    for asked in ({"smallest_area": 1}, {"simplify": 1}):
        with pytest.raises(DataError, match=r"a\.tif: expected a map with a place on Earth"):
            class_polygons(raster, SCHEME, folder=tmp_path, **asked)


def test_raw_ids_ignored_ids_and_unknown_ones(tmp_path):
    codes = np.array([[3, 6, 5], [0, 0, 255]], np.uint8)
    table = class_polygons(a_map(tmp_path / "a.tif", codes), SCHEME, folder=tmp_path).table
    assert table["class"].tolist() == [3, 5]  # 6 is forest too; 0 is ignored
    with pytest.raises(DataError, match=r"b\.tif: label ids outside the class table: 7 \(1 pix"):
        class_polygons(
            a_map(tmp_path / "b.tif", np.full((1, 1), 7, np.uint8)), SCHEME, folder=tmp_path
        )


@pytest.mark.parametrize("asked", [{"simplify": -1}, {"smallest_area": float("nan")}])
def test_numbers_that_cannot_be_meant(tmp_path, asked):
    with pytest.raises(ConfigError, match="expected a smallest area and a simplification of 0 or"):
        class_polygons(a_map(tmp_path / "a.tif", land()), SCHEME, folder=tmp_path, **asked)


def test_a_map_without_a_class(tmp_path):
    raster = a_map(tmp_path / "a.tif", np.full((40, 40), 255, np.uint8))
    table = class_polygons(
        raster, SCHEME, folder=tmp_path, smallest_area=5, simplify=5, confidence=raster
    ).table
    assert len(table) == 0


def test_255_classes(tmp_path):
    scheme = ClassScheme(
        tuple(f"c{k}" for k in range(255)), tuple((k,) for k in range(255)), ((1, 2, 3),) * 255
    )
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    raster = a_map(tmp_path / "a.tif", codes)
    table = class_polygons(raster, scheme, folder=tmp_path).table
    assert (drawn_back(table, raster) == codes).all()
    assert len(table) == 255
