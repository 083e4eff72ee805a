"""Maps become polygons at the command line, and QGIS shows them in their classes' colours."""

import dataclasses
import json

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from typer.testing import CliRunner

from rsadapt import polygonize, predict
from rsadapt.classes import ClassScheme
from rsadapt.cli import app
from rsadapt.errors import ConfigError, DataError, MissingFileError, OutputExistsError
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.infer.map_scores import CLASSES_TAG

SCHEME = ClassScheme(
    ("water", "field & path", "town"), ((3,), (5,), (9,)), ((0, 0, 255), (0, 90, 0), (200, 0, 0))
)


def invoke(*arguments):
    return CliRunner().invoke(app, ["polygonize", *map(str, arguments)])


@pytest.fixture
def a_map(tmp_path):
    """Water on the left, a field on the right, a town of 4 pixels in it, and confidence beside."""
    codes = np.full((40, 60), 3, np.uint8)
    codes[:, 30:] = 5
    codes[10:12, 40:42] = 9
    grid = Grid(*codes.shape, Affine(10, 0, 5e5, 0, -10, 5e6), crs_of(32633))
    folder = tmp_path / "maps"
    write_raster(
        folder / "a_classes.tif",
        codes,
        grid,
        nodata=255,
        tags={CLASSES_TAG: json.dumps(SCHEME.to_dict())},
    )
    write_raster(
        folder / "a_confidence.tif",
        np.where(codes == 3, 127, 254).astype(np.uint8),
        grid,
        nodata=255,
    )
    return folder / "a_classes.tif"


def test_the_command_line(tmp_path, a_map):
    out = tmp_path / "out"
    told = invoke(a_map, "--out", out, "--smallest-area", 300, "--simplify", 5)
    assert told.exit_code == 0, told.output
    path, style = out / "a_polygons.gpkg", out / "a_polygons.qml"
    assert told.stdout == f"{path} (3 polygons)\n{style}\n"
    table = geopandas.read_file(path)
    assert list(table.columns) == ["class", "name", "area_m2", "confidence", "geometry"]
    assert table.set_index("name")["confidence"].to_dict() == pytest.approx(
        {"water": 0.5, "field & path": 1, "town": 1}
    )
    assert table["area_m2"].sum() == pytest.approx(2400 * 100, rel=1e-3)
    again = invoke(a_map, "--out", out)
    assert again.exit_code == 1
    assert "a_polygons.gpkg exists already" in again.stderr
    assert again.stderr.endswith("or overwrite it (--overwrite)\n")
    told = invoke(
        a_map, "--out", out, "--overwrite", "--smallest-area", 500, "--only", "town,water"
    )
    assert told.exit_code == 0, told.output
    assert geopandas.read_file(path)["name"].tolist() == ["water"]


def test_a_file_or_a_folder_of_another_format(tmp_path, a_map):
    (file,) = polygonize([a_map], tmp_path / "b.fgb")
    assert file.path == tmp_path / "b.fgb"
    told = invoke(a_map, "--out", tmp_path, "--format", "fgb")
    assert told.exit_code == 0, told.output
    both = [geopandas.read_file(tmp_path / name) for name in ("b.fgb", "a_polygons.fgb")]
    assert both[0].equals(both[1])
    assert len(both[0]) == 3
    assert invoke(a_map, "--out", tmp_path / "c.fgb", "--format", "fgb").exit_code == 0


def test_formats_share_a_style_of_the_same_content(tmp_path, a_map):
    polygonize([a_map], tmp_path)
    style = tmp_path / "a_polygons.qml"
    before = style.read_bytes()
    polygonize([a_map], tmp_path, format="fgb")
    assert style.read_bytes() == before
    (tmp_path / "a_polygons.fgb").unlink()
    with pytest.raises(OutputExistsError, match=r"a_polygons\.qml exists already"):
        polygonize([a_map], tmp_path, format="fgb", only=["water"])  # the style is another one
    assert style.read_bytes() == before
    assert not (tmp_path / "a_polygons.fgb").exists()


def test_a_class_whose_name_holds_a_comma(tmp_path, a_map):
    names = ("water", "field, a", "town")
    values, _ = Raster(a_map).read()
    named = a_map.with_name("b_classes.tif")
    tags = {CLASSES_TAG: json.dumps(dataclasses.replace(SCHEME, names=names).to_dict())}
    write_raster(named, values, Raster(a_map).grid, nodata=255, tags=tags)
    for number, (only, expected) in enumerate(
        [
            (["field, a"], {"field, a"}),
            (["field, a", "town"], {"field, a", "town"}),
            (["town, water", "field, a"], set(names)),
        ]
    ):
        out = tmp_path / f"{number}.gpkg"
        told = invoke(named, "--out", out, *(part for name in only for part in ("--only", name)))
        assert told.exit_code == 0, told.output
        assert set(geopandas.read_file(out)["name"]) == expected


