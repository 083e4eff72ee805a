"""A sample is drawn, interpreted and assessed."""

import json
import shutil
import sqlite3

import geopandas
import numpy as np
import pytest
from affine import Affine
from typer.testing import CliRunner

from rsadapt import assess, draw_sample
from rsadapt.classes import ClassScheme
from rsadapt.cli import app
from rsadapt.errors import ConfigError, DataError, MissingFileError, OutputExistsError
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.writer import write_raster
from rsadapt.infer.map_scores import CLASSES_TAG

SCHEME = ClassScheme(("water", "forest"), ((3,), (5,)), ((0, 0, 255), (0, 90, 0)))


@pytest.fixture
def truth():
    return np.where(np.random.default_rng(0).random((120, 200)) < 0.2, 3, 5).astype(np.uint8)


@pytest.fixture
def a_map(tmp_path, truth):
    """A map that takes a quarter of the water for forest."""
    codes = truth.copy()
    codes[(truth == 3) & (np.random.default_rng(1).random(truth.shape) < 0.25)] = 5
    write_raster(
        tmp_path / "map.tif",
        codes,
        Grid(*codes.shape, Affine(10, 0, 5e5, 0, -10, 5e6), crs_of(32633)),
        nodata=255,
        tags={CLASSES_TAG: json.dumps(SCHEME.to_dict())},
    )
    return tmp_path / "map.tif"


def interpret(path, truth, *, leave_open=0, codes=False):
    """Fill in the reference as a person would in QGIS: in place, by SQL."""
    points = geopandas.read_file(path, layer="sample")
    with sqlite3.connect(path) as database:
        database.execute("DROP TRIGGER IF EXISTS rtree_sample_geom_update1")
        for name in [
            row[0]
            for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        ]:
            database.execute(f'DROP TRIGGER "{name}"')
        for point in points.iloc[leave_open:].itertuples():
            code = int(truth[point.row, point.col])
            answer = str(code) if codes else {3: "water", 5: "forest"}[code]
            database.execute(
                "UPDATE sample SET reference = ? WHERE point = ?", (answer, point.point)
            )


@pytest.mark.parametrize("codes", [False, True])
def test_areas_of_a_map_with_known_errors(tmp_path, a_map, truth, codes):
    drawn = draw_sample([a_map], tmp_path / "points.gpkg", size=600, seed=3)
    assert sum(drawn.units.values()) == 600
    interpret(drawn.path, truth, codes=codes)
    report = assess(drawn.path)
    water, forest = report["classes"]
    area = 100.0 * (truth == 3).sum()
    assert water["mapped"] < 0.8 * area  # the map alone would be wrong
    assert abs(water["area"]["value"] - area) < 1.5 * water["area"]["margin"]
    assert water["area"]["margin"] < 0.15 * area
    assert water["users"] == {"value": 1.0, "margin": 0.0}
    assert 0.65 < water["producers"]["value"] < 0.85
    assert forest["producers"]["value"] == 1
    assert report["unweighted"]["classes"]["water"]["users_accuracy"] == 1
    json.dumps(report)


def test_the_same_seed_draws_the_same(tmp_path, a_map):
    both = [
        geopandas.read_file(
            draw_sample([a_map], tmp_path / name, size=100, seed=1).path, layer="sample"
        )
        for name in ("a.gpkg", "b.gpkg")
    ]
    assert both[0].equals(both[1])
    assert both[0].crs == "EPSG:32633"


def test_open_points_are_left_out_and_told(tmp_path, a_map, truth):
    drawn = draw_sample([a_map], tmp_path / "points.gpkg", size=100)
    interpret(drawn.path, truth, leave_open=7)
    told = CliRunner().invoke(app, ["assess", str(drawn.path)])
    assert told.exit_code == 0, told.output
    assert "7 points have no reference" in told.output
    assert sum(map(sum, assess(drawn.path)["counts"])) == sum(drawn.units.values()) - 7


