"""Bands in files of their own are paired, named and chosen."""

import json

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from rsadapt import build, config
from rsadapt.build.bands import BandFiles, open_scene
from rsadapt.build.files import named_bands, named_scenes
from rsadapt.errors import ConfigError, DataError, MissingFileError
from rsadapt.geo.grid import Grid
from rsadapt.geo.raster import Raster
from rsadapt.geo.stack import StackedRaster
from rsadapt.geo.writer import write_raster
from rsadapt.verbs.inspect import inspect

BANDS = {"blue": "B02", "red": "B04", "nir": "B08"}


def write(path, value, pixels=40, left=0.0, noisy=False):
    """A square of 400 m."""
    size = 400 / pixels
    grid = Grid(pixels, pixels, Affine(size, 0, 5e5 + left, 0, -size, 5.2e6), CRS.from_epsg(32632))
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((1, pixels, pixels), value, np.uint16)
    if noisy:
        values = np.random.default_rng(0).integers(1, 60000, values.shape, np.uint16)
    write_raster(path, values, grid)


@pytest.fixture
def country(tmp_path, values):
    """A source and a target of two scenes each, of which nir is coarser."""
    for number in (1, 2):
        for place, (band, code) in enumerate(BANDS.items()):
            pixels = 20 if band == "nir" else 40
            file = tmp_path / "s2" / f"T3{number}_{code}_10m.tif"
            write(file, 10 * number + place, pixels, left=400 * number)
        write(tmp_path / "labels" / f"T3{number}_label.tif", number, left=400 * number)
    values["root"] = str(tmp_path)
    patterns = {band: f"s2/*_{code}_*.tif" for band, code in BANDS.items()}
    values["source"] = {"band_files": patterns, "labels": ["labels/T32*", "labels/T31*"]}
    values["target"] = {"band_files": patterns, "bands": ["nir", "red"]}
    values["bands"] = [2, 3]

    def parse(*assignments):
        return config.parse(config.assign(values, list(assignments)), where="test")

    return parse


def means(scene, bands):
    return [int(plane.mean()) for plane in scene.image.read(bands=bands)[0]]


def test_files_of_a_scene_make_one_raster(country):
    places = build.geotiff_places(country("source.validation.share=0", "target.validation.share=0"))
    for region, bands in ((places.source.training, (2, 3)), (places.target.training, (3, 2))):
        assert region.bands == bands
        assert [s.image.grid.shape for s in region.scenes] == [(40, 40), (40, 40)]
        assert [s.image.descriptions for s in region.scenes] == [("blue", "red", "nir")] * 2
    one, two = places.source.training.scenes
    assert (means(one, [1, 2, 3]), means(two, [1, 2, 3])) == ([10, 11, 12], [20, 21, 22])
    assert (int(one.label.read()[0].max()), int(two.label.read()[0].max())) == (1, 2)


def test_scenes_of_bands_are_brought_to_a_lattice(country):
    places = build.geotiff_places(country("target.pixel=15", "target.validation.share=0"))
    one, two = places.target.training.scenes
    assert isinstance(one.image, StackedRaster)
    assert one.image.grid.pixel_size == two.image.grid.pixel_size == (15, 15)
    assert means(two, [3, 1]) == [22, 20]


