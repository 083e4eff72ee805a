"""Predict: a run and scenes become maps that lie right and tell their origin."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import geopandas
import numpy as np
import pytest
from affine import Affine
from shapely import box

from rsadapt.classes import NODATA, ClassScheme
from rsadapt.data.procedural.world import BANDS
from rsadapt.errors import ConfigError, DataError, OutputExistsError
from rsadapt.geo.grid import Window
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.model import open_model
from rsadapt.verbs import predict as module
from rsadapt.verbs.predict import predict
from rsadapt.verbs.train import train


@pytest.fixture
def scene(configuration):
    return configuration.parent / "target" / "scene_1.tif"


def test_map_lies_on_the_scene_and_is_nodata_where_it_is(trained, scene, tmp_path):
    (made,) = predict(trained, [scene], tmp_path / "maps")
    written, image = Raster(made.layers["classes"]), Raster(scene)
    assert written.grid.matches(image.grid)
    codes, mapped = written.read()
    assert np.array_equal(mapped, image.read()[1])
    assert set(np.unique(codes)) <= {*range(1, 8), NODATA}


def test_a_scene_without_a_valid_pixel_is_told_of(trained, scene, tmp_path):
    values, empty = np.zeros((4, 70, 80), Raster(scene).dtype), tmp_path / "empty.tif"
    write_raster(empty, values, Raster(scene).grid.crop(Window(0, 0, 70, 80)), nodata=0)
    with pytest.warns(UserWarning, match=r"empty\.tif: no valid pixel, so that its maps") as told:
        (made,) = predict(trained, [empty], tmp_path / "maps", layers=["probabilities"])
    assert len(told) == 1
    assert not Raster(made.layers["probabilities"]).read()[1].any()


def test_map_tells_its_classes_and_run(trained, scene, tmp_path):
    (made,) = predict(trained, [scene], tmp_path)
    tags = Raster(made.layers["classes"]).tags
    assert ClassScheme.from_dict(json.loads(tags["RSADAPT_CLASSES"])).codes == tuple(range(1, 8))
    assert tags["RSADAPT_RUN"] == str(trained)
    assert tags["RSADAPT_STEP"] == "2"


def test_precision_is_the_runs_or_the_one_asked_for_and_maps_tell_it(trained, scene, tmp_path):
    asked = {"32-true": None, "bf16-mixed": {"precision": "bf16-mixed"}}
    maps = {}
    for name, prediction in asked.items():
        (made,) = predict(trained, [scene], tmp_path / name, prediction=prediction)
        maps[name] = Raster(made.layers["confidence"])
        assert maps[name].tags["RSADAPT_PRECISION"] == name
    ours, theirs = (found.read()[0].astype(float) for found in maps.values())
    assert np.abs(ours - theirs).max() > 0
    with pytest.raises(ConfigError, match=r"precision: Input should be .* found half"):
        predict(trained, [scene], tmp_path / "no", prediction={"precision": "half"})


def test_domain_decides_normalisation_and_statistics(trained, scene, tmp_path):
    maps = [
        predict(trained, [scene], tmp_path / domain, domain=domain)[0].layers["confidence"]
        for domain in ("source", "target")
    ]
    ours, theirs = (Raster(file).read()[0] for file in maps)
    assert not np.array_equal(ours, theirs)


def test_scene_without_the_runs_bands_is_refused(trained, scene, tmp_path):
    image = Raster(scene)
    values, _ = image.read(bands=[1, 2])
    write_raster(tmp_path / "two.tif", values, image.grid)
    with pytest.raises(DataError, match=r"two\.tif: has bands 1 to 2"):
        predict(trained, [tmp_path / "two.tif"], tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_bands_are_found_by_name_in_the_scene_at_hand(configuration, scene, tmp_path):
    names = [f"target.bands={list(BANDS[::-1])}", f"source.bands={list(BANDS[::-1])}"]
    run = train(configuration, out=tmp_path / "run", assignments=names).run.path
    values, _ = Raster(scene).read()
    order = [2, 0, 3, 1]
    other = tmp_path / "other.tif"
    write_raster(
        other,
        values[order],
        Raster(scene).grid,
        nodata=0,
        descriptions=[BANDS[number] for number in order],
    )
    maps = predict(run, [scene, other], tmp_path / "maps")
    first, second = (Raster(made.layers["confidence"]).read()[0] for made in maps)
    assert np.array_equal(first, second)


def test_scenes_of_one_name_are_refused(trained, configuration, scene, tmp_path):
    other = configuration.parent / "source" / "scene_1.tif"
    with pytest.raises(OutputExistsError, match="2 scenes are called 'scene_1'"):
        predict(trained, [scene, other], tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_scene_is_warped_to_the_size_trained_at(trained, scene, tmp_path, monkeypatch):
    own = Raster(scene)
    size = own.grid.pixel_size[0]

    def predict_at(pixel):
        model = open_model(trained)
        target = model.facts.settings.target.model_copy(update={"pixel": pixel})
        settings = model.facts.settings.model_copy(update={"target": target})
        facts = replace(model.facts, settings=settings)
        monkeypatch.setattr(module, "open_model", lambda *_, **__: replace(model, facts=facts))
        (made,) = predict(trained, [scene], tmp_path / str(pixel))
        return Raster(made.layers["classes"])

    coarse = predict_at(2 * size)
    assert coarse.grid.crs == own.grid.crs
    assert coarse.grid.pixel_size == pytest.approx((2 * size, 2 * size))
    assert coarse.grid.height == pytest.approx(own.grid.height / 2, abs=1)
    assert coarse.read()[1].mean() == pytest.approx(own.read()[1].mean(), abs=0.05)
    assert predict_at(1.001 * size).grid.matches(own.grid)


def test_other_processes_predict_the_same(trained, scene, tmp_path, monkeypatch):
    """Paths that start here, an area, turned tiles, and a network that each process loads."""
    options = {"area": [corner(scene, tmp_path)], "prediction": {"turns": "flips"}}
    (here,) = predict(trained, [scene], tmp_path / "here", **options)
    monkeypatch.chdir(scene.parent)
    (there,) = predict(trained, [scene.name], tmp_path / "there", devices=2, **options)
    assert here.layers.keys() == there.layers.keys()
    for ours, theirs in zip(here.layers.values(), there.layers.values(), strict=True):
        assert np.array_equal(Raster(ours).read()[0], Raster(theirs).read()[0])


COMMAND = [sys.executable, "-c", "from rsadapt.cli import main; main()", "predict"]


def is_over(group):
    """Whether nobody of a process group is left, soon."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("way", ["--devices", "--workers"])
