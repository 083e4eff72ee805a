"""Everything that predict writes: aligned with its scene, read by others without a warning."""

import csv
import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
import rasterio.features
import rasterio.shutil
import shapely
import yaml
from affine import Affine
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from rio_cogeo.cogeo import cog_validate
from typer.testing import CliRunner

from rsadapt.cli import app
from rsadapt.errors import ConfigError, DataError, OutputExistsError
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.infer import products
from rsadapt.infer.layers import LAYERS
from rsadapt.infer.products import PRODUCTS
from rsadapt.verbs.draw_sample import draw_sample
from rsadapt.verbs.predict import predict

SIZE = 2.0
"""Metres of a pixel that the run was trained at."""

DEGREES = SIZE / 111_120

GRIDS = {
    "north": Grid(70, 110, Affine(SIZE, 0, 5e5, 0, -SIZE, 5e6), crs_of(32633)),
    "south": Grid(70, 110, Affine(SIZE, 0, 3e5, 0, -SIZE, 6.2e6), crs_of(32756)),
    "rotated": Grid(70, 110, Affine(1.6, 1.2, 5e5, 1.2, -1.6, 5e6), crs_of(32633)),
    "geographic": Grid(70, 110, Affine(DEGREES, 0, 36.8, 0, -DEGREES, -1.3), crs_of(4326)),
    "south up": Grid(70, 110, Affine(SIZE, 0, 5e5, 0, SIZE, 5e6), crs_of(32733)),
}


