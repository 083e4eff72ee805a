"""Maps as STAC items: outlines by RFC 7946, times by what scenes tell, classes as the table has."""

import json

import numpy as np
import pystac
import pytest
import shapely
from affine import Affine
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from rasterio.crs import CRS
from rasterio.warp import transform

from rsadapt.classes import ClassScheme
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.stac import EXTENSIONS, asset, raster_facts, stac_item, times_of

SCHEME = ClassScheme(
    ("field & path", "river", "湖", "沼"),
    ((1,), (7,), (8,), (9,)),
    ((1, 2, 255), (200, 0, 0), (0, 0, 0), (9, 9, 9)),
)


def item_of(grid, **facts):
    """An item, through JSON, of which pystac has validated all that needs no network."""
    told = asset("a_classes.tif", "class of each pixel", "data") | raster_facts(
        grid, descriptions=["class"], dtype="uint8", nodata=255, scheme=SCHEME
    )
    values = stac_item(
        "a",
        grid,
        times={"datetime": "2026-01-02T03:04:05Z"},
        assets={"classes": told},
        links=[{"rel": "derived_from", "href": "a.tif"}],
        properties=facts,
    )
    values = json.loads(json.dumps(values, allow_nan=False))
    assert pystac.Item.from_dict(values | {"stac_extensions": []}).validate()
    return pystac.Item.from_dict(values)


