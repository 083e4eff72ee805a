"""Evaluate: a run's own score, and the score of its maps, tell the same."""

import numpy as np
import pytest
import yaml

from rsadapt.errors import DataError
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.run import RunFolder
from rsadapt.verbs.evaluate import evaluate, evaluate_maps
from rsadapt.verbs.predict import predict
from rsadapt.verbs.train import train


@pytest.fixture(scope="module")
def maps(trained, configuration, tmp_path_factory):
    out = tmp_path_factory.mktemp("maps")
    predict(trained, [configuration.parent / "target" / "scene_1.tif"], out)
    return out


def test_run_scores_as_it_did_at_the_end_of_training(trained):
    assert evaluate(trained) == RunFolder(trained).validation(2)


def test_map_scores_as_a_slow_count(maps, configuration):
    labels = configuration.parent / "target" / "labels"
    report = evaluate_maps(maps, labels)
    codes, mapped = Raster(maps / "scene_1_classes.tif").read()
    truth = Raster(labels / "scene_1.tif").read()[0]
    seen = mapped & (truth[0] > 0)
    assert report["totals"]["pixels"] == seen.sum()
    agreement = (codes[0] == truth[0])[seen].mean()
    assert report["totals"]["overall_accuracy"] == pytest.approx(agreement)


def test_perfect_maps_score_one(configuration):
    labels = configuration.parent / "target" / "labels"
    report = evaluate_maps(labels, labels, classes=configuration)
    assert report["totals"]["miou"] == 1
    assert report["totals"]["missed"] == 0


def test_maps_without_a_class_table_need_one(configuration):
    labels = configuration.parent / "target" / "labels"
    with pytest.raises(DataError, match="--classes"):
        evaluate_maps(labels, labels)


def test_labels_on_another_grid_are_refused(maps, tmp_path):
    written = Raster(maps / "scene_1_classes.tif")
    small = written.grid.crop(written.grid.window.__class__(0, 0, 50, 50))
    write_raster(tmp_path / "scene_1.tif", np.ones((50, 50), np.uint8), small)
    with pytest.raises(DataError, match="grid"):
        evaluate_maps(maps, tmp_path)


def test_run_without_labels_to_score_says_so(configuration, tmp_path):
    values = yaml.safe_load(configuration.read_text())
    values["root"] = str(configuration.parent)
    values["source"]["validation"] = values["target"]["validation"] = {"share": 0.0}
    (tmp_path / "none.yaml").write_text(yaml.safe_dump(values))
    run = train(tmp_path / "none.yaml", out=tmp_path / "run", assignments=["training.steps=1"])
    with pytest.raises(DataError, match="no region of this run had labels"):
        evaluate(run.run.path)