def a_scene(configuration, path, grid, tags=None):
    """Pixels of the target on another grid, nodata in a corner."""
    image = Raster(configuration.parent / "target" / "scene_1.tif")
    values, _ = image.read()
    rows, cols = -(-grid.height // values.shape[1]), -(-grid.width // values.shape[2])
    values = np.tile(values, (1, rows, cols))[:, : grid.height, : grid.width]
    values[:, :10, :10] = 0
    write_raster(path, values, grid, nodata=0, descriptions=image.descriptions, tags=tags)
    return path


@pytest.mark.parametrize("name", GRIDS)
def test_every_output_lies_on_the_pixels_of_its_scene(trained, configuration, tmp_path, name):
    scene = a_scene(configuration, tmp_path / "a.tif", GRIDS[name])
    grid = Raster(scene).grid
    (made, whole) = predict(
        trained, [scene], tmp_path / "maps", layers=LAYERS, also=PRODUCTS, mosaic="vrt"
    )
    assert sorted(file.name for file in (*made.files, *whole.files)) == sorted(
        path.name for path in (tmp_path / "maps").iterdir()
    )
    for path in (*made.layers.values(), *whole.layers.values()):
        assert Raster(path).grid.matches(grid)
    (codes,), valid = Raster(made.layers["classes"]).read()
    np.testing.assert_array_equal(valid, Raster(scene).read()[1])
    (seen,), _ = Raster(whole.layers["classes"]).read()
    np.testing.assert_array_equal(seen, codes)

    table = geopandas.read_file(tmp_path / "maps" / "a_polygons.gpkg")
    assert table.crs == grid.crs.to_wkt()
    shapes = zip(table.geometry, table["class"], strict=True)
    drawn = rasterio.features.rasterize(shapes, grid.shape, 255, transform=grid.transform)
    np.testing.assert_array_equal(drawn, codes)
    pixel = abs(grid.transform.determinant)
    assert shapely.area(table.geometry.array).sum() == pytest.approx(valid.sum() * pixel, rel=1e-9)
    assert shapely.coverage_is_valid(table.geometry.array)

    item = pystac.Item.from_file(str(tmp_path / "maps" / "a_stac.json"))
    projection = ProjectionExtension.ext(item)
    assert projection.shape == list(grid.shape)
    assert projection.transform == list(grid.transform)[:6]
    inside = shapely.box(*table.to_crs(4326).total_bounds).buffer(-1e-6)
    assert shapely.contains(shapely.box(*item.bbox), inside)

    rows = list(csv.DictReader((tmp_path / "maps" / "a_areas.csv").read_text().splitlines()))
    assert sum(int(row["pixels"]) for row in rows) == valid.sum()
    metres = table.groupby("name")["area_m2"].sum()
    for row in rows:
        assert float(row["area_m2"]) == pytest.approx(metres.get(row["name"], 0), rel=0.005)
        assert int(row["pixels"]) == (codes == int(row["code"])).sum()


@pytest.fixture(scope="module")
def large(trained, configuration, tmp_path_factory):
    """A scene that is large enough for overviews, and all that is made of it."""
    folder = tmp_path_factory.mktemp("large")
    grid = replace(GRIDS["north"], height=560, width=600)
    tags = {"TIFFTAG_DATETIME": "2020:06:05 10:11:12"}
    scene = a_scene(configuration, folder / "large.tif", grid, tags)
    (made,) = predict(
        trained,
        [scene],
        folder / "maps",
        layers=LAYERS,
        also=PRODUCTS,
        prediction={"tile": 256, "overlap": 32},
    )
    return made


@pytest.fixture(scope="module")
def classes(configuration):
    """Name and colour of each class by its code, as the configuration has them."""
    entries = yaml.safe_load(configuration.read_text())["classes"]
    return {entry["id"]: (entry["name"], entry["colour"]) for entry in entries}


def test_maps_are_valid_cogs(large):
    for path in large.layers.values():
        assert cog_validate(path, strict=True) == (True, [], [])


def test_the_class_map_says_what_gdalinfo_shows(large, classes, tmp_path):
    path = large.layers["classes"]
    with rasterio.open(path) as dataset:
        codes = dataset.read(1)
        palette = dataset.colormap(1)
        statistics = dataset.tags(1)
        assert dataset.nodata == 255
        assert dataset.overviews(1) == [2]
        rasterio.shutil.copy(dataset, str(tmp_path / "as_gdal_reads.vrt"), driver="VRT")
    for code, (_, colour) in classes.items():
        assert "#{:02x}{:02x}{:02x}".format(*palette[code][:3]) == colour
    known = codes[codes != 255]
    assert float(statistics["STATISTICS_MAXIMUM"]) == known.max()
    assert float(statistics["STATISTICS_MEAN"]) == pytest.approx(known.mean(), rel=1e-6)
    text = (tmp_path / "as_gdal_reads.vrt").read_text()
    categories = re.findall(r"<Category ?/?>(?:([^<]*)</Category>)?", text)
    assert {code: name for code, name in enumerate(categories) if name} == {
        code: name for code, (name, _) in classes.items()
    }
    with rasterio.open(path, overview_level=0) as overview:
        assert set(np.unique(overview.read(1))) <= set(np.unique(codes))


def test_the_legend_holds_the_classes_of_the_table_and_no_more(large, classes):
    path = large.layers["classes"]
    style = path.with_suffix(".qml").read_text()
    entries = re.findall(r'value="(\d+)" label="([^"]*)" color="([^"]*)"', style)
    assert {int(code): (name, colour) for code, name, colour in entries} == classes
    table = Path(f"{path}.aux.xml").read_text()
    assert table.count("<Row ") == len(classes)


def test_the_stac_item_names_every_file_and_reads_back(large, classes, trained):
    path = next(file for file in large.files if file.name == "large_stac.json")
    item = pystac.Item.from_file(str(path))
    assert item.datetime.isoformat() == "2020-06-05T10:11:12+00:00"
    named = {Path(found.get_absolute_href()).resolve() for found in item.assets.values()}
    assert named == {file.resolve() for file in large.files if file != path}
    values = json.loads(path.read_text())
    assert item.to_dict(include_self_link=False, transform_hrefs=False) == values
    assert pystac.Item.from_dict(values | {"stac_extensions": []}).validate()
    found = ClassificationExtension.ext(item.assets["classes"]).classes
    assert {c.value: (c.name, f"#{c.color_hint}") for c in found} == classes
    assert [link["rel"] for link in values["links"]] == ["derived_from", "via"]
    assert values["links"][0]["href"].endswith("/large.tif")
    assert values["links"][1]["href"] == str(trained)
    started = Raster(large.layers["classes"]).tags["RSADAPT_STARTED"]
    assert item.properties["created"] == started.replace("+00:00", "Z")
    for key, found in item.assets.items():
        if found.href.endswith(".tif"):
            raster = Raster(large.layers[key])
            assert [band["name"] for band in found.extra_fields["bands"]] == list(
                raster.descriptions
            )
            assert found.extra_fields["bands"][0]["data_type"] == raster.stored


@pytest.mark.parametrize("format", ["gpkg", "parquet", "fgb"])
def test_polygons_of_each_format_and_size(trained, configuration, tmp_path, format):
    scene = a_scene(configuration, tmp_path / "a.tif", GRIDS["north"])
    arguments = f"predict {trained} --scene {scene} --out {tmp_path / 'maps'} --also polygons,stac"
    told = CliRunner().invoke(
        app, [*arguments.split(), "--format", format, "--smallest-area", "40", "--simplify", "3"]
    )
    assert told.exit_code == 0, told.output
    path = tmp_path / "maps" / f"a_polygons.{format}"
    assert f"{path}\n" in told.stdout
    table = geopandas.read_parquet(path) if format == "parquet" else geopandas.read_file(path)
    assert shapely.coverage_is_valid(table.geometry.array)
    item = pystac.Item.from_file(str(tmp_path / "maps" / "a_stac.json"))
    assert item.assets["polygons"].href == f"./a_polygons.{format}"


def test_an_item_of_the_scene_tells_when_it_was_taken(trained, configuration, tmp_path):
    a_scene(configuration, tmp_path / "a.tif", GRIDS["north"])
    item = tmp_path / "scene.json"
    values = {
        "stac_version": "1.1.0",
        "properties": {"datetime": "2019-05-06T07:08:09Z"},
        "assets": {"image": {"href": "a.tif", "roles": ["data"]}},
    }
    item.write_text(json.dumps(values))
    predict(trained, [item], tmp_path / "maps", also=["stac"])
    made = json.loads((tmp_path / "maps" / "a_stac.json").read_text())
    assert made["properties"]["datetime"] == "2019-05-06T07:08:09Z"
    assert made["links"][0]["href"] == str(item)
    assert made["links"][0]["type"] == "application/geo+json"


def test_a_scene_without_a_place_gets_what_can_be_said(trained, configuration, tmp_path):
    grid = Grid(70, 110, Affine.identity())
    scene = a_scene(configuration, tmp_path / "a.tif", grid)
    with pytest.warns(UserWarning, match=r"a_polygons\.gpkg: without areas: the map does not say"):
        predict(trained, [scene], tmp_path / "maps", also=PRODUCTS)
    rows = list(csv.DictReader((tmp_path / "maps" / "a_areas.csv").read_text().splitlines()))
    assert {row["area_m2"] for row in rows} == {""}
    assert json.loads((tmp_path / "maps" / "a_stac.json").read_text())["geometry"] is None
    with pytest.raises(DataError, match=r"a\.tif: expected a map with a place on Earth, where a"):
        predict(trained, [scene], tmp_path / "new", also=["polygons"], simplify=1)
    with pytest.raises(DataError, match=r"a\.tif: expected a scene that says where on Earth"):
        predict(trained, [scene], tmp_path / "new", mosaic="vrt")
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_meant_is_refused_before_anything_is_predicted(
    trained, configuration, tmp_path
):
    scene = a_scene(configuration, tmp_path / "a.tif", GRIDS["north"])
    out = tmp_path / "maps"
    with pytest.raises(ConfigError, match="among polygons, areas, stac, found legend"):
        predict(trained, [scene], out, also=["legend"])
    with pytest.raises(ConfigError, match="'classes' among the layers, of which areas are made"):
        predict(trained, [scene], out, also=["areas"], layers=["entropy"])
    with pytest.raises(ConfigError, match="which only polygons have; ask for these too"):
        predict(trained, [scene], out, also=["areas"], simplify=2)
    with pytest.raises(ConfigError, match=r"ends in \.gpkg, \.parquet, \.fgb, found '\.shp'"):
        predict(trained, [scene], out, also=["polygons"], format="shp")
    with pytest.raises(ConfigError, match="smallest area and a simplification of 0 or more"):
        predict(trained, [scene], out, also=["polygons"], smallest_area=-1)
    whole = a_scene(configuration, tmp_path / "mosaic.tif", GRIDS["north"])
    with pytest.raises(OutputExistsError, match="a scene called 'mosaic' and the mosaic would"):
        predict(trained, [scene, whole], out, mosaic="cog")
    assert not out.exists()
    out.mkdir()
    for name in ("a_areas.json", "a_polygons.qml", "mosaic_confidence.vrt"):
        (out / name).write_text("mine")
        with pytest.raises(OutputExistsError, match=f"{name} exists already"):
            predict(trained, [scene], out, also=PRODUCTS, mosaic="vrt")
        assert [path.name for path in out.iterdir()] == [name]
        (out / name).unlink()


def test_stopped_while_more_is_made_it_goes_on_without_predicting(
    trained, configuration, tmp_path, monkeypatch
):
    scene, out = a_scene(configuration, tmp_path / "a.tif", GRIDS["north"]), tmp_path / "maps"

    def stop(*_, **__):
        (out / ".a.panels" / "maps" / ".a_polygons.gpkg.left").mkdir()  # as a kill leaves it
        raise KeyboardInterrupt

    monkeypatch.setattr(products, "write_polygons", stop)
    with pytest.raises(KeyboardInterrupt):
        predict(trained, [scene], out, also=PRODUCTS)
    assert [path.name for path in out.iterdir()] == [".a.panels"]
    monkeypatch.undo()
    began = json.loads((out / ".a.panels" / "journal.json").read_text())["started"]
    (made,) = predict(trained, [scene], out, also=PRODUCTS)
    assert made.predicted == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in made.files)
    assert json.loads((out / "a_areas.json").read_text())["started"] == began


