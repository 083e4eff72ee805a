"""An inspection holds the facts of both regions, as plain values."""

import json
import math

import numpy as np
import pytest
import yaml
from affine import Affine
from rasterio.crs import CRS

from rsadapt import console
from rsadapt.errors import DataError
from rsadapt.geo.grid import Grid
from rsadapt.geo.writer import write_raster
from rsadapt.verbs.inspect import inspect

GRID = Grid(40, 50, Affine(10, 0, 5e5, 0, -10, 5e6), CRS.from_epsg(32633))
MERCATOR = Grid(40, 50, Affine(10, 0, 0, 0, -10, 8399737.89), CRS.from_epsg(3857))  # 60 degrees


@pytest.fixture
def config(tmp_path):
    """A configuration; the source is a fifth nodata and half water, the target unlabelled."""
    values = np.stack([np.full(GRID.shape, 5.0), np.tile([1.0, 3.0], (40, 25))]).astype(np.float32)
    values[:, :8] = np.nan
    labels = np.tile([1, 1, 2, 0], (40, 13))[:, :50].astype(np.uint8)
    write_raster(tmp_path / "s.tif", values, GRID, nodata=math.nan, descriptions=["red", None])
    write_raster(tmp_path / "l.tif", labels, GRID)
    write_raster(tmp_path / "t.tif", np.ones((2, 40, 50), np.float32), MERCATOR)
    settings = {
        "classes": [
            {"name": "water", "id": 1, "colour": "#0000ff"},
            {"name": "wood", "id": 2, "colour": "#00ff00"},
        ],
        "ignored_ids": [0, 255],
        "source": {"scenes": ["s.tif"], "labels": ["l.tif"], "validation": {"share": 0.2}},
        "target": {"scenes": ["t.tif"], "validation": {"share": 0.0}},
        "method": {"name": "source_only"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_scenes(config):
    found = inspect(config)
    (source,), (target,) = found.source.scenes, found.target.scenes
    assert (source.shape, source.crs, source.pixel_size) == ((40, 50), "EPSG:32633", (10, 10))
    assert (source.bands, source.dtype, source.nodata) == (2, "float32", "nan")
    assert source.label == str(config.parent / "l.tif")
    assert target.label is None
    assert target.pixel_size == pytest.approx((10, 10))
    assert target.ground_size == pytest.approx((5, 5), rel=0.01)  # cosine of 60 degrees


def test_pixels_classes_and_bands(config):
    source = inspect(config).source
    assert (source.training.pixels, source.validation.pixels) == (1600, 400)
    assert source.valid_share == pytest.approx(0.8)
    assert source.training.classes == pytest.approx({"water": 2 / 3, "wood": 1 / 3})
    assert source.training.unlabelled == pytest.approx(1 / 4)
    red, other = source.bands
    assert (red.name, red.mean, red.std) == ("red", 5, 0)
    assert (other.name, other.mean, other.std) == ("band 2", 2, 1)
    assert (other.minimum, other.maximum) == (1, 3)


def test_scenes_cut_into_blocks_are_counted_once(config):
    source = inspect(config, ["source.validation={blocks: 16, share: 0.3, buffer: 2}"]).source
    assert len(source.scenes) == 1
    assert 300 < source.validation.pixels < 900
    assert source.training.pixels + source.validation.pixels < 2000
    assert 0.7 < source.valid_share < 0.9


def test_target_has_classes_only_where_labels_are_configured(config):
    target = inspect(config).target
    assert target.validation is None
    assert target.training.classes is None
    write_raster(config.parent / "tl.tif", np.full((40, 50), 2, np.uint8), MERCATOR)
    labelled = inspect(config, ["target.labels=[tl.tif]"]).target
    assert labelled.training.classes == {"water": 0, "wood": 1}


def test_dictionary_is_json_and_makes_tables(config, capsys):
    values = json.loads(json.dumps(inspect(config).to_dict(), allow_nan=False))
    console.show(console.inspection_tables(values))
    text = capsys.readouterr().out
    assert all(
        word in text for word in ("s.tif", "EPSG:3857", "nan", "water", "66.7", "red / band 1")
    )


def test_region_without_valid_pixel_is_named(config):
    write_raster(config.parent / "t.tif", np.zeros((2, 40, 50), np.float32), MERCATOR, nodata=0)
    with pytest.raises(DataError, match=r"target region: .*no valid pixel"):
        inspect(config)


def test_scene_says_what_it_was_and_became(config, capsys):
    found = inspect(config, ["target.pixel=10", "target.crs='EPSG:32631'"])
    (source,), (target,) = found.source.scenes, found.target.scenes
    assert source.was is None
    assert (target.crs, target.pixel_size) == ("EPSG:32631", (10, 10))
    assert (target.was.crs, target.was.shape) == ("EPSG:3857", (40, 50))
    assert target.was.ground_size == pytest.approx((5, 5), rel=0.01)
    assert target.was.placed_by == "transform"
    console.show(console.inspection_tables(json.loads(json.dumps(found.to_dict()))))
    assert "40 x 50 of 10 x 10 in EPSG:3857" in capsys.readouterr().out


def test_ground_sizes_that_differ_are_found_with_the_cure(config):
    def sizes(*changes):
        return [found for found in inspect(config, changes).findings if found.topic == "pixel size"]

    (finding,) = sizes()
    assert "10 m on the ground in the source and 5.0" in finding.text
    assert finding.cure.endswith("--set target.pixel=10")
    assert sizes("target.pixel=10") == []
    assert sizes("target.pixel=9.2") == []
    (finer,) = sizes("target.pixel=12")
    assert finer.cure.endswith("--set source.pixel=12")


def test_json_holds_percentiles_histograms_distances_and_findings(config):
    values = json.loads(json.dumps(inspect(config).to_dict(), allow_nan=False))
    _, band = values["source"]["bands"]
    assert band["percentiles"]["50"] == pytest.approx(2, abs=1)
    assert sum(band["histogram"]["counts"]) == 1280
    assert len(band["histogram"]["edges"]) == len(band["histogram"]["counts"]) + 1
    constant, other = values["distances"]
    assert constant["wasserstein"] is None
    assert other["wasserstein"] == pytest.approx(1, abs=0.1)  # 1 and 3 against 1: moved by 1 each
    gravities = [finding["gravity"] for finding in values["findings"]]
    assert gravities == sorted(gravities, key=["error", "warning", "note"].index)
    assert values["source"]["coverage"]["area"] == pytest.approx(2000 * 100, rel=0.01)


def test_region_in_its_own_order_of_bands_is_told_of(values, tmp_path):
    def topics(*changes):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(values))
        return {finding.topic: finding for finding in inspect(path, changes).findings}

    assert "band order" not in topics()
    finding = topics("source.bands=[1, 2, 3]", "target.bands=[3, 2, 1]")["band order"]
    assert "blue, green, red in the source and red, green, blue in the target" in finding.text
    assert finding.cure.endswith("--set 'target.bands=[1, 2, 3]'")


def test_empty_band_is_named_with_the_bands_that_are_left(config):
    values = np.ones((2, 40, 50), np.float32)
    values[1] = math.nan
    write_raster(config.parent / "t.tif", values, MERCATOR)
    with pytest.raises(DataError, match=r"without one of its own are bands \[2\]"):
        inspect(config)


def test_scenes_left_out_are_a_finding(config):
    (config.parent / "u.tif").write_bytes(b"no raster")
    changes = ["target.scenes=[t.tif, u.tif]", "target.damaged=leave_out"]
    (finding,) = (f for f in inspect(config, changes).findings if f.topic == "scenes left out")
    assert "1 of 2 scenes are left out" in finding.text
    assert "u.tif" in finding.text


def test_many_scenes_take_few_rows(config, capsys):
    for number in range(30):
        grid = Grid(40, 50 + number, MERCATOR.transform, MERCATOR.crs)
        image = np.ones((2, *grid.shape), np.float32)
        write_raster(config.parent / f"t{number:02}.tif", image, grid)
    found = inspect(config, ["target.scenes=['t[0-9]*.tif']"])
    assert len(found.target.scenes) == 30
    console.show(console.inspection_tables(found.to_dict()))
    text = capsys.readouterr().out
    assert "30 scenes: t00.tif ..." in text
    assert "40 x 50 to 79" in text
    assert text.count(".tif ") < 5


def test_page_is_written_of_regions_that_hold_no_window(config, tmp_path):
    page = tmp_path / "both.html"
    inspect(config, html=page)
    assert "scenes too small" in page.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8").count("<img") == 5


def test_no_findings_are_said_to_be_none(config, capsys):
    values = inspect(config).to_dict() | {"findings": []}
    console.show(console.inspection_tables(values))
    assert "none  nothing found" in capsys.readouterr().out


def test_findings_stand_last_and_are_coloured_on_a_terminal_alone(config, capsys):
    console.show(console.inspection_tables(inspect(config).to_dict()))
    text = capsys.readouterr().out
    assert text.index("Findings") > text.index("percentiles")
    assert text.index("error ") < text.index("warning ")
    assert "\x1b" not in text


def test_sample_is_said(config, capsys):
    for number in range(6):
        grid = Grid(300, 300, MERCATOR.transform, MERCATOR.crs)
        image = np.full((2, *grid.shape), number, np.uint8)
        write_raster(config.parent / f"t{number}.tif", image, grid)
    changes = ["target.scenes=['t[0-9].tif']", "statistics.pixels=180000"]
    found = inspect(config, changes)
    assert found.source.looked_at == 1
    assert 0 < found.target.looked_at < 0.6
    console.show(console.inspection_tables(found.to_dict()))
    assert (
        f"statistics are those of a sample, of {found.target.looked_at:.1%}"
        in capsys.readouterr().out
    )
