"""Runs by a mean teacher, besides what holds for every method: mapped and scored by it."""

from pathlib import Path

import pytest
import torch

from rsadapt import config
from rsadapt.adapt import checkpoint
from rsadapt.errors import ConfigError
from rsadapt.training import train_run
from rsadapt.verbs.evaluate import evaluate
from rsadapt.verbs.predict import predict

ALL = {"name": "mic", "feature_distance": 0.005, "feature_classes": [1, 2], "ignored_top": 4}
"""The method that does all that the others of its family do."""


@pytest.fixture
def chosen(values):
    """The configuration of a short run by a method, with changes."""

    def parsed(method, *assignments):
        values["method"] = method
        values["training"]["steps"] = 4
        return config.parse(config.assign(values, list(assignments)), where="test")

    return parsed


@pytest.mark.filterwarnings("ignore:16-mixed on the CPU")
@pytest.mark.parametrize(
    "changes",
    [
        ["device.precision=bf16-mixed", "training.recompute=true"],
        ["device.precision=64-true", "bands=[2]"],
        ["device.precision=16-mixed", "training.accumulate=2", "network.batch_norm=source"],
        ["network.levels=1", "method.segmentation=[1.0]", "network.batch_norm=frozen"],
    ],
    ids=lambda changes: changes[0],
)
def test_all_of_it_trains_as_settings_say(chosen, changes, tmp_path):
    run = train_run(chosen(ALL, "training.steps=2", *changes), tmp_path / "run").run
    lines = [event["losses"] for event in run.events() if "losses" in event]
    assert len(lines) == 2
    assert all(torch.tensor(value).isfinite() for line in lines for value in line.values())


def test_what_a_run_cannot_do_is_said_before_it_begins(chosen, tmp_path):
    with pytest.raises(ConfigError, match=r"method.patch is 64 and training.tile 64; .* choose 8"):
        train_run(chosen({"name": "mic", "patch": 64}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_its_teacher_is_scored_and_maps(chosen, values, tmp_path):
    """A decay of 0.9 keeps it apart from its student, whose scores are others."""
    run = train_run(
        chosen({"name": "dacs", "decay": 0.9}, "optimiser.rate=0.01"), tmp_path / "run"
    ).run
    (validation,) = run.validations().values()
    assert evaluate(run.path) == validation
    scene = min(Path(values["root"], "target").glob("*.tif"))
    assert len(predict(run.path, [scene], tmp_path / "maps")) == 1
    state = checkpoint.load(run.checkpoint)
    state["memory"]["teacher"]["network"] = state["network"]
    checkpoint.save(run.checkpoint, state)
    assert evaluate(run.path) != validation
