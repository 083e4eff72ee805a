"""What counts of a region: its area, its borders, its labels, from the configuration to a batch."""

import json

import geopandas
import numpy as np
import pytest
import torch
from affine import Affine
from rasterio.crs import CRS
from shapely import Point, box

from rsadapt import build, config
from rsadapt.adapt import checkpoint
from rsadapt.classes import IGNORE_INDEX
from rsadapt.data.region import Region
from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.training import train_run
from rsadapt.verbs.inspect import inspect

UTM = CRS.from_epsg(32632)
SIDE = 96
AREA = Window(8, 16, 80, 72)
IGNORED = Window(40, 30, 20, 20)


def grid_at(left, side=SIDE):
    return Grid(side, side, Affine(2, 0, 5e5 + 2 * left, 0, -2, 5.2e6), UTM)


def polygon(window, left=0):
    """A window's pixels as a polygon, degrees."""
    t = grid_at(left).transform
    x, y = t.c + 2 * window.col, t.f - 2 * window.row
    corners = box(x, y - 2 * window.height, x + 2 * window.width, y)
    return geopandas.GeoSeries([corners], crs=UTM)


def save(path, *shapes):
    """Write shapes in degrees, whatever they came in."""
    geopandas.GeoDataFrame(geometry=[one.to_crs(4326)[0] for one in shapes], crs=4326).to_file(path)


def inside(window):
    there = np.zeros((SIDE, SIDE), bool)
    there[window.slices] = True
    return there


BORDER = inside(Window(0, 0, SIDE, 24))
COUNTS = inside(AREA) & ~BORDER


def country(folder, *, dtype="uint16", garbage=7):
    """A region of one scene with garbage where it does not count, and settings for it.

    Its labels are 11 and 12, which are 1 and 2 of the class table; a border of 5000 lies at the
    west, an area of interest leaves the rim out, and a square is to be ignored.
    """
    folder.mkdir()
    random = np.random.default_rng(0)
    values = random.integers(100, 1000, (2, SIDE, SIDE)).astype(dtype)
    labels = random.integers(11, 13, (SIDE, SIDE)).astype(np.uint8)
    values[:, BORDER] = 5000
    values[:, ~inside(AREA) & ~BORDER] = garbage
    labels[~inside(AREA) | inside(IGNORED)] = 77 if garbage == 7 else 78
    write_raster(folder / "s.tif", values, grid_at(0))
    write_raster(folder / "l.tif", labels, grid_at(0))
    save(folder / "area.geojson", polygon(AREA))
    save(folder / "ignore.gpkg", polygon(IGNORED))
    region = {
        "scenes": ["s.tif"],
        "labels": ["l.tif"],
        "label_ids": {11: 1, 12: 2},
        "area": ["area.geojson"],
        "ignore": ["*.gpkg"],
        "border": [5000, 5000],
        "validation": {"share": 0.0},
    }
    return {
        "root": str(folder),
        "classes": [
            {"name": "a", "id": 1, "colour": "#000000"},
            {"name": "b", "id": 2, "colour": "#ffffff"},
        ],
        "ignored_ids": [0, 255],
        "source": region,
        "target": region | {"labels": [], "label_ids": {}, "ignore": []},
        "network": {"encoder": "small", "rates": [1]},
        "method": {"name": "output_space", "discriminator_width": 4},
        "training": {
            "steps": 1,
            "batch_size": 2,
            "tile": 32,
            "workers": 0,
            "augment": ["dihedral"],
        },
        "prediction": {"tile": 32, "overlap": 8},
        "device": {"accelerator": "cpu"},
    }


def parsed(values):
    return config.parse(values, where="test")


def batch(settings):
    both = build.places(settings)
    normalise = build.normalisers(settings, both, build.take_statistics(settings, both))
    samples = {
        domain: build.training_samples(settings, both, normalise, domain)
        for domain in ("source", "target")
    }
    return both, [samples[domain][n] for domain in ("source", "target") for n in range(8)]