@pytest.mark.slow
def test_killed_at_random_moments_all_that_is_made_is_the_same(trained, configuration, tmp_path):
    """Rasters to the pixel and tables row by row; time stamps come from the journal."""
    grid = replace(GRIDS["north"], height=400, width=400)
    scene = a_scene(configuration, tmp_path / "a.tif", grid)
    code = (
        "import sys; from pathlib import Path; from rsadapt.verbs.predict import predict; "
        "predict(Path(sys.argv[1]), [Path(sys.argv[2])], Path(sys.argv[3]), "
        "also=['polygons', 'areas', 'stac'])"
    )

    def start(out):
        return subprocess.Popen([sys.executable, "-c", code, str(trained), str(scene), str(out)])

    def begun(process, journal):
        while not journal.exists():
            assert process.poll() is None
            time.sleep(0.005)
        return time.perf_counter()

    whole = start(tmp_path / "whole")
    clock = begun(whole, tmp_path / "whole" / ".a.panels" / "journal.json")
    assert whole.wait() == 0
    lasts = time.perf_counter() - clock
    expected = told_by(tmp_path / "whole")
    random, gone_on = np.random.default_rng(0), 0
    for number in range(16):
        if gone_on == 5:
            break
        out = tmp_path / f"maps-{number}"
        journal = out / ".a.panels" / "journal.json"
        process = start(out)
        begun(process, journal)
        slept = random.uniform(0, lasts)
        time.sleep(slept)
        process.kill()
        process.wait()
        gone_on += journal.exists()
        if not journal.exists():  # it was done before: the first one began cold, and took longer
            lasts = slept
        began = json.loads(journal.read_text())["started"] if journal.exists() else None
        assert start(out).wait() == 0
        found = told_by(out)
        assert found.keys() == expected.keys()
        assert began in (None, found["a_areas.json"]["started"])
        for name in ("a_areas.csv", "a_classes.tif", "a_confidence.tif", "a_polygons.gpkg"):
            assert np.array_equal(found[name], expected[name]), name
    assert gone_on == 5


