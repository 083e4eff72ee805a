"""Files by name, pattern, folder, index and address become scenes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from rasterio.crs import CRS
from scipy.io import netcdf_file

from rsadapt import build, config
from rsadapt.build.files import named_files, named_scenes
from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.grid import Grid
from rsadapt.geo.location import Remote, Subdataset
from rsadapt.geo.raster import Raster, raster_suffixes
from rsadapt.geo.writer import write_raster


def write(path, value=1, left=0):
    grid = Grid(32, 48, Affine(2, 0, 5e5 + left, 0, -2, 5.2e6), CRS.from_epsg(32632))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_raster(path, np.full((1, *grid.shape), value, np.uint8), grid)
    return path


@pytest.fixture
def region(served, values):
    """Settings whose target scenes lie on a server, changed as told."""
    for number in (1, 2):
        write(served.folder / f"s{number}.tif", number, left=100 * number)
    root = served.folder.parent
    write(root / "a.tif")
    write(root / "a_label.tif")
    values |= {"root": str(root)}
    values["source"] = {"scenes": ["a.tif"], "labels": ["a_label.tif"]}

    def parse(**target):
        values["target"] = {"validation": {"share": 0.0}} | target
        return config.parse(values, where="test")

    return parse


def scenes(settings):
    return build.geotiff_places(settings).target.training.scenes


def test_scenes_are_read_from_addresses(region, served):
    found = scenes(region(scenes=["s3://bucket/s2.tif", served.url("s1.tif")]))
    assert [str(s.image.path) for s in found] == ["s3://bucket/s2.tif", served.url("s1.tif")]
    assert [int(s.image.read()[0].max()) for s in found] == [2, 1]


def test_labels_at_an_address_belong_to_their_scene(region, served):
    write(served.folder / "labels" / "s1.tif", 7, left=100)
    write(served.folder / "labels" / "s2.tif", 8, left=200)
    labels = [served.url("labels/s2.tif"), served.url("labels/s1.tif")]
    (one, two) = scenes(region(scenes=["served/*.tif"], labels=labels))
    assert (int(one.label.read()[0].max()), int(two.label.read()[0].max())) == (7, 8)


@pytest.mark.parametrize("kind", ["csv", "stac"])
def test_an_index_may_list_addresses(region, served, kind):
    index = served.folder.parent / f"index.{'json' if kind == 'stac' else kind}"
    if kind == "csv":
        index.write_text(f"path\n{served.url('s2.tif')}\nserved/s1.tif\n")
    else:
        asset = {"href": served.url("s2.tif"), "roles": ["data"]}
        index.write_text(json.dumps({"stac_version": "1.0.0", "assets": {"image": asset}}))
    paths = [s.image.path for s in scenes(region(scenes=[index.name]))]
    assert paths[0] == Remote(served.url("s2.tif"))
    assert paths[1:] == ([served.folder / "s1.tif"] if kind == "csv" else [])


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("s*.tif", DataError, "found a pattern, and servers are not asked .* name every file"),
        ("index.csv", DataError, "found a table or vector file by its name; download it"),
        ("labels.gpkg", DataError, "found a table or vector file by its name; download it"),
        ("gone.tif", MissingFileError, "expected a raster at this address, found none"),
    ],
)
def test_what_is_not_read_from_servers_is_refused_by_name(region, served, name, error, message):
    with pytest.raises(error, match=f"^{re.escape(served.url(name))}: .*{message}"):
        scenes(region(scenes=[served.url(name)]))


def test_damaged_remote_scenes_are_left_out_where_asked(region, served):
    random = np.random.default_rng(0).integers(1, 255, (1, 32, 48), np.uint8)
    write_raster(served.folder / "cut.tif", random, Raster(served.folder / "s1.tif").grid)
    content = (served.folder / "cut.tif").read_bytes()
    (served.folder / "cut.tif").write_bytes(content[:-700])
    named = {"scenes": [served.url("cut.tif"), served.url("s2.tif")], "damaged": "leave_out"}
    with pytest.warns(UserWarning, match=r"1 of 2 scenes are left out .*http://.*/cut\.tif: "):
        found = scenes(region(**named))
    assert [s.image.path.name for s in found] == ["s2.tif"]


def test_an_absent_scene_is_not_taken_for_a_damaged_one(region, served):
    named = {"scenes": [served.url("gone.tif"), served.url("s2.tif")], "damaged": "leave_out"}
    with pytest.raises(MissingFileError, match=r"gone\.tif: "):
        scenes(region(**named))


# Folders, and data sets in files


def test_folder_yields_rasters_of_every_driver_and_no_sidecar(tmp_path):
    kept = ["a.asc", "a.bil", "a.JP2", "a.nc", "a.ntf", "a.tif", "a.vrt", "a.webp"]
    others = ["a.aux.xml", "a.hdr", "a.prj", "a.tfw", "a.tif.ovr", "a.tif.msk", "a.txt", "a.xml"]
    for name in kept + others:
        (tmp_path / name).touch()
    assert [file.name for file in named_files(["."], tmp_path)] == sorted(kept)
    assert {".tif", ".img", ".grb", ".png"} <= raster_suffixes()


@pytest.fixture
def cube(tmp_path):
    """A netCDF file of two variables."""
    with netcdf_file(tmp_path / "cube.nc", "w") as file:
        for name, length in (("y", 5), ("x", 7)):
            file.createDimension(name, length)
        for number, name in enumerate(("red", "nir")):
            variable = file.createVariable(name, "i2", ("y", "x"))
            variable[:] = np.arange(35).reshape(5, 7)[::-1] + 100 * number
    return tmp_path / "cube.nc"


def test_file_of_data_sets_names_them_and_each_is_a_scene(cube):
    with pytest.raises(DataError, match=r"cube\.nc: .*as the scene: netcdf:.*:nir") as error:
        Raster(cube)
    name = str(error.value).rpartition(" ")[2]
    for text in (name, name.replace(f"{cube.parent}/", ""), 'NETCDF:"cube.nc":nir'):
        (found,) = named_scenes([text], cube.parent)
        assert isinstance(found, Subdataset)
        raster = Raster(found)
        assert (raster.path.stem, raster.grid.shape) == ("cube_nir", (5, 7))
        assert sorted(raster.read()[0].ravel()) == list(range(100, 135))


def test_page_of_a_tiff_is_a_scene(tmp_path):
    pages = [Image.fromarray(np.full((5, 7), n, np.uint8)) for n in (1, 2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    (found,) = named_scenes(["GTIFF_DIR:2:a.tif"], tmp_path)
    assert (Raster(found).read()[0] == 2).all()


def test_file_of_a_data_set_must_be_there(tmp_path):
    (found,) = named_scenes(["NETCDF:gone.nc:red"], tmp_path)
    with pytest.raises(MissingFileError, match=r"NETCDF:.*gone\.nc:red: expected a raster file"):
        Raster(found)


def test_paths_stay_paths(tmp_path):
    write(tmp_path / "T32:a.tif")
    assert named_scenes(["T32:*.tif"], tmp_path) == [Path(tmp_path / "T32:a.tif")]
