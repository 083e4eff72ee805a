"""From a configuration to objects."""

import json
from dataclasses import asdict
from typing import get_args
from urllib.error import URLError

import geopandas
import numpy as np
import pytest
import rasterio
import torch
import yaml
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from shapely import box

from rsadapt import build, config
from rsadapt.adapt.adapted_batch_norm import AdaptedBatchNorm
from rsadapt.adapt.feature_space import FeatureSpace
from rsadapt.adapt.output_space import OutputSpace
from rsadapt.adapt.sgd import RepeatedSGD
from rsadapt.adapt.source_only import SourceOnly
from rsadapt.build.regions import geotiff_place, scene_bands
from rsadapt.classes import ClassScheme
from rsadapt.data.augment import Augmentation, Strengths
from rsadapt.data.images import write_png
from rsadapt.data.procedural.world import WORLD_CLASSES
from rsadapt.errors import ConfigError, DataError, MissingFileError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.kept import KeptRaster
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.warp import WarpedRaster
from rsadapt.geo.writer import write_raster

UTM = CRS.from_epsg(32632)


@pytest.fixture
def settings(values):
    """Settings with "dotted.key=value" changes."""

    def parse(*assignments):
        return config.parse(config.assign(values, list(assignments)), where="test")

    return parse


def scene(path, *, bands=2, shape=(20, 30), left=0, value=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = Grid(*shape, Affine(2, 0, left, 0, -2, 0), UTM)
    write_raster(path, np.full((bands, *shape), value, np.uint8), grid)


@pytest.fixture
def country(tmp_path, values):
    """Settings for three scenes a region under `tmp_path`, changed as told."""
    for number in (1, 2, 10):
        for region in ("a", "b"):
            scene(tmp_path / region / f"s{number}.tif", left=100 * number)
            scene(tmp_path / region / f"s{number}_label.tif", bands=1, left=100 * number)
    values["root"] = str(tmp_path)
    values["source"] = {
        "scenes": ["a/*.tif"],
        "labels": ["a/s1_label.tif", "a/s10_label.tif", "a/s2_label.tif"],
    }
    values["target"] = {"scenes": ["b/s[12].tif"]}

    def parse(*assignments):
        return config.parse(config.assign(values, list(assignments)), where="test")

    return parse


# Configuration


def test_paths_become_absolute_from_the_configurations_folder(values, tmp_path):
    values |= {"root": "../data", "init_from": "runs/one"}
    file = tmp_path / "study" / "run.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(values))
    found = build.configuration(file, ["seed=4"])
    assert found.root == str(tmp_path / "data")
    assert found.init_from == str(tmp_path / "study" / "runs" / "one")
    assert found.seed == 4
    assert config.parse(yaml.safe_load(config.dump(found)), where="again") == found


def test_class_table_is_the_configurations(settings):
    assert build.class_scheme(settings()) == WORLD_CLASSES
    several = build.class_scheme(
        settings("classes=[{name: a, id: [3, 4], colour: '#0A10ff'}]", "ignored_ids=[9]")
    )
    assert several == ClassScheme(("a",), ((3, 4),), ((10, 16, 255),), (9,))


# Regions


def test_files_of_patterns_are_sorted_and_labels_are_no_scenes(country):
    places = build.geotiff_places(country())
    names = [s.image.path.name for s in places.source.training.scenes]
    names += [s.image.path.name for s in places.source.validation.scenes]
    assert dict.fromkeys(names) == dict.fromkeys(["s1.tif", "s10.tif", "s2.tif"])
    for part in (places.source.training, places.source.validation):
        for found in part.scenes:
            assert found.label.path.stem == f"{found.image.path.stem}_label"
    assert not places.target.training.labelled
    assert places.bands == 2


def test_scenes_of_several_patterns_keep_their_order_and_come_once(country):
    places = build.geotiff_places(
        country(
            "target.scenes=[b/s2.tif, b/s1*.tif, 'b/s?.tif']",
            "target.validation.share=0",
            "bands=[1]",
        )
    )
    names = [s.image.path.name for s in places.target.training.scenes]
    assert names == ["s2.tif", "s1.tif", "s10.tif", "s10_label.tif", "s1_label.tif"]


@pytest.mark.parametrize("kind", ["folder", "csv", "gpkg", "stac"])
def test_scenes_are_named_by_a_folder_or_an_index(country, tmp_path, kind):
    names = ["s2.tif", "s1.tif"]
    scene(tmp_path / "c" / "s2.tif", left=200)
    scene(tmp_path / "c" / "s1.tif", left=100)
    (tmp_path / "c" / "readme.txt").write_text("no scene")
    index, expected = tmp_path / "c" / f"index.{kind}", names
    if kind == "folder":
        index, expected = tmp_path / "c", ["s1.tif", "s2.tif"]
    elif kind == "csv":
        index.write_text("id,Location\n7,s2.tif\n8,s1.tif\n")
    elif kind == "gpkg":
        boxes = [box(0, 0, 1, 1), box(1, 0, 2, 1)]
        table = {"location": [str(tmp_path / "c" / "s2.tif"), "s1.tif"]}
        geopandas.GeoDataFrame(table, geometry=boxes, crs=4326).to_file(index)
    else:
        index, expected = tmp_path / "c" / "item.json", ["s2.tif"]
        assets = {
            "thumbnail": {"href": "t.png", "roles": ["thumbnail"]},
            "image": {"href": "./s2.tif", "roles": ["data"]},
        }
        index.write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0", "assets": assets}))
    chosen = country(f"target.scenes=['{index}']", "target.validation.share=0")
    found = build.geotiff_places(chosen).target.training.scenes
    assert [s.image.path.name for s in found] == expected


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (
            ("i.csv", "id\n7\n"),
            DataError,
            r"i\.csv: expected a column .* location.*found id; rename",
        ),
        (("i.csv", ""), DataError, r"i\.csv: .*found no row"),
        (
            ("i.csv", "path\ngone.tif\n"),
            MissingFileError,
            r"gone\.tif: no such file, though .*i\.csv",
        ),
        (("i.json", "{"), DataError, r"i\.json: expected JSON"),
        (
            ("i.json", '{"stac_version": "1", "assets": {}}'),
            DataError,
            r"role 'data', found none among",
        ),
        (
            ("empty/i.txt", ""),
            MissingFileError,
            r"empty: expected rasters in this folder, found none",
        ),
    ],
)
def test_an_index_that_does_not_tell_is_named(country, tmp_path, index, error, message):
    name, text = index
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    named = "empty" if name.startswith("empty") else name
    with pytest.raises(error, match=message):
        build.geotiff_places(country(f"target.scenes=[{named}]"))