def test_polygons_of_other_choices_are_not_taken_for_those_asked_for(
    trained, configuration, tmp_path
):
    scene = a_scene(configuration, tmp_path / "a.tif", GRIDS["north"])

    def again(**changes):
        (made,) = predict(trained, [scene], tmp_path / "maps", **{"also": ["polygons"]} | changes)
        return made.predicted

    assert again() > 0
    assert again() == again(also=[]) == again(smallest_area=0, simplify=0.0) == 0
    for changes in ({"smallest_area": 50.0}, {"simplify": 1.0}):
        with pytest.raises(OutputExistsError, match=r"a_classes\.tif exists already"):
            again(**changes)
    assert again(smallest_area=50.0, overwrite=True) > 0
    assert again(smallest_area=50.0) == 0


def told_by(folder):
    """What the files of a folder say, without when they were made."""
    readers = {
        ".tif": stored,
        ".gpkg": lambda file: geopandas.read_file(file).to_wkt().to_numpy(str),
        ".json": lambda file: json.loads(file.read_text()),
    }
    return {
        file.name: readers.get(file.suffix, lambda file: file.read_text())(file)
        for file in folder.iterdir()
    }


# Mosaics


@pytest.fixture
def neighbours(configuration, tmp_path):
    """Two scenes that overlap by 30 columns, on one lattice; the second has nodata there, too."""
    first = GRIDS["rotated"]
    t = first.transform
    at = Affine(t.a, t.b, t.c + 80 * t.a + 12 * t.b, t.d, t.e, t.f + 80 * t.d + 12 * t.e)
    return [
        a_scene(configuration, tmp_path / "left.tif", first),
        a_scene(configuration, tmp_path / "right.tif", replace(first, transform=at)),
    ]


