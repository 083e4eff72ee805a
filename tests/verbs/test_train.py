"""Train: a configuration and its changes become a run."""

import pytest
import yaml

from rsadapt.errors import ConfigError, OutputExistsError
from rsadapt.verbs.train import train


def test_run_holds_the_resolved_configuration(trained, configuration):
    values = yaml.safe_load((trained / "config.yaml").read_text())
    assert values["root"] == str(configuration.parent)
    assert values["optimiser"]["momentum"] == 0.9
    assert (trained / "checkpoint.pt").is_file()


def test_default_folder_is_named_after_the_configuration(configuration, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = train(configuration, assignments=["training.steps=1"])
    assert outcome.run.path.resolve() == tmp_path / "runs" / "pair"


def test_assignments_change_fields(configuration, tmp_path):
    changes = ["training.steps=1", "method={name: source_only, segmentation: [0.5, 1.0]}"]
    outcome = train(configuration, out=tmp_path / "run", assignments=changes)
    assert outcome.step == 1
    assert "name: source_only" in outcome.run.configuration.read_text()


def test_wrong_assignment_names_the_nearest_field(configuration, tmp_path):
    with pytest.raises(ConfigError, match=r"'training\.step'; did you mean 'steps'"):
        train(configuration, out=tmp_path / "run", assignments=["training.step=1"])


def test_run_is_not_overwritten(trained, configuration):
    before = (trained / "checkpoint.pt").read_bytes()
    with pytest.raises(OutputExistsError, match="already holds a run"):
        train(configuration, out=trained)
    assert (trained / "checkpoint.pt").read_bytes() == before