def test_labels_of_a_pattern_belong_to_their_scenes(country):
    places = build.geotiff_places(
        country("source.scenes=['a/s1.tif', 'a/s10.tif']", "source.labels=['a/s1*_label.tif']")
    )
    assert places.source.training.labelled


def test_training_and_validation_share_no_pixel(settings):
    places = build.geotiff_places(settings("source.validation={side: north, share: 0.4}"))
    assert places.source.validation.scenes[0].area == Window(0, 0, 76, 192)
    assert places.source.training.scenes[0].area == Window(77, 0, 115, 192)
    assert set(places.scored()) == {"source", "target"}


def test_nothing_is_kept_for_validation_where_nothing_is_asked(settings):
    places = build.geotiff_places(settings("source.validation.share=0", "target.labels=[]"))
    assert places.source.validation is None
    assert places.scored() == {}
    assert places.labelled() == [places.source.training]


def test_target_labels_are_used_for_validation_only(settings):
    places = build.geotiff_places(settings())
    assert places.target.training not in places.labelled()
    windows = build.training_samples(
        settings(), places, {"source": None, "target": Normaliser((0.0,) * 4, (1.0,) * 4)}, "target"
    )
    assert windows[0].label is None


@pytest.mark.parametrize(
    ("assignment", "error", "message"),
    [
        ("source.scenes=[a/gone.tif]", MissingFileError, r"a/gone\.tif: no such file"),
        ("target.scenes=[b/*.jp2]", MissingFileError, r"b/\*\.jp2: no such file, and no file of"),
        ("source={scenes: [a/s1.tif]}", ConfigError, "the source region must have labels"),
        ("source.labels=[a/s1_label.tif]", DataError, "5 scenes and 1 label files"),
        ("bands=[1, 3]", DataError, r"s1\.tif: has bands 1 to 2, and bands \[1, 3\]"),
        ("bands=[]", DataError, r"bands \[\] are asked for"),
        ("bands=[0]", DataError, r"bands \[0\] are asked for"),
        ("target.scenes=[b/s1_label.tif]", DataError, r"source 2, target 1 \(.*a/s1\.tif and .*b/"),
        ("target.scenes=['b/*.tif']", DataError, r"different band count \(s1\.tif 2.*'bands'"),
    ],
)
def test_regions_that_do_not_fit(country, assignment, error, message):
    with pytest.raises(error, match=message):
        build.geotiff_places(country(assignment))


def test_labels_on_another_grid_are_warped_onto_their_scene(country, tmp_path):
    label = tmp_path / "a" / "s10_label.tif"
    values = np.tile(np.repeat(np.arange(1, 7, dtype=np.uint8), 10), (80, 1))  # pixels of 1 m
    write_raster(label, values, Grid(80, 60, Affine(1, 0, 1010, 0, -1, 20), UTM))
    places = build.geotiff_places(country("source.validation.share=0"))
    found = {s.image.path.stem: s for s in places.source.training.scenes}["s10"]
    assert found.label.grid == found.image.grid
    read, valid = found.label.read()
    assert np.argwhere(valid.all(0)).ravel().tolist() == list(range(5, 30))
    assert np.array_equal(read[0, 0, 5:], np.repeat(np.arange(1, 6), 5))


def test_labels_that_lie_elsewhere_are_refused(country, tmp_path):
    scene(tmp_path / "a" / "s10_label.tif", bands=1, left=5000)
    message = (
        r"s10_label\.tif: expected labels of .*s10\.tif, found some that lie elsewhere \(x 5000"
    )
    with pytest.raises(DataError, match=message):
        build.geotiff_places(country())