def stored(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.mark.parametrize("kind", ["vrt", "cog"])
def test_scenes_make_one_mosaic(trained, neighbours, tmp_path, kind):
    *made, whole = predict(trained, neighbours, tmp_path / "maps", mosaic=kind)
    suffix = {"vrt": "vrt", "cog": "tif"}[kind]
    assert whole.layers["classes"] == tmp_path / "maps" / f"mosaic_classes.{suffix}"
    assert all(file.exists() for file in whole.files)
    for layer, path in whole.layers.items():
        left, right = (stored(scene.layers[layer]) for scene in made)
        expected = np.full((82, 190), 255, np.uint8)
        expected[:70, :110] = left
        expected[12:, 80:] = np.where(right == 255, expected[12:, 80:], right)
        np.testing.assert_array_equal(stored(path), expected)
        tags = Raster(path).tags
        assert tags["RSADAPT_RUN"] == str(trained)
        assert "RSADAPT_SCENE" not in tags
        if kind == "cog":
            assert cog_validate(path, strict=True) == (True, [], [])
    sample = draw_sample([whole.layers["classes"]], tmp_path / "sample.gpkg", size=20, least=5)
    assert sum(sample.units.values()) >= 20


def test_stopped_among_several_scenes_it_goes_on_with_the_next(
    trained, neighbours, tmp_path, monkeypatch
):
    left, _ = neighbours
    (alone,) = predict(trained, [left], tmp_path / "maps", also=PRODUCTS)
    first, second, whole = predict(
        trained, neighbours, tmp_path / "maps", also=PRODUCTS, mosaic="vrt"
    )
    assert (first.predicted, second.predicted) == (0, second.pixels)
    assert first.files == alone.files
    assert whole.layers["classes"].exists()


@pytest.mark.parametrize("kind", ["vrt", "cog"])
def test_stopped_among_mosaics_it_goes_on_and_keeps_those_that_are_whole(
    trained, neighbours, tmp_path, kind
):
    def again(scenes=neighbours, **changes):
        options = {"layers": ["classes", "confidence"], "mosaic": kind} | changes
        return predict(trained, scenes, tmp_path / "maps", **options)[-1]

    whole = again()
    held = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.files}
    whole.layers["confidence"].unlink()
    assert again().files == whole.files
    (lost,) = {path for path in whole.files if path.stat().st_mtime_ns != held[path][1]}
    assert lost == whole.layers["confidence"]
    assert all(path.read_bytes() == content for path, (content, _) in held.items())
    with pytest.raises(OutputExistsError, match="mosaic_classes"):
        again(neighbours[:1])
    with pytest.raises(OutputExistsError, match="mosaic_classes"):
        again(prediction={"turns": "flips"})
    assert again(neighbours[:1], overwrite=True).files == whole.files


