"""Files that would run code where they are unpickled are refused, wherever they are read."""

import io
import pickle
import shutil
from pathlib import PurePath

import numpy as np
import pytest
import torch
import yaml
from canary import Canary
from typer.testing import CliRunner

from rsadapt.adapt import checkpoint
from rsadapt.cli import app
from rsadapt.data.prepared import Prepared
from rsadapt.errors import DataError
from rsadapt.nets.encoder import imagenet_url


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


@pytest.fixture
def project(values, tmp_path, monkeypatch):
    """A folder with a finished run, entered."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pair.yaml").write_text(yaml.safe_dump(values))
    assert CliRunner().invoke(app, ["train", "pair.yaml", "--out", "run"]).exit_code == 0
    return tmp_path


def refused(command, *more):
    """What the command line says of a command that it must refuse in one sentence."""
    told = CliRunner().invoke(app, [*command.split(), *more])
    assert told.exit_code == 1, told.output
    assert "Traceback" not in told.output
    (said,) = (line for line in told.output.splitlines() if line.startswith("error: "))
    assert told.output.endswith(f"{said}\n")
    return said


def as_torch_saves(content, file):
    torch.save(content, file)


def as_torch_saved_in_2018(content, file):
    torch.save(content, file, _use_new_zipfile_serialization=False)


def as_pickle_dumps(content, file):
    file.write_bytes(pickle.dumps(content, 2))


def as_this_project_saves(content, file):
    checkpoint.save(file, content)


WAYS = [as_torch_saves, as_torch_saved_in_2018, as_pickle_dumps, as_this_project_saves]
SCENE = "--scene {root}/target/scene_1.tif --out maps"
COMMANDS = [
    "train pair.yaml --out run --resume",
    "train pair.yaml --out new --init run",
    "train pair.yaml --out new --init run/checkpoint.pt",
    "evaluate run",
    f"predict run {SCENE}",
    "export-weights run --out new.safetensors",
    "evaluate run/checkpoint.pt --recipe pair.yaml",
    f"predict run/checkpoint.pt --recipe pair.yaml {SCENE}",
]


@pytest.mark.parametrize("write", WAYS)
def test_a_checkpoint_with_code_is_refused_by_every_verb(project, values, canary, write):
    file = project / "run" / "checkpoint.pt"
    state = checkpoint.load(file)
    write({**state, "extra": Canary(canary)}, file)
    before = sorted(project.rglob("*"))
    for command in COMMANDS:
        said = refused(command.format(root=values["root"]))
        assert "checkpoint.pt: not loaded, since it holds more than tensors" in said, command
    assert sorted(project.rglob("*")) == before
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()  # it would have


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".tar", ".safetensors"])
def test_a_weight_file_with_code_is_refused(project, canary, suffix):
    file = project / f"weights{suffix}"
    torch.save({"state_dict": {"weight": torch.zeros(2), "extra": Canary(canary)}}, file)
    for command in ("train pair.yaml --out new --init {}", "evaluate {} --recipe pair.yaml"):
        assert f"weights{suffix}: " in refused(command.format(file.name))
    assert not canary.exists()
    assert not (project / "new").exists()


def test_code_in_an_older_checkpoint_is_refused_when_its_turn_comes(project, canary):
    run = project / "run"
    shutil.copy(run / "checkpoint.pt", run / "checkpoint-00000001.pt")
    torch.save({"extra": Canary(canary)}, run / "checkpoint-00000001.pt")
    (run / "checkpoint.pt").write_bytes(b"damaged")
    assert "00000001.pt: not loaded, since" in refused("evaluate run")
    assert not canary.exists()


def test_code_in_the_place_of_torchvisions_weights_is_refused(project, values, canary, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(project))
    file = project / "hub" / "checkpoints" / PurePath(imagenet_url("resnet18")).name
    file.parent.mkdir(parents=True)
    torch.save({"extra": Canary(canary)}, file)
    (project / "pair.yaml").write_text(
        yaml.safe_dump({**values, "network": {"encoder": "resnet18", "pretrained": True}})
    )
    assert "damaged or could run code; it was not" in refused("train pair.yaml --out new")
    assert not canary.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir"])
def test_code_in_a_configuration_is_refused(project, canary, tag):
    text = (project / "pair.yaml").read_text()
    (project / "pair.yaml").write_text(f"{text}\nseed: {tag} [{canary}]\n")
    assert "pair.yaml" in refused("train pair.yaml --out new")
    refused("train", "run/config.yaml", "--out", "new", "--set", f"seed={tag} [{canary}]")
    (project / "run" / "config.yaml").write_text(f"seed: {tag} [{canary}]\n")
    (project / "pair.yaml").write_text(text)
    assert "run/config.yaml: expected" in refused("train pair.yaml --out run --resume")
    assert not canary.exists()


def test_code_in_the_place_of_statistics_is_not_run(project, values, canary):
    """They only spare reading, so that what cannot be read is taken again."""
    run = project / "run"
    for file in run.glob("checkpoint*.pt"):
        file.unlink()
    (run / "statistics.json").write_bytes(pickle.dumps(Canary(canary), 0))
    assert (
        CliRunner().invoke(app, ["train", "pair.yaml", "--out", "run", "--resume"]).exit_code == 0
    )
    assert not canary.exists()


def test_code_in_a_prepared_frame_is_refused(tmp_path, canary):
    content = io.BytesIO()
    np.save(content, np.array([Canary(canary)], dtype=object), allow_pickle=True)
    (tmp_path / "000000.npy").write_bytes(content.getvalue())
    with pytest.raises(DataError, match=r"000000\.npy: "):
        Prepared(tmp_path, (4, 8, 8)).image(0)
    assert not canary.exists()