def named(path, *names, shape=(20, 30)):
    """A scene whose bands hold their own number and are called as told."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.stack([np.full(shape, number, np.uint8) for number in range(1, len(names) + 1)])
    grid = Grid(*shape, Affine(2, 0, 0, 0, -2, 0), CRS.from_epsg(32632))
    write_raster(path, values, grid, descriptions=list(names))


def test_bands_are_chosen_by_name_where_regions_order_theirs_differently(values, tmp_path):
    named(tmp_path / "a.tif", "Blue", "Green", "Red")
    named(tmp_path / "b.tif", "nir", "red", "green", "blue", "green")
    scene(tmp_path / "l.tif", bands=1)
    values |= {"root": str(tmp_path)}
    values["source"] = {"scenes": ["a.tif"], "labels": ["l.tif"], "bands": ["red", "blue"]}
    values["target"] = {"scenes": ["b.tif"], "bands": ["red", 4]}
    places = build.geotiff_places(config.parse(values, where="test"))
    assert places.source.training.bands == (3, 1)
    assert places.target.training.bands == (2, 4)
    for name, message in (
        ("green", r"b\.tif: bands \[3, 5\] are all called 'green'; use a number"),
        ("swir", r"b\.tif: expected a band called 'swir', found 1 nir, 2 red, .*number in 'bands'"),
    ):
        values["target"]["bands"] = ["red", name]
        with pytest.raises(DataError, match=message):
            build.geotiff_places(config.parse(values, where="test"))


def test_bands_are_chosen_by_colour(values, tmp_path):
    file = tmp_path / "a.tif"
    with rasterio.open(
        file,
        "w",
        driver="GTiff",
        width=30,
        height=20,
        count=3,
        dtype="uint8",
        crs="EPSG:32632",
        transform=Affine(2, 0, 0, 0, -2, 0),
    ) as dataset:
        dataset.colorinterp = [ColorInterp.blue, ColorInterp.red, ColorInterp.undefined]
    assert scene_bands(Raster(file), ["red", "BLUE"]) == (2, 1)


def flagged(path, *, alpha, bands=4):
    """A scene whose band of a number is flagged as alpha, as rasterio and GDAL write it."""
    scene(path, bands=bands, value=255)
    with rasterio.open(path, "r+") as dataset:
        shown = [ColorInterp.undefined] * bands
        shown[alpha - 1] = ColorInterp.alpha
        dataset.colorinterp = shown


@pytest.mark.parametrize(("alpha", "left"), [(4, (1, 2, 3)), (1, (2, 3, 4))])
def test_alpha_is_no_input_unless_it_is_asked_for(country, tmp_path, alpha, left):
    for number in (1, 2, 10):
        scene(tmp_path / "a" / f"s{number}.tif", bands=3, left=100 * number)
    flagged(tmp_path / "b" / "s1.tif", alpha=alpha)
    only = "target.scenes=[b/s1.tif]"
    with pytest.warns(UserWarning, match=rf"target .*s1\.tif flags band {alpha} as alpha"):
        both = build.geotiff_places(country(only))
    assert (both.source.training.bands, both.target.training.bands) == ((1, 2, 3), left)
    asked = build.geotiff_places(country(only, "target.bands=[4, 1, 2]"))
    assert asked.target.training.bands == (4, 1, 2)


def test_scenes_with_alpha_and_without_are_one_region(country, tmp_path):
    for number in (1, 2, 10):
        scene(tmp_path / "a" / f"s{number}.tif", bands=3, left=100 * number)
    scene(tmp_path / "b" / "s1.tif", bands=3)
    flagged(tmp_path / "b" / "s2.tif", alpha=4)
    with pytest.warns(UserWarning, match="alpha"):
        assert build.geotiff_places(country()).target.training.bands == (1, 2, 3)
    flagged(tmp_path / "b" / "s2.tif", alpha=1)
    with pytest.raises(DataError, match=r"s2\.tif: has the bands beside alpha at \[2, 3, 4\]"):
        build.geotiff_places(country())


def test_scenes_of_a_region_share_one_order_of_bands(values, tmp_path):
    named(tmp_path / "a1.tif", "red", "green")
    named(tmp_path / "a2.tif", "green", "red")
    scene(tmp_path / "l1.tif", bands=1)
    scene(tmp_path / "l2.tif", bands=1)
    values |= {"root": str(tmp_path), "target": {"scenes": ["a1.tif"]}}
    values["source"] = {"scenes": ["a?.tif"], "labels": ["l?.tif"], "bands": ["red"]}
    with pytest.raises(
        DataError, match=r"a2\.tif: has the bands \['red'\] at \[2\], and .*a1\.tif"
    ):
        build.geotiff_places(config.parse(values, where="test"))


def test_labels_of_another_grid_without_a_crs_are_refused(country, tmp_path):
    grid = Grid(20, 31, Affine(2, 0, 1000, 0, -2, 0), None)
    write_raster(tmp_path / "a" / "s10_label.tif", np.ones(grid.shape, np.uint8), grid)
    with pytest.raises(DataError, match=r"s10_label\.tif: .*found none and no ground control"):
        build.geotiff_places(country())


# One lattice


def test_scenes_that_fit_together_are_left_as_they_are(country):
    places = build.geotiff_places(country())
    assert {type(s.image) for s in places.source.training.scenes} == {Raster}
    assert {type(s.label) for s in places.source.training.scenes} == {Raster}


def test_scenes_of_several_sizes_and_projections_are_brought_to_one(country, tmp_path):
    zone = CRS.from_epsg(32633)
    grid = Grid(60, 70, Affine(1, 0, 166030, 0, -1, 30), zone)  # the neighbouring zone's edge
    write_raster(tmp_path / "b" / "s2.tif", np.full((2, *grid.shape), 7, np.uint8), grid)
    edge = Grid(20, 30, Affine(2, 0, 833960, 0, -2, 0), UTM)
    write_raster(tmp_path / "b" / "s1.tif", np.full((2, *edge.shape), 9, np.uint8), edge)
    target = build.geotiff_places(country("target.validation.share=0")).target.training
    one, two = (scene.image for scene in target.scenes)
    assert one.grid.crs == two.grid.crs
    assert one.grid.pixel_size == two.grid.pixel_size == (2, 2)
    assert WarpedRaster in {type(one), type(two)}
    values, valid = two.read()
    assert (values[:, valid] == 7).all()
    assert valid.mean() > 0.9


@pytest.mark.parametrize(
    ("assignments", "crs", "size"),
    [
        (["source.pixel=4"], 32632, 4),
        (["source.crs='EPSG:32631'"], 32631, 2),
        (["source.crs='EPSG:3857'", "source.pixel=0.5"], 3857, 0.5),
    ],
)
def test_lattice_that_is_asked_for(country, assignments, crs, size):
    settings = country(*assignments, "source.resampling=cubic")
    for found in build.geotiff_places(settings).source.training.scenes:
        assert found.image.grid.crs == found.label.grid.crs == CRS.from_epsg(crs)
        assert found.image.grid.pixel_size == pytest.approx((size, size), rel=0.02)
        assert (found.image.resampling, found.label.resampling) == ("cubic", "nearest")
        assert found.label.grid == found.image.grid
    others = build.geotiff_places(settings).target.training.scenes
    assert {type(other.image) for other in others} == {Raster}


def test_crs_that_there_is_not_is_named_with_the_cure(country):
    with pytest.raises(ConfigError, match=r"'target\.crs': .*EPSG:32636, found 'EPSG:1'; look"):
        build.geotiff_places(country("target.crs='EPSG:1'"))


def test_record_says_at_what_size_is_evaluated(country):
    assert build.evaluation_words(country()).endswith("at the scene's own resolution")
    assert build.evaluation_words(country("target.pixel=0.3")).endswith("at 0.3 m a pixel")


def test_blocks_split_a_region_and_a_buffer_keeps_training_away(settings):
    split = "{blocks: 64, buffer: 10, share: 0.25, seed: 3}"
    chosen = settings(f"source.validation={split}", "target.validation={buffer: 10}")
    places = build.geotiff_places(chosen)
    training, validation = places.source.training.scenes, places.source.validation.scenes
    assert len(training) > 1
    assert {scene.image for scene in training} >= {scene.image for scene in validation}
    pixels = sum(scene.area.height * scene.area.width for scene in validation)
    whole = sum(np.prod(image.grid.shape) for image in {scene.image for scene in training})
    assert pixels == pytest.approx(0.25 * whole, abs=64 * 64 / 2)
    line = places.target
    gap = line.validation.scenes[0].area.col - line.training.scenes[0].area.col_stop
    assert gap == 11  # the buffer and the column that the line cuts
    assert build.target_split(chosen) == (
        "trained on all but the east 30% and 10 pixels around it, without labels"
    )
    other = settings(f"target.validation={split}")
    assert "all but 25% in blocks of 64 pixels (seed 3) and" in build.target_split(other)


def test_bands_are_chosen_in_order(country):
    assert build.geotiff_places(country("bands=[2, 1]")).source.training.bands == (2, 1)


def test_target_is_standardised_by_itself_by_the_source_or_by_given_numbers(settings):
    places = build.geotiff_places(settings())
    source, target = (
        Normaliser.from_statistics(place.training.statistics())
        for place in (places.source, places.target)
    )
    assert source != target

    def normalisers(chosen, **options):
        taken = build.take_statistics(chosen, places, settled="source" in options)
        return build.normalisers(chosen, places, taken, **options)

    assert normalisers(settings()) == {"source": source, "target": target}
    by_source = settings("normalise_by=source")
    assert normalisers(by_source) == {"source": source, "target": source}
    trained = Normaliser((1.0,) * 4, (2.0,) * 4)
    assert normalisers(by_source, source=trained)["target"] == trained
    assert normalisers(settings(), source=trained) == {"source": trained, "target": target}
    numbers = "normalisation={mean: [1, 2, 3, 4], std: [5, 6, 7, 8]}"
    given = settings("normalise_by=given", numbers)
    told = Normaliser((1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0))
    assert normalisers(given) == {"source": told, "target": told}
    few = settings("normalise_by=given", "normalisation={mean: [1], std: [5]}")
    with pytest.raises(ConfigError, match="has 1 numbers and images have 4 bands"):
        normalisers(few)


def test_statistics_are_taken_where_they_are_needed_and_unknown(settings):
    places = build.geotiff_places(settings())

    def read(chosen, **options):
        told = []
        taken = build.take_statistics(
            chosen, places, progress=lambda task, *_: told.append(task), **options
        )
        return taken, set(told)

    both, told = read(settings())
    assert told == {"read source", "read target"}
    assert both["target"].statistics == places.target.training.statistics()
    known = {taken.fingerprint: taken.statistics for taken in both.values()}
    assert read(settings(), known=known) == (both, set())
    assert read(settings(), settled=True)[1] == {"read target"}
    assert read(settings("normalise_by=source"))[1] == {"read source"}
    assert read(settings("normalise_by=source"), settled=True) == ({}, set())
    assert read(settings("normalise_by=source"), settled=True, known=known) == (both, set())
    sampled, told = read(settings("statistics.pixels=1000"), known=known)
    assert told == {"read source", "read target"}
    assert sampled["source"].fingerprint not in known


def test_bands_of_one_value_are_told_of_with_their_domain(country):
    settings = country("bands=[2, 1]")
    places = build.geotiff_places(settings)
    with pytest.warns(UserWarning, match="band") as told:
        taken = build.take_statistics(settings, places)
    messages = [str(warning.message) for warning in told]
    assert [message.split(" in every")[0] for message in messages] == [
        f"{name}: band {band} is 1" for name in ("source", "target") for band in (2, 1)
    ]
    assert "(all pixels); it is centred and not scaled" in messages[0]
    assert build.normalisers(settings, places, taken)["target"] == Normaliser((1, 1), (1, 1))


def test_kept_statistics_are_read_again_and_added_to(settings, tmp_path):
    places = build.geotiff_places(settings())
    taken = build.take_statistics(settings(), places)
    file = tmp_path / "statistics.json"
    assert build.read_statistics(file) == {}
    for domain in ("source", "target"):
        build.keep_statistics(file, {domain: taken[domain]})
    assert build.read_statistics(file) == {
        found.fingerprint: found.statistics for found in taken.values()
    }
    assert list(tmp_path.iterdir()) == [file]
    for text in ("", "[]", "{}", '{"a": 1}', '{"a": {"fingerprint": "b"}}'):
        file.write_text(text)
        assert build.read_statistics(file) == {}


def test_streams_of_runs_and_domains_differ(settings):
    places = build.geotiff_places(settings())
    normalise = dict.fromkeys(("source", "target"), Normaliser((0.0,) * 4, (1.0,) * 4))
    seeds = {
        build.training_samples(settings(f"seed={seed}"), places, normalise, domain).seed
        for seed in range(5)
        for domain in ("source", "target")
    }
    assert len(seeds) == 10


def test_only_the_source_is_sampled_by_its_labels(settings):
    places = build.geotiff_places(settings())
    normalise = dict.fromkeys(("source", "target"), Normaliser((0.0,) * 4, (1.0,) * 4))
    plain, rare = (
        {
            domain: build.training_samples(settings(change), places, normalise, domain)
            for domain in ("source", "target")
        }
        for change in ("training.sampling=uniform", "training.sampling=class_rarity")
    )
    numbers = range(6)
    for number in numbers:
        assert rare["target"][number].name == plain["target"][number].name
        assert torch.equal(rare["target"][number].image, plain["target"][number].image)
    names = [[samples["source"][n].name for n in numbers] for samples in (plain, rare)]
    assert names[0] != names[1]


def test_augmentations_are_those_named(settings):
    places = build.geotiff_places(settings())
    normalise = {"source": Normaliser((0.0,) * 4, (1.0,) * 4)}
    for named, there in (("[]", False), ("[dihedral]", True)):
        chosen = settings(f"training.augment={named}")
        windows = build.training_samples(chosen, places, normalise, "source")
        assert (windows.augment is not None) is there


def test_augmentations_go_as_far_as_told(settings):
    places = build.geotiff_places(settings())
    normalise = {"source": Normaliser((0.0,) * 4, (1000.0,) * 4)}

    def first(*assignments):
        chosen = settings("training.least_valid=0", *assignments)
        return build.training_samples(chosen, places, normalise, "source")[0]

    bare, still = first("training.augment=[]"), "training.augment_strength.brightness=0"
    assert not torch.equal(first("training.augment=[brightness]").image, bare.image)
    assert torch.equal(first("training.augment=[brightness]", still).image, bare.image)


def test_every_augmentation_may_be_named_and_goes_as_far_as_is_written(settings):
    names = list(get_args(Augmentation))
    chosen = settings(f"training.augment=[{', '.join(names)}]").training
    assert list(chosen.augment) == names
    assert chosen.augment_strength.model_dump() == asdict(Strengths())


def test_scenes_are_kept_where_a_disk_is_given_and_target_labels_never(settings, tmp_path):
    places = build.geotiff_places(settings())
    normalise = dict.fromkeys(("source", "target"), Normaliser((0.0,) * 4, (1.0,) * 4))

    def kept(*changes, domain="source", scratch=tmp_path):
        samples = build.training_samples(
            settings(*changes), places, normalise, domain, scratch=scratch
        )
        assert samples[0].image.shape[0] == 4
        scene = samples.region.scenes[0]
        return isinstance(scene.image, KeptRaster), isinstance(scene.label, KeptRaster)

    assert kept() == (True, True)
    assert kept(domain="target") == (True, False)
    assert kept("training.scratch=0") == kept(scratch=None) == (False, False)


# Networks and methods

ONE_LEVEL = "method={name: source_only, segmentation: [1.0]}"


@pytest.mark.parametrize(
    ("encoder", "stride"), [("small", 4), ("resnet18", 8), ("resnet34", 8), ("resnet50", 8)]
)
def test_network_is_the_configured_one(settings, encoder, stride):
    with torch.device("meta"):
        net = build.network(settings(f"network.encoder={encoder}"), bands=5)
        levels = net(torch.zeros(1, 5, 64, 64))
    assert [tuple(level.shape) for level in levels] == [(1, 7, 64 // stride, 64 // stride)] * 2
    assert len(net.classifiers[0].branches) == 2


def test_small_encoder_has_no_weights_to_start_from(settings):
    with pytest.raises(ConfigError, match="no weights of the small encoder"):
        build.network(settings("network.pretrained=true"), bands=3)


@pytest.mark.parametrize(
    ("changes", "file"),
    [
        (["network.encoder=resnet18"], "resnet18-f37072fd.pth"),
        (["network={encoder: vgg16, levels: 1}", ONE_LEVEL], "vgg16-397923af.pth"),
    ],
)
def test_imagenet_weights_without_a_network_are_told_of(
    settings, monkeypatch, tmp_path, changes, file
):
    def offline(*_arguments, **_options):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    chosen = settings(*changes, "network.pretrained=true")
    says = (
        rf"weights of {chosen.network.encoder} in {tmp_path}/hub/checkpoints, .* "
        rf"\(no route to host\); copy https://.*/{file} there, or choose network\.pretrained: false"
    )
    with torch.device("meta"), pytest.raises(MissingFileError, match=says):
        build.network(chosen, bands=3)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("{name: source_only, segmentation: [0.5, 1]}", SourceOnly([0.5, 1])),
        ("{name: adapted_batch_norm}", AdaptedBatchNorm()),
        (
            "{name: output_space, adversarial: [0, 1.5], objective: least_squares}",
            OutputSpace([0.1, 1.0], [0, 1.5], "least_squares"),
        ),
        (
            "{name: output_space, domain_labels: paper, discriminator_output: upsampled}",
            OutputSpace([0.1, 1.0], [0.0002, 0.001], "bce", "paper", "upsampled"),
        ),
        (
            "{name: feature_space, discriminator_input: upsampled}",
            FeatureSpace([0.1, 1.0], [0.0, 0.001], discriminator_input="upsampled"),
        ),
    ],
)
def test_method_is_the_configured_one(settings, group, expected):
    assert build.method(settings(f"method={group}")) == expected


def test_learner_has_one_discriminator_a_level_and_one_optimiser_a_network(settings):
    learner = build.learner(
        settings(
            "network.levels=3", "method.segmentation=[0, 0, 1]", "method.adversarial=[0, 0, 1]"
        ),
        4,
    )
    names = [f"discriminator_{level}" for level in (1, 2, 3)]
    assert list(learner.parts.others) == names
    assert list(learner.optimisers) == ["network", *names]
    adam = learner.optimisers["discriminator_1"]
    assert isinstance(adam, torch.optim.Adam)
    assert adam.defaults["betas"] == (0.9, 0.99)


@pytest.mark.parametrize(("name", "kind"), [("sgd", RepeatedSGD), ("adamw", torch.optim.AdamW)])
def test_heads_learn_faster_and_every_weight_is_learned_once(settings, name, kind):
    learner = build.learner(settings(f"optimiser.name={name}", "optimiser.rate=0.001"), 4)
    optimiser = learner.optimisers["network"]
    assert type(optimiser) is kind
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.001, 0.01])
    assert {group["weight_decay"] for group in optimiser.param_groups} == {5e-4}
    learned = [id(p) for group in optimiser.param_groups for p in group["params"]]
    assert sorted(learned) == sorted(id(p) for p in learner.parts.network.parameters())


@pytest.mark.parametrize(
    ("updates", "passes"), [("once", {1: 60}), ("repeated", {1: 3, 3: 48, 4: 9})]
)
def test_repeated_updates_are_the_modules_that_hold_a_parameter(settings, updates, passes):
    """A ResNet-18 has 3 tensors in its stem, 3 in each of 3 downsamples, and 48 besides."""
    chosen = settings("network.encoder=resnet18", f"optimiser.updates={updates}")
    *encoder, heads = build.learner(chosen, 4).optimisers["network"].param_groups
    assert {group["passes"]: len(group["params"]) for group in encoder} == passes
    assert heads["passes"] == 1


def test_seed_decides_the_network_whatever_the_method(settings):
    one, two, other = (
        build.learner(settings(*changes), 4).parts.network.state_dict()
        for changes in (
            ("seed=1",),
            ("seed=1", "method={name: source_only}"),
            ("seed=2",),
        )
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_double_precision_is_that_of_the_whole_process(settings):
    try:
        learner = build.learner(settings("device.precision=64-true"), 4)
        assert next(learner.parts.network.parameters()).dtype == torch.float64
    finally:
        build.set_process(settings())
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("changes", "lie"),
    [
        ((), True),
        (("device.precision=64-true",), False),
        (("device.precision=64-true", "device.channels_last=true"), True),
        (("device.channels_last=false",), False),
    ],
)
def test_channels_of_networks_lie_last_where_the_cpu_gains_by_it(settings, changes, lie):
    try:
        parts = build.learner(settings("device.accelerator=cpu", *changes), 4).parts
    finally:
        build.set_process(settings())
    for network in (parts.network, *parts.others.values()):
        weight = next(p for p in network.parameters() if p.ndim == 4 and p.shape[2] > 1)
        assert weight.is_contiguous(memory_format=torch.channels_last) is lie


def test_compiling_needs_a_compiler(settings, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"device.compile: expected a C\+\+ compiler, found none"):
        build.learner(settings("device.compile=true"), 4)


def test_schedule_ends_at_the_horizon_or_at_the_last_step(settings):
    assert build.schedule(settings()).horizon == 3
    assert build.schedule(settings("training.horizon=9")).horizon == 9


def test_images_too_small_for_the_discriminators_of_features_are_refused(settings):
    method = "method={name: feature_space, discriminator_reductions: 5}"
    with pytest.raises(ConfigError, match=r"training\.tile is 64; features .* below 128 pixels"):
        build.learner(settings(method), 4)
    assert build.learner(settings(method, "training.tile=128"), 4)
    upsampled = "method={name: feature_space, discriminator_reductions: 5, discriminator_input: u}"
    assert build.learner(settings(upsampled.replace(" u}", " upsampled}")), 4)


def test_no_batch_norm_policy_is_claimed_of_a_network_without_batch_norm(settings):
    assert build.batch_norm_words(settings()) == "per_domain"
    vgg = "network={encoder: vgg16, levels: 1}"
    assert build.batch_norm_words(settings(vgg, ONE_LEVEL)) == "none"


def test_labels_are_all_rasters_or_all_vector_files(country, tmp_path):
    (tmp_path / "more.geojson").write_text("{}")
    mixed = country("source.labels=[a/s1_label.tif, more.geojson]")
    with pytest.raises(DataError, match=r"found both, such as s1_label\.tif and more\.geojson"):
        build.geotiff_places(mixed)


# Damaged scenes


def cut_short(path):
    """Cut a scene's file in the middle of its pixels."""
    random = np.random.default_rng(0).integers(1, 255, (2, 20, 30), np.uint8)
    grid = Raster(path).grid
    path.unlink()
    write_raster(path, random, grid)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(DataError):
        Raster(path).read()


