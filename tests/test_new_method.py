"""A new method is one file and one line: it is known, trained and resumed, its teacher used."""

from pathlib import Path

import consistency
import pytest
import torch
from nested import same
from safetensors.torch import load_file

from rsadapt import build, checkpoints, config
from rsadapt.adapt import checkpoint
from rsadapt.build.methods import METHODS
from rsadapt.errors import ConfigError
from rsadapt.model import load
from rsadapt.run import RunFolder
from rsadapt.training import train_run


@pytest.fixture
def chosen(values, monkeypatch):
    """The configuration of a run by it: known by one line."""
    monkeypatch.setitem(METHODS, "consistency", consistency.Consistency)
    values["method"] = {"name": "consistency", "weight": 0.5}
    values["training"] |= {"steps": 4, "save_every": 2, "keep": 4}

    def parsed(*assignments):
        return config.parse(config.assign(values, list(assignments)), where="test")

    return parsed


def test_its_file_is_one_screen():
    assert len(Path(consistency.__file__).read_text().splitlines()) < 120


def test_its_settings_are_its_fields(chosen):
    assert chosen().method == consistency.Consistency(weight=0.5)
    assert chosen().model_dump()["method"]["decay"] == 0.99
    assert config.parse(chosen().model_dump(), where="again") == chosen()
    for wrong, says in (
        ("method.weigth=1", r"unknown key 'method.weigth'; did you mean 'weight'\?"),
        ("method.decay=1.0", r"'method.decay': input should be less than 1, found 1.0"),
        ("method.noise=loud", r"'method.noise': input should be a valid number"),
        ("network.levels=3", "method.segmentation has 2 weights"),
    ):
        with pytest.raises(ConfigError, match=says):
            chosen(wrong)


def test_its_teacher_is_what_is_scored_saved_and_started_from(chosen, tmp_path):
    run = train_run(chosen(), tmp_path / "run").run
    state = checkpoint.load(run.checkpoint)
    teacher = state["memory"]["teacher"]
    assert teacher["updates"] == 4
    assert not same(teacher["network"], state["network"])
    model = load(run.path)
    assert same(model.parts.network.state_dict(), teacher["network"])
    assert same(model.parts.statistics.state_dict(), teacher["statistics"])
    assert same(load_file(run.weights), dict(model.parts.network.state_dict()))
    again = train_run(
        chosen(f"init_from={run.path}", "optimiser.rate=0.0", "training.steps=1"), tmp_path / "next"
    )
    started = checkpoint.load(again.run.checkpoint)
    weights = dict(model.parts.network.named_parameters())
    assert all(torch.equal(started["network"][name], weights[name]) for name in weights)


def test_it_goes_on_bit_for_bit(chosen, tmp_path):
    whole = checkpoint.load(train_run(chosen(), tmp_path / "whole").run.checkpoint)
    train_run(chosen(), tmp_path / "parts")
    run = RunFolder(tmp_path / "parts")
    run.older_checkpoint(2).replace(run.checkpoint)
    train_run(chosen(), run.path, resume=True)
    parts = checkpoints.load(run.path).state
    for part in ("network", "statistics", "others", "memory", "optimisers", "random"):
        assert same(parts[part], whole[part]), part


def test_its_memory_is_estimated(chosen):
    without = build.estimate(chosen("method={name: source_only}"), 4)
    assert build.estimate(chosen(), 4).parameters == 2 * without.parameters
