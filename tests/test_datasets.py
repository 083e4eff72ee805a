"""Ready data sets: tiny copies of their official layouts, inspected, trained on and mapped."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from typer.testing import CliRunner

from rsadapt import build, config
from rsadapt.cli import app
from rsadapt.errors import ConfigError
from rsadapt.geo.raster import Raster
from rsadapt.verbs.check import check
from rsadapt.verbs.evaluate import evaluate
from rsadapt.verbs.inspect import inspect
from rsadapt.verbs.predict import predict
from rsadapt.verbs.train import train

COLOURS = np.array(
    [(255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)], np.uint8
)
"""Of the ISPRS classes, in the order of their ids from 1."""

SETTINGS = {
    "network": {"encoder": "small", "rates": [1], "batch_norm": "per_domain"},
    "method": {"name": "output_space", "discriminator_width": 4},
    "training": {"steps": 2, "batch_size": 2, "tile": 32, "workers": 0},
    "prediction": {"tile": 64, "overlap": 16},
    "device": {"accelerator": "cpu"},
}


def write(path, values, **profile):
    """Write an image [bands, height, width] as GDAL names its format by the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    driver = {".png": "PNG", ".tif": "GTiff"}[path.suffix]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver=driver, height=height, width=width, count=count, dtype="uint8",
            **profile,
        ) as file:  # fmt: skip
            file.write(values)
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)