def test_what_cannot_be_meant(tmp_path, a_map):
    with pytest.raises(ConfigError, match=r"b\.gpkg: expected a folder for 2 maps, found a file"):
        polygonize([a_map, a_map], tmp_path / "b.gpkg")
    with pytest.raises(OutputExistsError, match=r"2 maps would write .*a_polygons\.gpkg"):
        polygonize([a_map, a_map], tmp_path)
    with pytest.raises(OutputExistsError, match=r"the place of that of a_classes\.tif"):
        polygonize([a_map], a_map.with_suffix(".gpkg"))
    with pytest.raises(MissingFileError, match=r"no\.tif"):
        polygonize([tmp_path / "no.tif"], tmp_path / "out")
    with pytest.raises(ConfigError, match="among water, field & path, town, found 'sea'"):
        polygonize([a_map], tmp_path / "out", only=["sea"])
    with pytest.raises(DataError, match=r"a_confidence\.tif: holds no class table; name a con"):
        polygonize([a_map.with_name("a_confidence.tif")], tmp_path / "out")
    assert invoke(a_map, "--out", tmp_path / "b.gpkg", "--format", "fgb").stderr.startswith(
        f"error: {tmp_path / 'b.gpkg'}: expected a name that ends in the format .fgb, found '.gpkg'"
    )
    assert invoke(a_map, "--out", tmp_path / "b.shp").stderr.startswith(
        f"error: {tmp_path / 'b.shp'}: expected a file of polygons that ends in .gpkg, .parquet,"
    )
    assert invoke(a_map, "--out", tmp_path, "--simplify", -1).exit_code == 2
    assert not list(tmp_path.glob("*.gpkg"))


def test_a_map_without_a_place_is_told_of(tmp_path, a_map):
    values, _ = Raster(a_map).read()
    plain = tmp_path / "plain.tif"
    write_raster(
        plain, values, Grid(40, 60, Affine.identity()), tags=Raster(a_map).tags, nodata=255
    )
    told = invoke(plain, "--out", tmp_path / "b.gpkg")
    assert told.exit_code == 0, told.output
    assert "Warning: b.gpkg: without areas: the map does not say where" in told.stderr
    table = geopandas.read_file(tmp_path / "b.gpkg")
    assert table.crs is None
    assert table["area_m2"].isna().all()
    assert invoke(plain, "--out", tmp_path / "c.gpkg", "--simplify", 1).exit_code == 1


def test_maps_of_a_run(tmp_path, trained, configuration):
    scenes = sorted(configuration.parent.glob("target/*.tif"))
    maps = [scene.layers["classes"] for scene in predict(trained, scenes, tmp_path / "maps")]
    written = polygonize(maps, tmp_path / "maps", smallest_area=30, simplify=2)
    assert [file.path.name for file in written] == [
        f"{scene.stem}_polygons.gpkg" for scene in scenes
    ]
    for path, file in zip(maps, written, strict=True):
        table = geopandas.read_file(file.path)
        grid = Raster(path).grid
        assert len(table) == file.polygons > 0
        assert table.crs == grid.crs.to_wkt()
        assert shapely.coverage_is_valid(table.geometry.array)
        assert table["confidence"].between(0.14, 1).all()
        named = polygonize([path], tmp_path / f"{path.stem}.fgb", classes=configuration)
        assert set(geopandas.read_file(named[0].path)["name"]) >= set(table["name"])


ASK_QGIS = """
import json, sys
from qgis.core import QgsApplication, QgsMapRendererSequentialJob, QgsMapSettings, QgsVectorLayer
from qgis.PyQt.QtCore import QSize
app = QgsApplication([], False)
app.initQgis()
layer = QgsVectorLayer(sys.argv[1], "map", "ogr")
renderer = layer.renderer()
settings = QgsMapSettings()
settings.setLayers([layer])
settings.setExtent(layer.extent())
settings.setOutputSize(QSize(600, 400))
job = QgsMapRendererSequentialJob(settings)
job.start()
job.waitForFinished()
image = job.renderedImage()
image.save(sys.argv[2])
print(json.dumps({
    "valid": layer.isValid(),
    "features": layer.featureCount(),
    "crs": layer.crs().authid(),
    "renderer": renderer.type(),
    "field": renderer.classAttribute(),
    "legend": [
        [int(c.value()), c.label(), c.symbol().color().name()] for c in renderer.categories()
    ],
    "shown": [image.pixelColor(x, y).name() for x, y in ((100, 200), (500, 300), (410, 110))],
}))
del job, settings, renderer, layer
app.exitQgis()
"""


@pytest.mark.parametrize("suffix", ["gpkg", "fgb"])
def test_qgis_shows_classes_by_name_and_colour(tmp_path, a_map, in_qgis, suffix):
    (file,) = polygonize([a_map], tmp_path / f"a.{suffix}")
    assert in_qgis(ASK_QGIS, file.path, tmp_path / "shown.png") == {
        "valid": True,
        "features": 3,
        "crs": "EPSG:32633",
        "renderer": "categorizedSymbol",
        "field": "class",
        "legend": [
            [3, "water", "#0000ff"],
            [5, "field & path", "#005a00"],
            [9, "town", "#c80000"],
        ],
        "shown": ["#0000ff", "#005a00", "#c80000"],
    }
