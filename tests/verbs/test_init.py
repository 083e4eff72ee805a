"""A written configuration loads as it is, and says what the files hold."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from shapely import box

from rsadapt import build
from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError, MissingFileError, OutputExistsError
from rsadapt.geo.grid import Grid
from rsadapt.geo.writer import write_raster
from rsadapt.infer.map_scores import CLASSES_TAG
from rsadapt.training import train_run
from rsadapt.verbs.init import _colour, init


def grid(height=64, width=96, zone=33):
    return Grid(height, width, Affine(10, 0, 5e5, 0, -10, 5e6), CRS.from_epsg(32600 + zone))


def write_scene(path, place, *, bands=3):
    values = np.random.default_rng(0).integers(1, 255, (bands, *place.shape))
    write_raster(path, values.astype(np.uint8), place)


def write_labels(path, place, ids=(1, 2, 3), **options):
    values = np.resize(np.array(ids), place.shape).astype(np.int16)
    write_raster(path, values, place, **options)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Where scenes a/1.tif and b/1.tif with labels al/1.tif lie; the working folder."""
    monkeypatch.chdir(tmp_path)
    write_scene(tmp_path / "a" / "1.tif", grid())
    write_labels(tmp_path / "al" / "1.tif", grid())
    write_scene(tmp_path / "b" / "1.tif", grid())
    return tmp_path


def written(files, out="rsadapt.yaml"):
    path = init([files / "a/*.tif"], [files / "al/*.tif"], [files / "b/1.tif"], out=files / out)
    return path, build.configuration(path)


def test_result_trains_as_it_is(files):
    path, settings = written(files)
    assert settings.network.encoder == "resnet18"
    quick = ["network.encoder=small", "training.steps=1", "training.workers=0"]
    outcome = train_run(
        build.configuration(path, [*quick, "device.accelerator=cpu"]), files / "run"
    )
    assert outcome.step == 1
    assert outcome.validation.keys() == {"source"}


@pytest.mark.parametrize("out", ["rsadapt.yaml", "configs/one/rsadapt.yaml"])
def test_near_files_are_relative_to_the_configuration(files, out):
    path, settings = written(files, out)
    assert not any(line.strip().startswith(f'- "{files}') for line in path.read_text().splitlines())
    assert build.places(settings).source.training.labelled


def test_far_files_are_absolute(files):
    _, settings = written(files, "some/where/far/away/rsadapt.yaml")
    assert settings.target.scenes == [str(files / "b" / "1.tif")]
    build.places(settings)


def test_classes_are_the_labels_ids(files):
    write_labels(files / "al" / "1.tif", grid(), ids=(0, 2, 7, 255, -1, 300, 9), nodata=9)
    _, settings = written(files)
    assert [entry.id for entry in settings.classes] == [0, 2, 7, [1, 300]]
    assert [entry.name for entry in settings.classes][:2] == ["class 0", "class 2"]
    assert settings.ignored_ids == [-1, 9, 255]
    build.places(settings).source.training.class_counts(build.class_scheme(settings))


def test_a_class_table_in_the_labels_gives_names_and_colours(files):
    scheme = ClassScheme(("wood", "rock"), ((1,), (2,)), ((1, 2, 3), (4, 5, 6)))
    tags = {CLASSES_TAG: json.dumps(scheme.to_dict())}
    write_labels(files / "al" / "1.tif", grid(), tags=tags)
    _, settings = written(files)
    assert [entry.name for entry in settings.classes] == ["wood", "rock", "class 3"]
    assert settings.classes[0].colour == "#010203"


def test_colours_differ():
    assert len({_colour(number) for number in range(255)}) == 255


@pytest.mark.parametrize(
    ("height", "width", "tile"), [(64, 96, 64), (600, 1000, 256), (100, 100, 64), (20, 60, 32)]
)
def test_window_fits_the_smallest_scene_and_its_training_part(files, height, width, tile):
    write_scene(files / "b" / "1.tif", grid(height, width))
    if (height, width) != (64, 96):
        write_scene(files / "a" / "1.tif", grid(height, width))
        write_labels(files / "al" / "1.tif", grid(height, width))
    assert written(files)[1].training.tile == tile


def test_bands_are_those_that_all_scenes_have(files):
    assert written(files)[1].bands is None
    write_scene(files / "b" / "1.tif", grid(), bands=5)
    assert written(files, "other.yaml")[1].bands == [1, 2, 3]