def scene(random, side, ids):
    """A noisy image of which each class has a grey of its own, and its label ids [side, side]."""
    blocks = random.choice(ids, (side // 8, side // 8)).astype(np.uint8)
    label = blocks.repeat(8, 0).repeat(8, 1)
    image = 25 * label + random.integers(0, 20, (3, side, side), dtype=np.uint8)
    return image, label


def configured(folder, **values):
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(SETTINGS | values))
    return file


@pytest.fixture(scope="module")
def loveda(tmp_path_factory):
    """Two scenes a part: PNG without a word of where they lie; 0 is no data."""
    root, random = tmp_path_factory.mktemp("loveda"), np.random.default_rng(0)
    number = 0
    for split in ("Train", "Val", "Test"):
        for place in ("Urban", "Rural"):
            for _ in range(2):
                image, label = scene(random, 64, np.arange(8))
                folder = root / "LoveDA" / split / place
                write(folder / "images_png" / f"{number}.png", image)
                if split != "Test":
                    write(folder / "masks_png" / f"{number}.png", label[np.newaxis])
                number += 1
    return root


def world_file(path, left, top, pixel):
    """The six lines of a .tfw: pixel sides, and the centre of the first pixel."""
    numbers = (pixel, 0, 0, -pixel, left + pixel / 2, top - pixel / 2)
    path.write_text("".join(f"{number}\n" for number in numbers))


@pytest.fixture(scope="module")
def isprs(tmp_path_factory):
    """Every official tile of Potsdam (108 pixels of 5 cm) and Vaihingen (64 pixels of 9 cm)."""
    root, random = tmp_path_factory.mktemp("isprs"), np.random.default_rng(1)
    settings = [config.load_dataset(name, Path()) for name in ("potsdam", "vaihingen")]
    potsdam = [
        t for part in ("rgb-train", "rgb-test") for t in settings[0].parts[part].each["tile"]
    ]
    for number, tile in enumerate(potsdam):
        image, label = scene(random, 72, np.arange(1, 7))
        for folder, kind in (("2_Ortho_RGB", "RGB"), ("3_Ortho_IRRG", "IRRG")):
            path = root / "Potsdam" / folder / f"top_potsdam_{tile}_{kind}.tif"
            write(path, image)
            world_file(path.with_suffix(".tfw"), 366676 + 10.0 * number, 5808376.0, 0.05)
        coloured = np.moveaxis(COLOURS[label - 1], -1, 0)
        labels = root / "Potsdam" / "5_Labels_all" / f"top_potsdam_{tile}_label.tif"
        write(labels, coloured)
        eroded = np.where(eroded_edges(label), coloured, 0)
        folder = root / "Potsdam" / "5_Labels_all_noBoundary"
        write(folder / f"top_potsdam_{tile}_label_noBoundary.tif", eroded)
    complete = "ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE"
    for part in ("train", "test"):
        for area in settings[1].parts[part].each["area"]:
            image, label = scene(random, 64, np.arange(1, 7))
            path = root / "Vaihingen" / "top" / f"top_mosaic_09cm_area{area}.tif"
            write(path, image)
            world_file(path.with_suffix(".tfw"), 496813 + 10.0 * int(area), 5420600.0, 0.09)
            coloured = np.moveaxis(COLOURS[label - 1], -1, 0)
            folder = "gts_for_participants" if part == "train" else complete
            write(root / "Vaihingen" / folder / path.name, coloured)
            eroded = np.where(eroded_edges(label), coloured, 0)
            folder = complete.replace("COMPLETE", "eroded_COMPLETE")
            write(root / "Vaihingen" / folder / f"{path.stem}_noBoundary.tif", eroded)
    return root


def eroded_edges(label):
    """Where a pixel and its right and lower neighbours are of one class."""
    right, below = np.roll(label, -1, 1), np.roll(label, -1, 0)
    return (label == right) & (label == below)


@pytest.fixture(scope="module")
def openearthmap(tmp_path_factory):
    """Three regions on three continents, of two pixel sizes; tokyo_3 is in the list alone."""
    root, random = tmp_path_factory.mktemp("oem"), np.random.default_rng(2)
    top = root / "OpenEarthMap" / "OpenEarthMap_wo_xBD"
    places = {"aachen": (32632, 0.5), "tokyo": (32654, 0.25), "lima": (32718, 0.5)}
    for region, (epsg, pixel) in places.items():
        for number in (1, 2, 10):
            image, label = scene(random, 96, np.arange(9))
            corner = Affine(pixel, 0, 400000 + 100.0 * number, 0, -pixel, 5_000_000)
            for kind, values in (("images", image), ("labels", label[np.newaxis])):
                path = top / region / kind / f"{region}_{number}.tif"
                write(path, values, crs=f"EPSG:{epsg}", transform=corner)
    (top / "tokyo" / "images" / "tokyo_2.tif").unlink()  # as those of xBD, which are not in it
    names = {"train": (1, 2), "val": (10,), "test": ()}
    for split, numbers in names.items():
        lines = [f"{region}_{number}.tif" for region in places for number in numbers]
        (top / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_loveda_is_inspected_trained_scored_and_mapped_without_a_place(loveda, tmp_path):
    file = configured(
        tmp_path,
        root=str(loveda),
        source={"dataset": "loveda", "part": "urban-train", "validation_part": "urban-val"},
        target={"dataset": "loveda", "part": "rural-train", "validation_part": "rural-val"},
    )
    found = inspect(file)
    for region in (found.source, found.target):
        assert [Path(s.path).parts[-4] for s in region.scenes] == ["Train"] * 2 + ["Val"] * 2
        assert {s.crs for s in region.scenes} == {None}
        assert {s.assumed for s in region.scenes} == {"assumed_pixel"}
        np.testing.assert_allclose([s.ground_size for s in region.scenes], 0.3, rtol=1e-6)
        assert region.validation.unlabelled > 0.05  # id 0
        assert min(region.validation.classes.values()) > 0.05
    outcome = train(file, out=tmp_path / "run")
    assert set(outcome.validation) == set(evaluate(outcome.run.path)) == {"source", "target"}
    scenes = [loveda / "LoveDA/Test/Rural/images_png/10.png"]
    (written,) = predict(outcome.run.path, scenes, tmp_path / "maps")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(written.layers["classes"]) as map_:
            assert (map_.shape, map_.crs) == ((64, 64), None)
            assert map_.transform == Affine.identity()


def test_a_run_stands_alone_once_its_data_set_is_expanded(loveda, tmp_path):
    values = {"dataset": "loveda", "part": "urban-train"}
    file = configured(tmp_path, root=str(loveda), source=values, target=values)
    changes = ["training.steps=1", "target.labels=[]"]
    run = train(file, assignments=changes, out=tmp_path / "run").run
    written = yaml.safe_load(run.configuration.read_text())
    assert written["source"]["scenes"] == ["Train/Urban/images_png"]
    assert "dataset" not in written["source"]
    assert [entry["name"] for entry in written["classes"]][-1] == "agriculture"
    assert build.configuration(run.configuration).model_dump() == written


def test_made_up_places_come_to_one_size_and_are_written_in_pixels(loveda, tmp_path):
    part = {"dataset": "loveda", "part": "urban-train", "pixel": 0.6}
    file = configured(tmp_path, root=str(loveda), source=part, target=part)
    found = inspect(file)
    assert found.source.scenes[0].shape == (32, 32)
    np.testing.assert_allclose(found.source.scenes[0].ground_size, 0.6, rtol=1e-6)
    assert found.source.scenes[0].was.placed_by == "assumed_pixel"
    run = train(file, out=tmp_path / "run").run.path
    (written,) = predict(run, [loveda / "LoveDA/Val/Urban/images_png/4.png"], tmp_path / "maps")
    with rasterio.open(written.layers["classes"]) as map_:
        assert (map_.shape, map_.crs) == ((32, 32), None)
        np.testing.assert_allclose(map_.transform[:6], (2, 0, 0, 0, 2, 0), atol=1e-6)


def test_potsdam_and_vaihingen_come_to_one_size(isprs, tmp_path):
    file = configured(
        tmp_path,
        root=str(isprs),
        source={"dataset": "potsdam", "part": "irrg-train", "validation_part": "irrg-test-eroded"},
        target={"dataset": "vaihingen", "part": "train", "validation_part": "test-eroded"},
    )
    as_they_are = inspect(file)
    sides = ["source.pixel=0.09", "target.pixel=0.09"]
    at_one_size = inspect(file, sides)
    assert [len(r.scenes) for r in (at_one_size.source, at_one_size.target)] == [38, 33]
    assert as_they_are.source.scenes[0].shape == (72, 72)
    assert at_one_size.source.scenes[0].shape == (40, 40)
    assert len(as_they_are.findings) == 1
    assert at_one_size.findings == ()
    for region, crs in ((at_one_size.source, "EPSG:32633"), (at_one_size.target, "EPSG:32632")):
        assert {(s.crs, s.assumed) for s in region.scenes} == {(crs, "assumed_crs")}
        assert region.training.unlabelled == 0
        assert region.validation.unlabelled > 0.1  # boundaries
    outcome = train(file, assignments=sides, out=tmp_path / "run")
    assert set(outcome.validation) == {"source", "target"}
    tile = isprs / "Potsdam/3_Ortho_IRRG/top_potsdam_2_13_IRRG.tif"
    (written,) = predict(outcome.run.path, [tile], tmp_path / "maps", domain="source")
    with rasterio.open(written.layers["classes"]) as map_, rasterio.open(tile) as original:
        assert (map_.shape, map_.crs) == ((40, 40), None)
        assert abs(map_.bounds.left - original.bounds.left) < 0.09
        assert abs(map_.bounds.top - original.bounds.top) < 0.09


def test_labels_in_colour_are_the_ids_that_were_drawn(isprs, tmp_path):
    part = {"dataset": "potsdam", "part": "rgb-train"}
    file = configured(tmp_path, root=str(isprs), source=part, target=part)
    region = build.geotiff_places(build.configuration(file)).source.training
    label = Raster(isprs / "Potsdam/5_Labels_all/top_potsdam_2_10_label.tif")
    colours = np.moveaxis(label.read()[0], 0, -1)
    ids, valid = region.scenes[0].label.read()
    assert valid.all()
    np.testing.assert_array_equal(COLOURS[ids[0] - 1], colours)


def test_openearthmap_by_region_keeps_each_projection(openearthmap, tmp_path):
    part = {"dataset": "openearthmap", "part": "train", "validation_part": "val"}
    file = configured(
        tmp_path,
        root=str(openearthmap),
        source=part | {"regions": ["aachen", "lima"]},
        target=part | {"regions": ["tokyo"], "pixel": 0.5},
    )
    found = inspect(file)
    names = [[Path(s.path).stem for s in r.scenes] for r in (found.source, found.target)]
    assert names[0] == ["aachen_1", "aachen_2", "lima_1", "lima_2", "aachen_10", "lima_10"]
    assert names[1] == ["tokyo_1", "tokyo_10"]  # not tokyo_2, of which there is no image
    assert {s.crs for s in found.source.scenes} == {"EPSG:32632", "EPSG:32718"}
    assert {s.was for s in found.source.scenes} == {None}
    assert {s.shape for s in found.target.scenes} == {(48, 48)}
    for r in (found.source, found.target):
        for s in r.scenes:
            assert Path(s.label).stem == Path(s.path).stem
    assert set(train(file, out=tmp_path / "run").validation) == {"source", "target"}


TO_URBAN = (
    "source.part=rural-train source.validation_part=rural-val "
    "target.part=urban-train target.validation_part=urban-val"
)


@pytest.mark.parametrize(
    ("recipe", "data", "changes", "scenes"),
    [
        ("loveda-urban-rural", "loveda", "", (2, 2, 2, 2)),
        ("loveda-urban-rural", "loveda", TO_URBAN, (2, 2, 2, 2)),
        ("potsdam-vaihingen", "isprs", "", (24, 14, 16, 17)),
        ("potsdam-vaihingen", "isprs", "source.validation_part=irrg-test", (24, 14, 16, 17)),
        (
            "openearthmap",
            "openearthmap",
            "source.regions=[aachen,lima] target.regions=[tokyo]",
            (4, 2, 1, 1),
        ),
    ],
)
def test_ready_recipes_find_their_data(request, recipe, data, changes, scenes):
    folder = request.getfixturevalue(data)
    places = build.geotiff_places(build.configuration(Path(recipe), changes.split(), data=folder))
    parts = [
        part
        for place in (places.source, places.target)
        for part in (place.training, place.validation)
    ]
    assert tuple(len(part.scenes) for part in parts) == scenes
    assert all(part.labelled for part in parts)


def test_colours_may_be_added(isprs):
    changes = ['source.label_colours={"#fcff00": 5}']
    settings = build.configuration(Path("potsdam-vaihingen"), changes, data=isprs)
    assert len(settings.source.label_colours) == 8


def test_a_data_set_goes_with_scenes_of_ones_own(loveda, tmp_path):
    image, label = scene(np.random.default_rng(3), 64, np.arange(1, 8))
    write(tmp_path / "own.tif", image, crs="EPSG:32636", transform=Affine(0.3, 0, 0, 0, -0.3, 0))
    write(tmp_path / "own_label.png", label[np.newaxis])  # in its scene's place, being of its size
    file = configured(
        tmp_path,
        root=str(loveda),
        source={"dataset": "loveda", "part": "rural-train", "validation_part": "rural-val"},
        target={
            "folder": str(tmp_path),
            "scenes": ["own.tif"],
            "labels": ["own_label.png"],
            "validation": {"side": "east", "share": 0.4},
        },
    )
    assert set(train(file, out=tmp_path / "run").validation) == {"source", "target"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["source.dataset=lovedo"], "no data set is called 'lovedo'; there are gta5.*, loveda"),
        (
            ["source.part=urban"],
            r"'source.part': expected a part of LoveDA \(urban-train, .*'urban'",
        ),
        (["source={dataset: loveda}"], "'source.part': expected a part of LoveDA .*found none"),
        (["source.validation_part=urban-train"], "is the part to train on"),
        (["source.validation.share=0.2"], "validation.scenes and validation.share exclude"),
        (["source.splt=1"], "unknown key 'source.splt'"),
        (["source.pixl=1"], "unknown key 'source.pixl'; did you mean 'pixel'"),
        (["source={dataset: vaihingen, part: train}"], "'classes' is missing: ISPRS Vaihingen and"),
        (
            ["target={dataset: openearthmap, part: val, regions: tokyo}"],
            "'target.regions': expected a list of names, found 'tokyo'",
        ),
        (["source.assumed_pixel=0.3", "source.crs=EPSG:4326"], "assumed_pixel gives scenes no"),
    ],
)
def test_mistakes_in_naming_a_data_set(loveda, tmp_path, changes, message):
    part = {"dataset": "loveda", "part": "urban-train", "validation_part": "urban-val"}
    file = configured(
        tmp_path, root=str(loveda), source=part, target=part | {"part": "rural-train"}
    )
    with pytest.raises(ConfigError, match=message):
        build.configuration(file, changes)