def test_scenes_of_shifted_pixels_make_no_mosaic(trained, configuration, neighbours, tmp_path):
    grid = Raster(neighbours[0]).grid
    t = grid.transform
    shifted = replace(grid, transform=Affine(t.a, t.b, t.c + 0.8, t.d, t.e, t.f + 0.6))
    other = a_scene(configuration, tmp_path / "other.tif", shifted)
    command = ["predict", trained, "--scene", *neighbours, other, "--out", tmp_path / "maps"]
    told = CliRunner().invoke(app, [*map(str, command), "--mosaic", "vrt"])
    assert told.exit_code == 1
    assert "other.tif: expected pixels on the grid of" in told.stderr
    assert "0.50 columns and 0.00 rows" in told.stderr
    assert not (tmp_path / "maps").exists()


ASK_QGIS = """
import json, sys
from qgis.core import (QgsApplication, QgsMapRendererSequentialJob, QgsMapSettings, QgsRasterLayer,
                       QgsVectorLayer)
from qgis.PyQt.QtCore import QSize
app = QgsApplication([], False)
app.initQgis()
classes, polygons, mosaic = (
    QgsRasterLayer(sys.argv[1], "classes"),
    QgsVectorLayer(sys.argv[2], "polygons", "ogr"),
    QgsRasterLayer(sys.argv[3], "mosaic"),
)
told = {}
for layer in (classes, mosaic):
    assert layer.isValid(), layer.source()
    told[layer.name()] = {
        "renderer": layer.renderer().type(),
        "legend": {int(c.value): [c.label, c.color.name()] for c in layer.renderer().classes()},
        "size": [layer.height(), layer.width()],
        "extent": layer.extent().toString(3),
        "crs": layer.crs().authid(),
    }
categories = polygons.renderer().categories()
told["polygons"] = {
    "renderer": polygons.renderer().type(),
    "field": polygons.renderer().classAttribute(),
    "legend": {int(c.value()): [c.label(), c.symbol().color().name()] for c in categories},
    "features": polygons.featureCount(),
    "crs": polygons.crs().authid(),
}
images = {}
for layer in (classes, polygons):
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setExtent(classes.extent())
    settings.setOutputSize(QSize(classes.width() * 8, classes.height() * 8))
    settings.setFlag(QgsMapSettings.Antialiasing, False)
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    image = images[layer.name()] = job.renderedImage()
    image.save(f"{sys.argv[4]}/{layer.name()}.png")
    told[layer.name()]["shown"] = [
        [image.pixelColor(8 * col + 4, 8 * row + 4).name() for col in range(classes.width())]
        for row in range(classes.height())
    ]
print(json.dumps(told))
del job, settings, classes, polygons, mosaic, layer, categories
app.exitQgis()
"""


def test_qgis_shows_map_polygons_and_mosaic_alike(
    trained, configuration, classes, tmp_path, in_qgis
):
    scene = a_scene(configuration, tmp_path / "a.tif", GRIDS["south"])
    made, whole = predict(
        trained, [scene], tmp_path / "maps", also=["polygons", "stac"], mosaic="vrt"
    )
    polygons = tmp_path / "maps" / "a_polygons.gpkg"
    found = in_qgis(ASK_QGIS, made.layers["classes"], polygons, whole.layers["classes"], tmp_path)
    legend = {str(code): list(entry) for code, entry in classes.items()}
    for layer in ("classes", "mosaic"):
        assert found[layer]["renderer"] == "paletted"
        assert found[layer]["size"] == [70, 110]
        assert found[layer]["extent"] == "300000.000,6199860.000 : 300220.000,6200000.000"
    assert found["polygons"]["renderer"] == "categorizedSymbol"
    assert found["polygons"]["field"] == "class"
    assert found["polygons"]["features"] == len(geopandas.read_file(polygons))
    for layer in found.values():
        assert layer["legend"] == legend
        assert layer["crs"] == "EPSG:32756"
    codes = stored(made.layers["classes"])
    expected = [
        [classes[code][1] if code in classes else "#ffffff" for code in row]
        for row in codes.tolist()
    ]
    assert found["classes"]["shown"] == expected
    assert found["polygons"]["shown"] == expected
