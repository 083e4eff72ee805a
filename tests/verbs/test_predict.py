"""Predict: a run and scenes become maps that lie right and tell their origin."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rsadapt.classes import NODATA, ClassScheme
from rsadapt.data.procedural.world import BANDS
from rsadapt.errors import DataError, OutputExistsError
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
    written, image = Raster(made.classes), Raster(scene)
    assert written.grid.matches(image.grid)
    codes, mapped = written.read()
    assert np.array_equal(mapped, image.read()[1])
    assert set(np.unique(codes)) <= {*range(1, 8), NODATA}


def test_map_tells_its_classes_and_run(trained, scene, tmp_path):
    (made,) = predict(trained, [scene], tmp_path)
    tags = Raster(made.classes).tags
    assert ClassScheme.from_dict(json.loads(tags["RSADAPT_CLASSES"])).codes == tuple(range(1, 8))
    assert tags["RSADAPT_RUN"] == str(trained)
    assert tags["RSADAPT_STEP"] == "2"


def test_domain_decides_normalisation_and_statistics(trained, scene, tmp_path):
    maps = [
        predict(trained, [scene], tmp_path / domain, domain=domain)[0].confidence
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
    first, second = (Raster(made.confidence).read()[0] for made in maps)
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
        return Raster(made.classes)

    coarse = predict_at(2 * size)
    assert coarse.grid.crs == own.grid.crs
    assert coarse.grid.pixel_size == pytest.approx((2 * size, 2 * size))
    assert coarse.grid.height == pytest.approx(own.grid.height / 2, abs=1)
    assert coarse.read()[1].mean() == pytest.approx(own.read()[1].mean(), abs=0.05)
    assert predict_at(1.001 * size).grid.matches(own.grid)