def test_parts_of_other_bands_do_not_score_each_other(isprs, tmp_path):
    file = tmp_path / "mixed.yaml"
    values = yaml.safe_load(config.ready("datasets")["potsdam"].read_text())
    values["parts"]["irrg-test"]["bands"] = [2, 3]
    file.write_text(yaml.safe_dump(values))
    part = {"dataset": "mixed.yaml", "part": "irrg-train", "validation_part": "irrg-test"}
    with pytest.raises(ConfigError, match="'irrg-test' is of another bands than 'irrg-train'"):
        build.configuration(configured(tmp_path, root=str(isprs), source=part, target=part))


def test_report_of_an_inspection_says_what_is_assumed(isprs, tmp_path):
    part = {"dataset": "vaihingen", "part": "train"}
    file = configured(tmp_path, root=str(isprs), source=part, target=part)
    done = CliRunner().invoke(app, ["inspect", str(file)], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "EPSG:32632, assumed" in done.stdout


def test_check_counts_pairs_and_holds_labels_against_the_table(isprs, loveda, tmp_path):
    (whole,) = check(["potsdam"], isprs)
    assert whole.complete
    assert [part.found for part in whole.splits] == [24, 14] * 4
    root = tmp_path / "Potsdam"
    shutil.copytree(isprs / "Potsdam", root)
    (root / "2_Ortho_RGB/top_potsdam_7_7_RGB.tif").unlink()
    (root / "5_Labels_all/top_potsdam_2_13_label.tif").unlink()
    cut = root / "3_Ortho_IRRG/top_potsdam_2_10_IRRG.tif"
    cut.write_bytes(cut.read_bytes()[:5000])
    odd = root / "5_Labels_all_noBoundary/top_potsdam_2_11_label_noBoundary.tif"
    write(odd, np.full((3, 72, 72), 252, np.uint8))
    (report,) = check(["potsdam"], tmp_path)
    parts = {part.split: part for part in report.splits}
    assert (parts["rgb-train"].found, parts["rgb-train"].official) == (23, 24)
    assert parts["rgb-train"].without_image == ("top_potsdam_7_7_label.tif",)
    assert parts["rgb-test"].without_label == ("top_potsdam_2_13_RGB.tif",)
    assert set(parts["irrg-train"].damaged) == {cut}
    assert "#fcfcfc (5184 pixels)" in parts["rgb-train-eroded"].damaged[odd]
    assert parts["irrg-test-eroded"].complete
    (few,) = check(["loveda"], loveda, decode=False)
    assert [(part.found, part.official) for part in few.splits][:2] == [(2, 1156), (2, 1366)]
    assert not any(part.without_label or part.without_image for part in few.splits)


def test_check_of_a_list_counts_what_it_names(openearthmap):
    (report,) = check(["openearthmap"], openearthmap)
    assert [part.found for part in report.splits] == [5, 3, 0]
    assert [len(part.without_label) for part in report.splits] == [0, 0, 0]
    assert [len(part.damaged) for part in report.splits] == [0, 0, 1]  # test.txt lists nothing


def test_check_takes_the_file_of_a_data_set(loveda, tmp_path):
    file = tmp_path / "mine.yaml"
    values = yaml.safe_load(config.ready("datasets")["loveda"].read_text())
    for part in values["parts"].values():
        part["count"] = 2
    file.write_text(yaml.safe_dump(values))
    (report,) = check([str(file)], loveda)
    assert report.complete
    assert report.splits[0].sizes == {(64, 64): 2}
