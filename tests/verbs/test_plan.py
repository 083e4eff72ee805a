"""A dry run checks what a run would, writes nothing, and says what would run."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rsadapt import console
from rsadapt.cli import app
from rsadapt.errors import ConfigError, DataError, OutputExistsError
from rsadapt.verbs.plan import plan
from rsadapt.verbs.train import train


def files(folder):
    return {file: file.stat().st_mtime_ns for file in Path(folder).rglob("*")}


def test_plan_says_what_would_run_and_writes_nothing(configuration, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = files(configuration.parent)
    found = plan(configuration, assignments=["target.labels=[]"])
    assert files(tmp_path) == {}
    assert files(configuration.parent) == before
    assert found.run == Path("runs/pair")
    source, target = found.domains["source"], found.domains["target"]
    assert (source.kind, source.training.images) == ("scenes", 1)
    assert source.training.pixels + source.validation.pixels <= 160 * 160
    assert source.training.labelled
    assert not target.training.labelled
    assert (found.device, found.processes, found.precision) == ("cpu", 1, "32-true")
    assert set(found.parameters) == {"network", "discriminator_1", "discriminator_2"}
    assert found.method["name"] == "output_space"
    assert found.free_bytes > 0
    assert found.memory["total"] == sum(found.memory.values()) / 2 > found.memory["parameters"] > 0
    json.dumps(found.to_dict())


@pytest.mark.parametrize(
    "change", ["training.steps=2", "optimiser.name=adamw", "method={name: source_only}"]
)
def test_checkpoint_is_about_as_large_as_said(configuration, tmp_path, change):
    change = [change, "network.encoder=resnet18"]
    found = plan(configuration, out=tmp_path / "run", assignments=change)
    run = train(configuration, out=tmp_path / "run", assignments=change).run
    assert found.checkpoint_bytes == pytest.approx(run.checkpoint.stat().st_size, rel=0.02)


def test_what_train_refuses_a_plan_refuses(configuration, trained, tmp_path):
    with pytest.raises(OutputExistsError, match="already holds a run"):
        plan(configuration, out=trained)
    with pytest.raises(ConfigError, match="did you mean"):
        plan(configuration, out=tmp_path / "run", assignments=["training.step=1"])
    with pytest.raises(DataError, match="tile"):
        plan(configuration, out=tmp_path / "run", assignments=["training.tile=512"])


@pytest.mark.parametrize("asked", [["--tensorboard"], ["--set", "training.tensorboard=true"]])
def test_dry_run_asks_for_what_curves_need(configuration, tmp_path, monkeypatch, asked):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    command = ["train", str(configuration), "--out", str(tmp_path / "run"), *asked]
    for way in (["--dry-run"], []):
        refused = CliRunner().invoke(app, [*command, *way])
        assert refused.exit_code == 1
        assert "the package tensorboard is not installed" in refused.output


def test_dry_run_shows_a_table(configuration, tmp_path):
    command = ["train", str(configuration), "--out", str(tmp_path / "run"), "--dry-run"]
    shown = CliRunner().invoke(app, [*command, "--set", "style={name: fda}"])
    assert shown.exit_code == 0
    assert "nothing was written" in shown.stdout
    for part in (
        "small, 2 levels",
        "output_space",
        "water",
        "32-true on cpu, 1 process",
        "fda, beta 0.01",
    ):
        assert part in shown.stdout
    assert not (tmp_path / "run").exists()
    refused = CliRunner().invoke(app, [*command, "--resume"])
    assert refused.exit_code == 2
    assert "leave out --resume" in refused.output.replace("\n", " ")


def test_table_says_what_is_due_when(configuration, tmp_path):
    values = plan(configuration, out=tmp_path / "run").to_dict()
    values["training"] |= {"save_every": 1500, "validate_every": 0}
    (column,) = [c for c in console.plan_table(values).columns if c.header.plain]
    cells = [cell.plain for cell in column.cells]
    assert any(cell.startswith("every 1,500 steps and at the end, 2 of about") for cell in cells)
    assert cells[-1] == "at the end"
