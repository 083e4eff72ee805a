"""Train: a configuration and its changes become a run."""

from pathlib import Path

import pytest
import yaml

from rsadapt import config
from rsadapt.benchmark_rows import IMAGENET
from rsadapt.errors import ConfigError, OutputExistsError
from rsadapt.verbs import train as verb
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


# Initial weights


@pytest.fixture
def settings_of(monkeypatch):
    """The settings, as values, that `train` would train."""
    monkeypatch.setattr(verb, "train_run", lambda settings, *_, **__: settings.model_dump())
    return train


OTHERS = ["init_from=other.pth", "network.pretrained=true"]


@pytest.mark.parametrize("recipe", ["gta5-cityscapes", "streets"])
def test_imagenet_weights_get_the_frames_they_expect(settings_of, recipe):
    changes = ["init_from=other.pth", "network.encoder=resnet18", "optimiser.updates=once"]
    values = settings_of(Path(recipe), init="imagenet", assignments=changes)
    assert config.change(values, IMAGENET) == values
    assert values["init_from"] is None


def test_imagenet_weights_leave_scenes_their_bands_and_statistics(settings_of):
    plain, values = (settings_of(Path("demo"), init=init) for init in ("random", "imagenet"))
    assert values == config.change(plain, {"network.pretrained": True})


def test_random_weights_take_the_place_of_others(settings_of):
    plain = settings_of(Path("gta5-cityscapes"))
    others = settings_of(Path("gta5-cityscapes"), assignments=OTHERS)
    assert others["init_from"].endswith("other.pth")
    assert plain == settings_of(Path("gta5-cityscapes"), init="random", assignments=OTHERS)


def test_weights_of_a_file_change_nothing_else(settings_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = settings_of(Path("gta5-cityscapes"))
    for init in (Path("own.pth"), "own.pth"):
        values = settings_of(Path("gta5-cityscapes"), init=init)
        assert values == plain | {"init_from": str(tmp_path / "own.pth")}