def test_damaged_scenes_are_errors_unless_they_are_to_be_left_out(country, tmp_path):
    cut_short(tmp_path / "a" / "s1.tif")
    places = build.geotiff_places(country())
    with pytest.raises(DataError, match=r"s1\.tif"):
        places.source.training.statistics()
    with pytest.warns(UserWarning, match=r"source region: 1 of 3 scenes are left out .*s1\.tif: "):
        found = build.geotiff_places(country("source.damaged=leave_out")).source
    kept = {scene.image.path.name: scene.label.path.name for scene in found.training.scenes}
    kept |= {scene.image.path.name: scene.label.path.name for scene in found.validation.scenes}
    assert kept == {"s2.tif": "s2_label.tif", "s10.tif": "s10_label.tif"}


def test_scenes_go_with_their_damaged_labels_and_without_a_place(country, tmp_path):
    label = tmp_path / "a" / "s2_label.tif"
    sound = label.read_bytes()
    label.write_bytes(b"no raster")
    values = np.ones((2, 20, 30), np.uint8)
    with pytest.warns(UserWarning, match=r"s2_label\.tif: expected a raster"):
        found = build.geotiff_places(country("source.damaged=leave_out")).source
    assert "s2.tif" not in {scene.image.path.name for scene in found.training.scenes}
    label.write_bytes(sound)
    (tmp_path / "b" / "s2.tif").unlink()
    write_raster(tmp_path / "b" / "s2.tif", values, Grid(20, 30, Affine.identity(), None))
    chosen = country("target.damaged=leave_out", "target.validation.share=0")
    with pytest.warns(UserWarning, match=r"1 of 2 .*s2\.tif: says nowhere where it lies"):
        target = build.geotiff_places(chosen).target
    assert [scene.image.path.name for scene in target.training.scenes] == ["s1.tif"]


