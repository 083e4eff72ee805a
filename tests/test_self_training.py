"""Runs by a mean teacher: trained in every way, resumed, mapped, scored and exported."""

from pathlib import Path

import pytest
import torch
from nested import same
from safetensors.torch import load_file

from rsadapt import build, checkpoints, config
from rsadapt.adapt import checkpoint
from rsadapt.errors import ConfigError
from rsadapt.model import load
from rsadapt.training import train_run
from rsadapt.verbs.evaluate import evaluate
from rsadapt.verbs.predict import predict

SETTINGS = {
    "mean_teacher": {},
    "dacs": {"decay": 0.9},
    "daformer": {"feature_classes": [1, 2], "ignored_top": 4},
    "mic": {"patch": 16, "feature_distance": 0.005},
}
EACH = pytest.mark.parametrize("name", SETTINGS)


@pytest.fixture
def chosen(values):
    """The configuration of a short run by a method, with changes."""

    def parsed(name, *assignments):
        values["method"] = {"name": name} | SETTINGS[name]
        values["training"] |= {"steps": 4, "save_every": 2, "keep": 4}
        return config.parse(config.assign(values, list(assignments)), where="test")

    return parsed


@EACH
def test_it_goes_on_bit_for_bit_and_its_teacher_is_used(chosen, name, tmp_path):
    settings = chosen(name, "training.accumulate=2")
    whole = checkpoint.load(train_run(settings, tmp_path / "whole").run.checkpoint)
    run = train_run(settings, tmp_path / "parts").run
    run.older_checkpoint(2).replace(run.checkpoint)
    train_run(settings, run.path, resume=True)
    parts = checkpoints.load(run.path).state
    for part in ("network", "statistics", "others", "memory", "optimisers", "random"):
        assert same(parts[part], whole[part]), part
    model = load(run.path)
    assert same(model.parts.network.state_dict(), whole["memory"]["teacher"]["network"])
    assert same(load_file(run.weights), dict(model.parts.network.state_dict()))


@EACH
def test_its_memory_is_estimated(chosen, name):
    networks = 3 if "feature" in str(SETTINGS[name]) else 2
    found = build.estimate(chosen(name), 4)
    assert (
        found.parameters
        == networks * build.estimate(chosen(name, "method={name: source_only}"), 4).parameters
    )


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
    """By the method that does all that the others do."""
    run = train_run(chosen("mic", "training.steps=2", *changes), tmp_path / "run").run
    lines = [event["losses"] for event in run.events() if "losses" in event]
    assert len(lines) == 2
    assert all(torch.tensor(value).isfinite() for line in lines for value in line.values())


def test_what_a_run_cannot_do_is_said_before_it_begins(chosen, tmp_path):
    with pytest.raises(ConfigError, match=r"method.patch is 64 and training.tile 64; .* choose 8"):
        train_run(chosen("mic", "method.patch=64"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_its_teacher_is_scored_and_maps(chosen, values, tmp_path):
    """A decay of 0.9 keeps a teacher of four steps apart from its student."""
    run = train_run(chosen("dacs", "optimiser.rate=0.01"), tmp_path / "run").run
    (validation,) = run.validations().values()
    assert evaluate(run.path) == validation
    scene = min(Path(values["root"], "target").glob("*.tif"))
    assert len(predict(run.path, [scene], tmp_path / "maps")) == 1
    state = checkpoint.load(run.checkpoint)
    state["memory"]["teacher"]["network"] = state["network"]
    checkpoint.save(run.checkpoint, state)
    assert evaluate(run.path) != validation