GRIDS = {
    "projected": Grid(400, 600, Affine(10, 0, 5e5, 0, -10, 5e6), crs_of(32633)),
    "south": Grid(400, 600, Affine(10, 0, 5e5, 0, -10, 5e6), crs_of(32733)),
    "rotated": Grid(400, 600, Affine(8, 3, 5e5, 3, -8, 5e6), crs_of(32633)),
    "geographic": Grid(400, 600, Affine(0.01, 0, 20, 0, -0.01, -30), crs_of(4326)),
    "at the meridian": Grid(400, 600, Affine(0.01, 0, 174, 0, -0.01, -30), crs_of(4326)),
    "world": Grid(180, 360, Affine(1, 0, -180, 0, -1, 90), crs_of(4326)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_outline_holds_the_pixels(name):
    grid = GRIDS[name]
    item = item_of(grid)
    shape = shapely.geometry.shape(item.geometry)
    assert shape.geom_type == "Polygon"
    assert shape.exterior.is_ccw
    assert shape.bounds == pytest.approx(item.bbox, abs=2e-6)
    random = np.random.default_rng(0)
    col, row = random.uniform(0, grid.width, 500), random.uniform(0, grid.height, 500)
    t = grid.transform
    xs, ys = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
    lon, lat = transform(grid.crs, crs_of(4326), xs, ys)
    assert shapely.contains_xy(shape.buffer(1e-5), lon, lat).all()
    projection = ProjectionExtension.ext(item)
    assert projection.code == str(grid.crs)
    assert projection.shape == list(grid.shape)
    assert projection.transform == list(grid.transform)[:6]


@pytest.mark.parametrize(
    "grid",
    [
        Grid(400, 600, Affine(0.01, 0, 178, 0, -0.01, -16), crs_of(4326)),
        Grid(400, 600, Affine(0.01, 0, -182, 0, -0.01, -16), crs_of(4326)),
        Grid(40, 60, Affine(10_000, 0, 1e5, 0, -10_000, 8.2e6), crs_of(32701)),
    ],
)
def test_a_scene_across_the_180th_meridian_is_cut_there(grid):
    item = item_of(grid)
    shape = shapely.geometry.shape(item.geometry)
    assert shape.geom_type == "MultiPolygon"
    assert all(part.exterior.is_ccw for part in shape.geoms)
    assert shape.bounds[0] == -180
    assert shape.bounds[2] == 180
    west, _, east, _ = item.bbox
    assert -180 < east < 0 < west < 180
    assert shape.area == pytest.approx(
        shapely.Polygon(_unrolled(grid)).area, rel=1e-3
    )  # square degrees


def _unrolled(grid):
    """The outline in degrees of a grid, running on beyond 180."""
    around = np.linspace(0, 1, 50)
    none, whole = around * 0, around * 0 + 1
    col = grid.width * np.concatenate([around, whole, 1 - around, none])
    row = grid.height * np.concatenate([none, around, whole, 1 - around])
    t = grid.transform
    xs, ys = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
    lon, lat = (np.asarray(part) for part in transform(grid.crs, crs_of(4326), xs, ys))
    return np.stack([np.where(lon < 0, lon + 360, lon), lat], axis=1)


def test_a_scene_with_a_pole_inside_has_a_box_up_to_it():
    item = item_of(Grid(600, 600, Affine(1e4, 0, -3e6, 0, -1e4, 3e6), crs_of(3031)))
    west, south, east, north = item.bbox
    assert (west, south, east) == (-180, -90, 180)
    assert -60 < north < -50
    assert shapely.geometry.shape(item.geometry).equals(shapely.box(*item.bbox))


def test_a_scene_without_a_place_has_no_geometry():
    item = item_of(Grid(4, 6, Affine.identity()))
    assert item.geometry is item.bbox is None
    assert ProjectionExtension.ext(item).shape == [4, 6]


def test_a_crs_of_no_authority_is_told_as_text():
    crs = CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84")
    projection = ProjectionExtension.ext(item_of(Grid(4, 6, Affine(10, 0, 0, 0, -10, 0), crs)))
    assert projection.code is None
    assert CRS.from_wkt(projection.wkt2) == crs


def test_classes_are_those_of_the_table():
    item = item_of(GRIDS["projected"])
    assert item.stac_extensions == list(EXTENSIONS)
    classes = ClassificationExtension.ext(item.assets["classes"]).classes
    assert [entry.value for entry in classes] == list(SCHEME.codes)
    assert [entry.title for entry in classes] == list(SCHEME.names)
    assert [entry.description for entry in classes] == list(SCHEME.names)
    assert [entry.name for entry in classes] == ["field-path", "river", "class-8", "class-9"]
    assert [entry.color_hint for entry in classes][:2] == ["0102ff", "c80000"]
    (band,) = item.assets["classes"].extra_fields["bands"]
    assert band == {
        "name": "class",
        "data_type": "uint8",
        "nodata": 255,
        "raster:spatial_resolution": 10,
    }


def test_quantities_tell_their_scale_and_nodata():
    grid = GRIDS["projected"]
    steps = raster_facts(grid, descriptions=["a", "b"], dtype="uint8", nodata=255, scale=1 / 254)
    assert [band["name"] for band in steps["bands"]] == ["a", "b"]
    assert steps["bands"][0]["raster:scale"] == 1 / 254
    (floats,) = raster_facts(grid, descriptions=["a"], dtype="float32", nodata=float("nan"))[
        "bands"
    ]
    assert (floats["nodata"], floats["data_type"]) == ("nan", "float32")
    assert "classification:classes" not in steps


START = "2026-11-28T01:02:03+00:00"


@pytest.mark.parametrize(
    ("item", "tags", "expected"),
    [
        ({}, {}, {"datetime": "2026-11-28T01:02:03Z"}),
        (
            {"datetime": "2020-01-01T00:00:00Z"},
            {"TIFFTAG_DATETIME": "2021:01:01 00:00:00"},
            {"datetime": "2020-01-01T00:00:00Z"},
        ),
        (
            {"datetime": None, "start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2021"},
            {},
            {"datetime": None, "start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2021"},
        ),
        ({"datetime": None}, {}, {"datetime": "2026-11-28T01:02:03Z"}),
        ({}, {"TIFFTAG_DATETIME": "2020:06:05 10:11:12"}, {"datetime": "2020-06-05T10:11:12Z"}),
        (
            {},
            {
                "TIFFTAG_DATETIME": "2024:06:05 10:11:12",
                "ACQUISITIONDATETIME": "2020-06-05 12:11:12+02:00",
            },
            {"datetime": "2020-06-05T10:11:12Z"},
        ),
        ({}, {"ACQUISITION_DATE": "2020-06-05"}, {"datetime": "2020-06-05T00:00:00Z"}),
        ({}, {"TIFFTAG_DATETIME": "    :  :     :  :  "}, {"datetime": "2026-11-28T01:02:03Z"}),
    ],
)
def test_times_are_what_the_scene_tells(item, tags, expected):
    assert times_of(item, tags, START) == expected
