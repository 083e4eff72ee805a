"""Curves and tiles are read back as TensorBoard reads them, a resumed run's without doubles."""

import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rsadapt import build, config
from rsadapt.curves import scalars
from rsadapt.errors import InterruptedTrainingError, MissingFileError
from rsadapt.training import train_run


@pytest.fixture
def settings(values):
    changes = ["training.tensorboard=true", "training.validate_every=2", "training.save_every=2"]
    return config.parse(config.assign(values, changes), where="test")


def read(run):
    found = EventAccumulator(str(run.tensorboard), size_guidance={"images": 0, "scalars": 0})
    found.Reload()
    return found


def test_every_event_and_both_domains_tiles_are_there(settings, tmp_path):
    run = train_run(settings, tmp_path / "run").run
    found, events = read(run), run.events()
    for event in events:
        for tag, value in scalars(event, build.class_scheme(settings).names).items():
            points = {point.step: point.value for point in found.Scalars(tag)}
            assert points[event["step"]] == pytest.approx(value, rel=1e-6)
    assert {"losses/segmentation_2", "rates/network", "share_target/water"} <= set(
        found.scalars.Keys()
    )
    assert {"validation_target/miou", "figures/accuracy_source_1"} <= set(found.scalars.Keys())
    size = settings.training.tile
    widths = {"source/1: image, label, prediction": 3, "target/1: image, prediction": 2}
    for tag, pictures in widths.items():
        assert [image.step for image in found.Images(tag)] == [2, 3]
        shown = found.Images(tag)[0]
        assert (shown.height, shown.width) == (size, pictures * size + 4 * (pictures - 1))
    assert len(found.images.Keys()) == 4


def test_resumed_run_goes_on_with_the_curves_it_began(settings, tmp_path):
    def stop(event):
        if event["step"] == 3 and "losses" in event:
            raise InterruptedTrainingError("as if killed after step 3 was logged")

    longer = settings.model_copy(
        update={"training": settings.training.model_copy(update={"steps": 5})}
    )
    with pytest.raises(InterruptedTrainingError):
        train_run(longer, tmp_path / "run", watch=stop)
    run = train_run(longer, tmp_path / "run", resume=True).run
    assert len(list(run.tensorboard.iterdir())) == 2
    steps = [point.step for point in read(run).Scalars("losses/segmentation_1")]
    assert steps == [1, 2, 3, 4, 5]


def test_without_the_package_one_sentence_says_so(settings, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(MissingFileError, match=r"pip install 'rsadapt\[tensorboard\]'"):
        train_run(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_shares_are_curves_by_class_and_undefined_scores_none():
    classes = {"water": {"iou": 0.5}, "wood": {"iou": None}}
    event = {
        "step": 1,
        "figures": {"share_target": [0.25, 0.75]},
        "validation": {"target": {"classes": classes, "totals": {"miou": np.float64(0.5)}}},
    }
    assert scalars(event, ["water", "wood"]) == {
        "share_target/water": 0.25,
        "share_target/wood": 0.75,
        "validation_target/miou": 0.5,
        "validation_target/iou/water": 0.5,
    }