@pytest.mark.parametrize(("dtype", "garbage"), [("uint16", 60000), ("float32", np.nan)])
def test_garbage_where_nothing_counts_changes_nothing(tmp_path, dtype, garbage):
    clean = parsed(country(tmp_path / "a", dtype=dtype))
    soiled = parsed(country(tmp_path / "b", dtype=dtype, garbage=garbage))
    (ours, expected), (theirs, found) = batch(clean), batch(soiled)
    assert theirs.source.training.statistics() == ours.source.training.statistics()
    assert theirs.target.training.statistics() == ours.target.training.statistics()
    counts = [
        place.training.class_counts(build.class_scheme(clean))
        for place in (ours.source, theirs.source)
    ]
    assert np.array_equal(*counts)
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.valid, other.valid)
        assert one.label is None or torch.equal(one.label, other.label)
    one, other = (
        checkpoint.load(train_run(chosen, tmp_path / f"run {number}").run.checkpoint)["network"]
        for number, chosen in enumerate((clean, soiled))
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_counts_is_valid_and_labelled_by_the_regions_own_ids(tmp_path):
    settings = parsed(country(tmp_path / "a"))
    region = build.places(settings).source.training
    (scene,) = region.scenes
    values, valid = scene.image.read()
    np.testing.assert_array_equal(valid, COUNTS)
    assert scene.area == AREA
    scheme = build.class_scheme(settings)
    stored = Raster(tmp_path / "a" / "l.tif").read()[0][0]
    labelled = COUNTS & ~inside(IGNORED)
    train_ids = scene.read_label(scene.image.grid.window, scheme)
    np.testing.assert_array_equal(train_ids[labelled], stored[labelled] - 11)
    assert (train_ids[~labelled] == IGNORE_INDEX).all()
    found = region.statistics()
    assert found.mean == pytest.approx(values[:, COUNTS].mean(axis=1))
    assert found.valid == COUNTS.sum()
    assert found.total == AREA.height * AREA.width
    for sample in batch(settings)[1]:
        assert (sample.image[:, ~sample.valid] == 0).all()
        assert sample.label is None or (sample.label[~sample.valid] == IGNORE_INDEX).all()


def test_inspection_tells_what_counts(tmp_path):
    values = country(tmp_path / "a")
    (tmp_path / "a" / "c.yaml").write_text(json.dumps(values | {"root": "."}))
    found = inspect(tmp_path / "a" / "c.yaml").source
    assert found.valid_share == pytest.approx(COUNTS.sum() / (AREA.height * AREA.width))
    assert found.training.unlabelled == pytest.approx(400 / COUNTS.sum())
    assert found.scenes[0].was is None


def test_a_warped_scene_counts_in_its_area_too(tmp_path):
    values = country(tmp_path / "a")
    values["source"] |= {"pixel": 4.0}
    (scene,) = build.places(parsed(values)).source.training.scenes
    _, valid = scene.image.read()
    expected = np.zeros((48, 48), bool)
    expected[4:44, 12:44] = True
    # the border is widened by a pixel over what it was blended with, the area is drawn by centres
    assert not valid[~expected].any()
    assert valid.sum() > 0.9 * expected.sum()
    label = scene.read_label(scene.image.grid.window, build.class_scheme(parsed(values)))
    assert (label[valid] != IGNORE_INDEX).sum() == valid.sum() - 100


@pytest.fixture
def row(tmp_path):
    """Settings for three scenes in a row, and the file of their area."""
    values = country(tmp_path / "a")
    for number in range(3):
        image = np.full((1, SIDE, SIDE), 40 * number + 40, np.uint8)
        write_raster(tmp_path / "a" / f"r{number}.tif", image, grid_at(SIDE * number))
        write_raster(tmp_path / "a" / f"r{number}_label.tif", image[0], grid_at(SIDE * number))
    values["source"] = {
        "scenes": ["r?.tif"],
        "labels": ["r?_label.tif"],
        "label_ids": {40: 1, 80: 1, 120: 2},
        "area": ["area.geojson"],
        "validation": {"share": 0.0},
    }
    values["target"] = {"scenes": ["r?.tif"], "validation": {"share": 0.0}}
    return values, tmp_path / "a" / "area.geojson"


def test_scenes_outside_the_area_are_left_out_with_their_labels(row):
    values, file = row
    save(file, polygon(Window(0, 0, 40, 40)), polygon(Window(20, 50, 30, 40), left=2 * SIDE))
    region = build.places(parsed(values)).source.training
    assert [scene.image.path.name for scene in region.scenes] == ["r0.tif", "r2.tif"]
    assert [scene.area for scene in region.scenes] == [
        Window(0, 0, 40, 40),
        Window(19, 50, 32, 40),  # as high as a training window
    ]
    counts = region.class_counts(build.class_scheme(parsed(values)))
    assert counts.tolist() == [1600, 1200, 0]


def test_an_area_is_split_by_its_own_pixels(row):
    values, file = row
    save(file, polygon(Window(0, 0, 80, 80)))
    values["source"]["validation"] = {"share": 0.25, "side": "east"}
    place = build.places(parsed(values)).source
    assert [scene.area for scene in place.training.scenes] == [Window(0, 0, 80, 60)]
    assert [scene.area for scene in place.validation.scenes] == [Window(0, 60, 80, 20)]


def test_an_area_without_a_scene_is_an_error(row):
    values, file = row
    save(file, polygon(Window(0, 0, 40, 40), left=-500))
    with pytest.raises(DataError, match=r"source region: none of its 3 scenes, .*area\.geojson"):
        build.places(parsed(values))
    values["source"]["area"] = ["gone.geojson"]
    with pytest.raises(MissingFileError, match=r"gone\.geojson"):
        build.places(parsed(values))


def test_a_border_that_is_nowhere_is_warned_of(row):
    values, file = row
    save(file, polygon(Window(0, 0, SIDE, SIDE)))
    values["target"]["border"] = "white"
    with pytest.warns(UserWarning, match=r"target region: found no border of the colour white"):
        build.places(parsed(values))


def test_unknown_ids_are_listed_for_the_whole_region(row):
    values, file = row
    save(file, *(polygon(Window(0, 0, SIDE, SIDE), left=SIDE * n) for n in range(3)))
    values["source"]["label_ids"] = {80: 1}
    settings = parsed(values)
    region = build.places(settings).source.training
    with pytest.raises(
        DataError,
        match=rf"source region: .*r0_label\.tif and 1 more files: .*: 40 \({SIDE**2} pixels\), "
        rf"120 \({SIDE**2} pixels\); known are .*'source\.label_ids'",
    ):
        region.check(build.class_scheme(settings))


def test_what_is_no_label_at_all_is_refused_early_and_briefly(tmp_path, monkeypatch):
    values = country(tmp_path / "a")
    noise = np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32)
    write_raster(tmp_path / "a" / "l.tif", noise, grid_at(0))
    monkeypatch.setattr("rsadapt.data.region.MANY_IDS", 50)
    region = build.places(parsed(values)).source.training
    with pytest.raises(DataError, match=r"0\.\d+ \(1 pixels\).* and \d+ more; known") as caught:
        region.class_counts(build.class_scheme(parsed(values)))
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("radius", [0, 5.0])
def test_points_label_the_pixels_that_they_lie_in_and_no_others(row, radius):
    values, file = row
    places = [(10, 12), (40, 40), (41, 40), (90, 5)]  # column, row
    points = [Point(5e5 + 2 * col + 1, 5.2e6 - 2 * row - 1) for col, row in places]
    table = geopandas.GeoDataFrame({"kind": ["x", "y", "x", "y"]}, geometry=points, crs=UTM)
    table.to_file(file.with_name("points.gpkg"))
    values["source"] = {
        "scenes": ["r0.tif"],
        "labels": ["points.gpkg"],
        "polygons": {"field": "kind", "ids": {"x": 1, "y": 2}, "outside": None, "radius": radius},
        "validation": {"share": 0.0},
    }
    settings = parsed(values)
    both = build.places(settings)
    region, scheme = both.source.training, build.class_scheme(settings)
    assert isinstance(region, Region)
    counts = region.class_counts(scheme)
    label = region.scenes[0].read_label(Window(0, 0, SIDE, SIDE), scheme)
    rows, cols = np.indices(label.shape)
    expected = np.full(label.shape, IGNORE_INDEX)
    for number in (0, 2, 1, 3):  # y lies over x
        col, line = places[number]
        near = np.hypot(rows - line, cols - col) <= radius / 2
        expected[near] = number % 2
    np.testing.assert_array_equal(label, expected)
    assert counts[:2].tolist() == [(expected == 0).sum(), (expected == 1).sum()]
    normalise = {name: Normaliser((0.0,), (1.0,)) for name in ("source", "target")}
    samples = build.training_samples(settings, both, normalise, "source")
    assert any((samples[number].label != IGNORE_INDEX).any() for number in range(20))