def test_the_command_line(tmp_path, a_map, truth):
    out, figures = tmp_path / "points.gpkg", tmp_path / "figures.json"
    drawn = CliRunner().invoke(
        app,
        ["draw-sample", str(a_map), "--out", str(out), "--expect", "water=0.6", "--least", "60"],
    )
    assert drawn.exit_code == 0, drawn.output
    assert "rsadapt assess" in drawn.output
    interpret(out, truth)
    told = CliRunner().invoke(app, ["assess", str(out), "--json", str(figures)])
    assert told.exit_code == 0, told.output
    assert "95 % intervals" in told.output
    assert json.loads(figures.read_text())["classes"][0]["name"] == "water"


def test_more_points_than_were_asked_for_are_told_of(tmp_path, a_map):
    with pytest.warns(UserWarning, match=r"drew 100 points in place of 3, .* lower .* \(--least\)"):
        drawn = draw_sample([a_map], tmp_path / "a.gpkg", size=3)
    assert drawn.units == {"water": 50, "forest": 50}
    draw_sample([a_map], tmp_path / "b.gpkg", size=100)  # without a warning, which would fail


def test_what_cannot_be_drawn(tmp_path, a_map):
    (tmp_path / "there.gpkg").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"there\.gpkg: exists already"):
        draw_sample([a_map], tmp_path / "there.gpkg")
    assert (tmp_path / "there.gpkg").read_text() == "mine"
    with pytest.raises(ConfigError, match=r"a\.shp: expected the name of a GeoPackage, .*'\.shp'"):
        draw_sample([a_map], tmp_path / "a.shp")
    with pytest.raises(ConfigError, match="expected a class among water, forest, found 'sea'"):
        draw_sample([a_map], tmp_path / "a.gpkg", expected_of={"sea": 0.5})
    with pytest.raises(ConfigError, match="at least one point, found a size of 0"):
        draw_sample([a_map], tmp_path / "a.gpkg", size=0)
    with pytest.raises(MissingFileError, match=r"no\.tif"):
        draw_sample([tmp_path / "no.tif"], tmp_path / "a.gpkg")
    assert not (tmp_path / "a.gpkg").exists()


def test_a_mosaic_and_a_map_named_twice_do_not_count(tmp_path, a_map):
    mosaic = tmp_path / "mosaic_classes.tif"
    shutil.copy(a_map, mosaic)
    with pytest.warns(UserWarning, match=r"mosaic_classes\.tif: left out, since it shows the maps"):
        both = draw_sample([a_map, mosaic], tmp_path / "a.gpkg", size=100)
    assert sum(both.hectares.values()) == 240
    assert draw_sample([mosaic], tmp_path / "b.gpkg", size=100).hectares == both.hectares
    again = tmp_path / "x" / ".." / a_map.name
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match=rf"found {a_map} and {again}, which are one file"):
        draw_sample([a_map, again], tmp_path / "c.gpkg")


def test_what_cannot_be_assessed(tmp_path, a_map, truth):
    with pytest.raises(MissingFileError, match=r"no\.gpkg: expected a sample"):
        assess(tmp_path / "no.gpkg")
    drawn = draw_sample([a_map], tmp_path / "points.gpkg", size=100)
    with pytest.raises(DataError, match=r"fewer of water \(0\), forest \(0\)"):
        assess(drawn.path)
    interpret(drawn.path, truth)
    with sqlite3.connect(drawn.path) as database:
        database.execute("UPDATE sample SET reference = 'sea' WHERE point < 3")
    with pytest.raises(DataError, match=r"among water, forest, or their codes, found 'sea' \(2\)"):
        assess(drawn.path)
    other = tmp_path / "other.gpkg"
    geopandas.read_file(drawn.path, layer="sample").to_file(other, layer="sample")
    with pytest.raises(DataError, match="with the layers sample and strata"):
        assess(other)
    damaged = tmp_path / "damaged.gpkg"
    damaged.write_bytes(drawn.path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"damaged\.gpkg: expected a GeoPackage"):
        assess(damaged)