def test_a_region_of_damaged_scenes_alone_is_refused(country, tmp_path):
    for name in ("s1.tif", "s2.tif"):
        (tmp_path / "b" / name).write_bytes(b"no raster")
    with pytest.raises(DataError, match=r"target region: no scene can be read, such as .*s1\.tif"):
        build.geotiff_places(country("target.damaged=leave_out"))


def others(folder, count, *, left, value=1, labels=True):
    """Scenes of the country's size, touching one another, with labels."""
    for number in range(count):
        scene(folder / f"v{number}.tif", left=left + 60 * number, value=value)
        if labels:
            scene(folder / f"v{number}_label.tif", bands=1, left=left + 60 * number)
    patterns = {"scenes": [f"{folder}/v?.tif"]}
    return patterns | ({"labels": [f"{folder}/v?_label.tif"]} if labels else {})


def test_validation_scenes_of_their_own_are_opened_as_the_others(country, tmp_path):
    kept = others(tmp_path / "c", 2, left=1000)
    settings = country("target.labels=[]", f"target.validation={kept}", "target.pixel=4")
    place = build.geotiff_places(settings).target
    assert not place.training.labelled
    assert [scene.image.path.stem for scene in place.training.scenes] == ["s1", "s2"]
    assert [scene.image.path.stem for scene in place.validation.scenes] == ["v0", "v1"]
    assert place.validation.labelled
    for part in (place.training, place.validation):
        assert {scene.image.grid.pixel_size for scene in part.scenes} == {(4, 4)}
        assert {scene.area.height for scene in part.scenes} == {10}  # all of each
    assert build.target_split(settings).startswith("trained on all, ")
    assert set(build.scored(settings)) == {"source", "target"}