def test_inspect_says_what_bands_were(country, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(config.dump(country("target.pixel=15", "training.tile=32")))
    found = inspect(file)
    assert [band.name for band in found.target.bands] == ["nir", "red"]
    assert found.target.scenes[0].was.shape == (40, 40)
    assert found.source.scenes[0].was is None


def test_damaged_band_leaves_its_scene_out(country, tmp_path):
    file = tmp_path / "s2" / "T31_B04_10m.tif"
    write(file, 0, left=400, noisy=True)
    file.write_bytes(file.read_bytes()[:-900])
    settings = country("target.damaged=leave_out", "target.validation.share=0")
    with pytest.warns(UserWarning, match=r"1 of 2 .*T31_B04_10m\.tif: the pixels"):
        (kept,) = build.geotiff_places(settings).target.training.scenes
    assert means(kept, [1]) == [20]


def test_wildcards_tell_which_files_belong_together(tmp_path):
    for scene in ("north/2019", "north/2020", "south/2019"):
        for code in ("B2", "B10"):
            write(tmp_path / scene / f"x_{code}.tif", 1)
    patterns = {"a": "**/20[12]?/x_B2.tif", "b": "**/20[12]?/x_B10.tif"}
    found = named_bands(patterns, tmp_path)
    assert [[str(file.relative_to(tmp_path)) for file in scene.files] for scene in found] == [
        [f"{scene}/x_{code}.tif" for code in ("B2", "B10")]
        for scene in ("north/2019", "north/2020", "south/2019")
    ]


def test_one_file_a_band_is_one_scene_whatever_it_is_called(tmp_path, served):
    write(tmp_path / "one.tif", 1)
    write(served.folder / "other.tif", 2)
    (found,) = named_bands({"a": "on*.tif", "b": served.url("other.tif")}, tmp_path)
    assert [file.name for file in found.files] == ["one.tif", "other.tif"]
    assert (found.stem, str(found)) == ("one", str(tmp_path / "one.tif"))


@pytest.mark.parametrize(
    ("files", "patterns", "message"),
    [
        (["1_a", "2_a", "1_b", "3_b"], {}, r"files of a 2, b 2, .*not in both: 2, 3.*1_a\.tif"),
        (["1_a", "2_a", "1_b"], {}, "files of a 2, b 1, .*not in both: 2"),
        (["1_ax", "1_ay", "1_b", "2_b"], {"a": "1_a*.tif"}, "not in both: 1, 2, x, y"),
    ],
)
def test_files_that_cannot_be_paired_are_named(tmp_path, files, patterns, message):
    for name in files:
        (tmp_path / f"{name}.tif").touch()
    with pytest.raises(DataError, match=f"{message}.*differ in the band alone"):
        named_bands({"a": "*_a.tif", "b": "*_b.tif"} | patterns, tmp_path)


def test_scenes_and_band_files_exclude_each_other(country):
    with pytest.raises(ConfigError, match=r"'source': .* either by 'scenes' or by 'band_files'"):
        country("source.scenes=[a.tif]")


def test_pattern_that_matches_nothing_is_named(country):
    with pytest.raises(MissingFileError, match=r"\*_B12\.tif: no such file, and no file of that"):
        build.geotiff_places(country("source.band_files.swir='s2/*_B12.tif'"))


# STAC items


@pytest.fixture
def item(tmp_path, country):
    """A STAC item of the second scene, as catalogues write them, whose B05 is not there."""
    assets = {
        code: {
            "href": f"./s2/T32_{code}_10m.tif",
            "roles": ["data", "reflectance"],
            "eo:bands": [{"name": code, "common_name": band}],
        }
        for band, code in (BANDS | {"rededge": "B05"}).items()
    }
    assets["B08"]["bands"] = [{"name": "B08", "eo:common_name": "nir"}]  # STAC 1.1
    del assets["B08"]["eo:bands"]
    assets["thumbnail"] = {"href": "t.png", "roles": ["thumbnail"]}
    file = tmp_path / "T32.json"
    file.write_text(json.dumps({"type": "Feature", "stac_version": "1.1.0", "assets": assets}))
    return file


@pytest.mark.parametrize("bands", [["red", "nir"], ["B04", "B08"], ["b04", "NIR"]])
def test_assets_of_an_item_are_chosen_by_name(country, item, bands):
    target = {"scenes": ["*.json"], "bands": bands, "validation": {"share": 0.0}}
    settings = country(f"target={json.dumps(target)}")
    region = build.geotiff_places(settings).target.training
    assert region.bands == (1, 2)
    assert region.scenes[0].image.descriptions == tuple(bands)
    assert region.scenes[0].image.path == item
    assert means(region.scenes[0], region.bands) == [21, 22]


def test_assets_are_called_by_their_common_names_else_by_their_keys(item, country):
    values = json.loads(item.read_text())
    del values["assets"]["B05"]
    item.write_text(json.dumps(values))
    (found,) = named_scenes([item.name], item.parent)
    assert isinstance(found, BandFiles)
    assert found.names == ("blue", "red", "nir")
    del values["assets"]["B04"]["eo:bands"]
    item.write_text(json.dumps(values))
    (found,) = named_scenes([item.name], item.parent, bands=[1, 2])
    assert found.names == ("B02", "B04", "B08")


def test_assets_that_are_not_there_are_named(item):
    with pytest.raises(MissingFileError, match=r"B05_10m\.tif: no such file, though .*T32\.json"):
        named_scenes([item.name], item.parent)
    with pytest.raises(
        DataError, match=r"T32\.json: .* called 'swir', found none among B02 \(blue"
    ):
        named_scenes([item.name], item.parent, bands=["red", "swir"])


@pytest.mark.parametrize("assets", ["[]", "{}", '{"a": 1}', '{"a": {"roles": ["data"]}}'])
def test_item_without_data_is_named(tmp_path, assets):
    (tmp_path / "i.json").write_text(f'{{"stac_version": "1.0.0", "assets": {assets}}}')
    with pytest.raises(DataError, match=r"i\.json: expected assets with the role 'data'"):
        named_scenes(["i.json"], tmp_path)


def test_assets_of_several_bands_are_named(item, tmp_path):
    grid = Raster(tmp_path / "s2" / "T32_B04_10m.tif").grid
    (tmp_path / "s2" / "T32_B04_10m.tif").unlink()
    write_raster(tmp_path / "s2" / "T32_B04_10m.tif", np.ones((3, *grid.shape), np.uint8), grid)
    (scene,) = named_scenes([item.name], tmp_path, bands=["blue", "red"])
    with pytest.raises(
        DataError, match=r"T32_B04_10m\.tif: expected the file of one band, found 3"
    ):
        open_scene(scene, "nearest")