def test_interrupted_processes_stop_and_the_same_command_goes_on(trained, scene, tmp_path, way):
    """Ctrl-C as a terminal sends it: to the whole process group."""
    if way == "--workers":
        pytest.importorskip("distributed", reason="dask.distributed is not installed")
    image = Raster(scene)
    values = np.tile(image.read()[0], (1, 60, 4))
    big = tmp_path / "big.tif"
    write_raster(big, values, replace(image.grid, height=9600, width=640), nodata=0)
    out = tmp_path / "maps"
    command = [*COMMAND, trained, "--scene", big, "--out", out, way, "2"]
    process = subprocess.Popen(
        [str(word) for word in command],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(out.glob(".big.panels/lane-*")) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in said
    assert is_over(process.pid)
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    (here,) = predict(trained, [big], tmp_path / "here")
    for ours in here.layers.values():
        assert np.array_equal(Raster(ours).read()[0], Raster(out / ours.name).read()[0])


def corner(scene, folder, pixels=70):
    """A vector file, in degrees, that holds the first rows and columns of a scene."""
    t = Raster(scene).grid.transform
    square = box(t.c, t.f + pixels * t.e, t.c + pixels * t.a, t.f)
    file = folder / "corner.gpkg"
    geopandas.GeoSeries([square], crs=Raster(scene).grid.crs.to_wkt()).to_crs(4326).to_file(file)
    return file


def test_outside_an_area_is_nodata_and_inside_nothing_changes(trained, scene, tmp_path):
    (whole,) = predict(trained, [scene], tmp_path / "whole")
    (part,) = predict(trained, [scene], tmp_path / "part", area=[corner(scene, tmp_path)])
    for before, after in zip(whole.layers.values(), part.layers.values(), strict=True):
        (expected, valid), (codes, mapped) = Raster(before).read(), Raster(after).read()
        assert not mapped[70:].any()
        assert not mapped[:, 70:].any()
        assert np.array_equal(mapped[:70, :70], valid[:70, :70])
        # tiles of 96 with an overlap of 32: up to 64 one tile decides in both
        assert np.array_equal(codes[:, :64, :64], expected[:, :64, :64])


def test_scenes_outside_an_area_are_left_out(trained, configuration, scene, tmp_path):
    far = tmp_path / "far.tif"
    image = Raster(scene)
    t = image.grid.transform
    moved = type(t)(t.a, 0, t.c + 5000, 0, t.e, t.f)
    write_raster(far, image.read()[0], replace(image.grid, transform=moved), nodata=0)
    area = [corner(scene, tmp_path)]
    with pytest.warns(UserWarning, match=r"1 of 2 scenes lie outside the area of .*corner\.gpkg"):
        (made,) = predict(trained, [far, scene], tmp_path / "maps", area=area)
    assert made.layers["classes"].name == "scene_1_classes.tif"
    with pytest.raises(DataError, match=r"none of the 1 scenes, such as .*far\.tif, has a pixel"):
        predict(trained, [far], tmp_path / "none", area=area)
    assert not (tmp_path / "none").exists()


def test_the_border_of_the_run_is_nodata(configuration, scene, tmp_path):
    image = Raster(scene)
    values, _ = image.read()
    values[:, :, :20] = 50_000 if values.dtype == np.uint16 else 255
    values[:, :, 20] = 1  # whatever lay there before, the border ends here
    file = tmp_path / "bordered.tif"
    write_raster(file, values, image.grid, nodata=0, descriptions=image.descriptions)
    colour = values[:, 0, 0].tolist()
    changes = [f"target.border={colour}", "target.border_tolerance=0"]
    with pytest.warns(UserWarning, match="found no border"):
        run = train(configuration, out=tmp_path / "run", assignments=changes).run.path
    (made,) = predict(run, [file], tmp_path / "maps")
    _, mapped = Raster(made.layers["classes"]).read()
    assert not mapped[:, :20].any()
    assert np.array_equal(mapped[:, 20:], Raster(file).read()[1][:, 20:])
    (made,) = predict(run, [file], tmp_path / "again", domain="source")
    assert Raster(made.layers["classes"]).read()[1][:, :20].all()


def test_scenes_of_another_ground_size_than_trained_at_are_told_of(trained, scene, tmp_path):
    own = Raster(scene)
    values, _ = own.read()
    size = own.grid.pixel_size[0]

    def at(factor):
        t = own.grid.transform
        transform = Affine(factor * t.a, 0, t.c, 0, factor * t.e, t.f)
        file = tmp_path / f"times_{factor}.tif"
        write_raster(file, values, replace(own.grid, transform=transform), nodata=0)
        return file

    predict(trained, [scene, at(1.09), at(0.92)], tmp_path / "as_trained")
    words = f"times_2.tif and 1 more of 3 scenes: a pixel is {2 * size:.3g} m on the ground, .*"
    cure = f"trained at {size:.3g} m, .* --set target.pixel={size:.3g},"
    with pytest.warns(UserWarning, match=words + cure) as told:
        predict(trained, [scene, at(2), at(0.5)], tmp_path / "maps")
    assert len(told) == 1


def test_remote_scene_gives_the_local_ones_map(trained, scene, served, tmp_path):
    shutil.copy(scene, served.folder / "far.tif")
    addresses = [f"{served.url('far.tif')}?signature=secret", "s3://bucket/far.tif"]
    (near,) = predict(trained, [scene], tmp_path / "near")
    for number, address in enumerate(addresses):
        (far,) = predict(trained, [address], tmp_path / str(number))
        ours, theirs = far.layers["classes"], near.layers["classes"]
        assert ours.name == "far_classes.tif"
        assert np.array_equal(Raster(ours).read()[0], Raster(theirs).read()[0])
        assert Raster(ours).tags["RSADAPT_SCENE"] == address.partition("?")[0]


def test_item_of_bands_gives_the_map_of_one_file(trained, scene, tmp_path):
    image = Raster(scene)
    values, assets = image.read()[0], {}
    for plane, name in zip(values, BANDS, strict=True):
        write_raster(tmp_path / f"{name}.tif", plane[None], image.grid, nodata=image.nodata)
        assets[name] = {"href": f"{name}.tif", "roles": ["data"]}
    item = tmp_path / "item.json"
    item.write_text(json.dumps({"stac_version": "1.0.0", "assets": assets}))
    one, two = predict(trained, [scene, item], tmp_path / "maps")
    assert two.layers["classes"].name == "item_classes.tif"
    assert np.array_equal(
        Raster(one.layers["classes"]).read()[0], Raster(two.layers["classes"]).read()[0]
    )