@pytest.mark.parametrize(
    ("domain", "left", "words"),
    [
        ("source", 118, "source region: 1 of 2 .*scores are too good"),  # on s1, at 100 to 160
        ("target", 118, "target region: 1 of 2 .*without labels"),
        ("target", 80, "target region: 2 of 2 .*without labels"),
    ],
)
def test_validation_scenes_that_show_training_ground_are_counted(
    country, tmp_path, domain, left, words
):
    kept = others(tmp_path / "c", 2, left=left)
    settings = country("source.scenes=[a/s1.tif]", "source.labels=[a/s1_label.tif]",
                       "target.scenes=[b/s1.tif]", "target.labels=[]",
                       f"{domain}.validation={kept}")  # fmt: skip
    with pytest.warns(UserWarning, match=words):
        build.places(settings)


def test_validation_scenes_that_only_touch_training_scenes_are_no_leak(country, tmp_path):
    kept = others(tmp_path / "c", 2, left=160)
    changes = ["source.scenes=[a/s1.tif]", "source.labels=[a/s1_label.tif]"]
    build.places(country(*changes, f"source.validation={kept}"))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("source.validation={scenes: [x], side: north}", "validation.scenes and validation.side"),
        ("source.validation={scenes: [x], share: 0.1}", "validation.scenes and validation.share"),
        ("source.validation={labels: [x]}", "need validation.scenes"),
    ],
)
def test_validation_is_cut_off_or_elsewhere_not_both(country, assignment, message):
    with pytest.raises(ConfigError, match=message):
        country(assignment)