def test_alpha_is_no_band_of_the_configuration(files):
    for name in ("a", "b"):
        write_scene(files / name / "1.tif", grid(), bands=4)
        with rasterio.open(files / name / "1.tif", "r+") as dataset:
            dataset.colorinterp = [*dataset.colorinterp[:3], ColorInterp.alpha]
        path, settings = written(files, f"{name}.yaml")
        assert settings.bands == [1, 2, 3]
        assert "# 1-based; those that every scene has, without alpha" in path.read_text()
    assert build.places(settings).source.training.bands == (1, 2, 3)


def test_scenes_that_no_line_splits_are_all_trained_on(files):
    nowhere = Grid(64, 96, Affine(10, 0, 0, 0, 10, 0), None)
    write_scene(files / "a" / "1.tif", nowhere)
    write_labels(files / "al" / "1.tif", nowhere)
    assert written(files)[1].source.validation.share == 0


def test_scenes_of_several_zones_are_split_on_one_lattice(files):
    write_scene(files / "a" / "2.tif", grid(zone=34))
    write_labels(files / "al" / "2.tif", grid(zone=34))
    assert written(files)[1].source.validation.share > 0


def test_polygons_are_labels(files):
    corner = geopandas.GeoSeries([box(5e5, 5e6 - 320, 5e5 + 480, 5e6)], crs=grid().crs.to_wkt())
    corner.to_crs(4326).to_file(files / "houses.geojson")
    path = init(
        [Path("a/*.tif")], [Path("houses.geojson")], [Path("b/1.tif")], out=files / "rsadapt.yaml"
    )
    settings = build.configuration(path)
    assert [entry.id for entry in settings.classes] == [0, 1]
    assert "# polygons: {field: NAME" in path.read_text()
    quick = ["network.encoder=small", "training.steps=1", "training.workers=0"]
    report = train_run(
        build.configuration(path, [*quick, "device.accelerator=cpu"]), files / "run"
    ).validation["source"]
    assert report["totals"]["pixels"] > 0
    source = build.geotiff_places(settings).source.training
    assert source.class_counts(build.class_scheme(settings))[1] == 32 * 48


def test_existing_file_is_kept(files):
    path, _ = written(files)
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="exists already"):
        written(files)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("gone", ["a", "al", "b"])
def test_pattern_without_a_file_is_named(files, gone):
    (files / gone / "1.tif").unlink()
    with pytest.raises(MissingFileError, match=f"{gone}/"):
        written(files)
    assert not (files / "rsadapt.yaml").exists()


def test_images_are_no_labels(files):
    write_labels(files / "al" / "1.tif", grid(), ids=range(2000))
    with pytest.raises(DataError, match="is it an image"):
        written(files)
    write_raster(files / "al" / "1.tif", np.full(grid().shape, 0.5, np.float32), grid())
    with pytest.raises(DataError, match="found fractions"):
        written(files)


def test_addresses_are_written_as_they_are(files, served):
    shutil.copy(files / "b" / "1.tif", served.folder / "1.tif")
    address = served.url("1.tif")
    path = init(["a/1.tif"], ["al/1.tif"], [address], out=files / "rsadapt.yaml")
    settings = build.configuration(path)
    assert settings.target.scenes == [address]
    assert str(build.places(settings).target.training.scenes[0].image.path) == address


def test_the_region_of_finer_pixels_is_brought_to_the_coarser(files):
    def at(height, width, size):
        return replace(grid(height, width), transform=Affine(size, 0, 5e5, 0, -size, 5e6))

    for name in ("a", "al"):
        write = write_scene if name == "a" else write_labels
        write(files / name / "1.tif", at(160, 240, 10))
    write_scene(files / "b" / "1.tif", at(64, 96, 25))
    _, coarse_target = written(files)
    assert coarse_target.source.pixel == pytest.approx(25, rel=1e-3)
    assert coarse_target.target.pixel is None
    assert coarse_target.training.tile == 32  # the source's 160 rows are 64, or 63
    both = build.geotiff_places(coarse_target)
    assert both.source.training.ground_pixel == pytest.approx(both.target.training.ground_pixel)
    write_scene(files / "b" / "1.tif", at(640, 960, 5))
    _, fine_target = written(files, "finer.yaml")
    assert fine_target.source.pixel is None
    assert fine_target.target.pixel == pytest.approx(10, rel=1e-3)
    assert fine_target.training.tile == 160  # as the source's