def test_listed_scenes_are_used_with_their_labels(country, tmp_path):
    (tmp_path / "some.txt").write_text("s10.tif\nfolder/s2\n\n")
    settings = country("source.listed=[some.txt]", "source.validation.share=0")
    scenes = build.geotiff_places(settings).source.training.scenes
    assert [scene.image.path.stem for scene in scenes] == ["s10", "s2"]
    assert [scene.label.path.stem for scene in scenes] == ["s10_label", "s2_label"]


def test_lists_that_do_not_tell_are_named(country, tmp_path):
    (tmp_path / "none.txt").write_text("s7.tif\n")
    (tmp_path / "noise.txt").write_bytes(b"\xff\xfe\x81\x00")
    for name, error, message in (
        ("none", MissingFileError, "lists 1 names, and none of 3 scenes, such as s1.tif"),
        ("gone", MissingFileError, "no such file, though 'listed' names it"),
        ("noise", DataError, "expected a text file of names"),
    ):
        with pytest.raises(error, match=message):
            build.places(country(f"source.listed=[{name}.txt]"))


def picture(path, shape=(20, 30), bands=3):
    """A PNG, which says nowhere where it lies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.arange(bands * shape[0] * shape[1]).reshape(bands, *shape) % 7
    write_png(path, np.moveaxis(values.astype(np.uint8), 0, -1).squeeze())


def test_images_without_a_place_are_scenes(country, tmp_path):
    for region in ("p", "q"):
        picture(tmp_path / region / "s.png")
        picture(tmp_path / region / "s_label.png", bands=1)
    changes = [
        f"{domain}={{scenes: [{region}/s.png], labels: [{region}/s_label.png], "
        f"validation: {{share: 0}}}}"
        for domain, region in (("source", "p"), ("target", "q"))
    ]
    both = build.geotiff_places(country(*changes))
    image = both.source.training.scenes[0].image
    assert image.grid.crs is None
    assert image.count == 3
    with pytest.raises(DataError, match=r"north-up to be split, .*scenes of their own"):
        build.places(country(*changes, "source.validation.share=0.3"))
    with pytest.raises(DataError, match="expected a coordinate reference system, found none"):
        build.places(country(*changes, "source.pixel=2"))
    sized = build.geotiff_places(country(*changes, "source.pixel=2", "source.assumed_pixel=1"))
    assert sized.source.training.scenes[0].image.grid.shape == (10, 15)


def test_made_up_places_do_not_meet_true_ones(country, tmp_path):
    picture(tmp_path / "p" / "s.png")
    scene(tmp_path / "p" / "t.tif", bands=3)
    picture(tmp_path / "p" / "small.png", (10, 10), bands=1)
    features = geopandas.GeoDataFrame(geometry=[box(0, -9, 9, 0)], crs=UTM)
    features.to_file(tmp_path / "houses.gpkg")
    for source, message in (
        ("{scenes: [p/s.png, p/t.tif], assumed_pixel: 1}", "1 of 2 scenes .* say it"),
        ("{scenes: [p/s.png], labels: [houses.gpkg], assumed_pixel: 1}", "cannot be placed on it"),
        ("{scenes: [p/s.png], labels: [p/small.png], assumed_pixel: 1}", "expected a coordinate"),
    ):
        with pytest.raises(DataError, match=message):
            build.places(country(f"source={source}"))


def test_labels_without_a_place_lie_on_scenes_of_their_size(country, tmp_path):
    picture(tmp_path / "p" / "l.png", bands=1)
    settings = country("source.scenes=[a/s1.tif]", "source.labels=[p/l.png]", "source.pixel=4")
    label = build.geotiff_places(settings).source.training.scenes[0].label
    ids, valid = label.read()
    assert valid.all()
    whole = np.arange(600).reshape(20, 30) % 7
    quarters = whole.reshape(10, 2, 15, 2).swapaxes(1, 2).reshape(10, 15, 4)
    assert (ids[0][..., np.newaxis] == quarters).any(-1).all()


def test_scenes_may_keep_projections_of_their_own(country, tmp_path):
    grid = Grid(20, 30, Affine(1, 0, 400000, 0, -1, 5e6), CRS.from_epsg(32755))
    write_raster(tmp_path / "a" / "s3.tif", np.ones((2, 20, 30), np.uint8), grid)
    alone = ["source.scenes=[a/s1.tif, a/s3.tif]", "source.labels=[]", "source.validation.share=0"]
    own = country(*alone, "source.crs=own").source
    place = geotiff_place("source", own, country(*alone))
    assert [str(s.image.grid.crs) for s in place.training.scenes] == ["EPSG:32632", "EPSG:32755"]
    assert [s.image.grid.shape for s in place.training.scenes] == [(20, 30)] * 2
    sized = country(*alone, "source.crs=own", "source.pixel=2").source
    place = geotiff_place("source", sized, country(*alone))
    assert [s.image.grid.shape for s in place.training.scenes] == [(20, 30), (10, 15)]
