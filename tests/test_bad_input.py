"""Whatever is wrong with what a user gives: one line, exit code 1, and nothing written."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from affine import Affine
from rasterio.crs import CRS
from typer.testing import CliRunner

from rsadapt.cli import app
from rsadapt.geo.grid import Grid
from rsadapt.geo.writer import write_raster

SETTINGS = {
    "classes": [
        {"name": "water", "id": 1, "colour": "#0000ff"},
        {"name": "wood", "id": 2, "colour": "#00ff00"},
    ],
    "source": {"scenes": ["source.tif"], "labels": ["label.tif"]},
    "target": {"scenes": ["target.tif"]},
    "network": {"encoder": "small", "rates": [1, 2]},
    "method": {"name": "source_only"},
    "training": {"steps": 1, "batch_size": 2, "tile": 32, "workers": 0},
    "prediction": {"tile": 32, "overlap": 8},
    "device": {"accelerator": "cpu"},
}


def grid(height=64, width=64, left=5e5):
    return Grid(height, width, Affine(10, 0, left, 0, -10, 5e6), CRS.from_epsg(32633))


def noise(bands, place, low=1, high=255):
    return np.random.default_rng(0).integers(low, high, (bands, *place.shape)).astype(np.uint8)


def write_project(folder):
    write_raster(folder / "source.tif", noise(3, grid()), grid(), nodata=0)
    write_raster(folder / "label.tif", noise(1, grid(), 1, 3), grid())
    write_raster(folder / "target.tif", noise(3, grid(left=6e5)), grid(left=6e5), nodata=0)
    (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project with a finished run in the folder `run`."""
    folder = tmp_path_factory.mktemp("trained")
    write_project(folder)
    arguments = ["train", str(folder / "config.yaml"), "--out", str(folder / "run")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def project(trained, tmp_path, monkeypatch):
    """A copy of that project, entered."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def nothing(_folder):
    pass


def remove(name):
    return lambda folder: (folder / name).unlink()


def garble(name):
    return lambda folder: (folder / name).write_bytes(b"this is no raster")


def truncate(name, share):
    def cut(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(share * len(data))])

    return cut


def rewrite(name, values, place):
    return lambda folder: write_raster(folder / name, values, place, nodata=0)


def configure(**changes):
    return lambda folder: (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS | changes))


OTHER_CLASSES = [{"name": "rock", "id": 1, "colour": "#777777"}, SETTINGS["classes"][1]]
SHIFTED = grid(left=5e5 + 1e5)
TRAIN = "train config.yaml --out new"
PREDICT = "predict run --scene target.tif --out maps"
NOWHERE = "http://127.0.0.1:9/a.tif"
INIT = "init --source source.tif --labels label.tif --target target.tif --out new.yaml"


@dataclass(frozen=True)
class Case:
    name: str
    spoil: object
    command: str
    says: str


CASES = [
    Case("no configuration", remove("config.yaml"), TRAIN, "config.yaml"),
    Case("no scene", remove("target.tif"), TRAIN, "target.tif"),
    Case("no label", remove("label.tif"), TRAIN, "label.tif"),
    Case("configuration is no text", garble("config.yaml"), TRAIN, "key: value"),
    Case("scene is no raster", garble("source.tif"), TRAIN, "source.tif"),
    Case("half a scene", truncate("target.tif", 0.5), TRAIN, "target.tif"),
    Case("nearly a scene", truncate("source.tif", 0.95), TRAIN, "source.tif"),
    Case("half a label", truncate("label.tif", 0.5), TRAIN, "label.tif"),
    Case("nearly a label", truncate("label.tif", 0.95), TRAIN, "label.tif"),
    Case(
        "label beside its image",
        rewrite("label.tif", noise(1, grid(), 1, 3), SHIFTED),
        TRAIN,
        "label.tif: .*elsewhere",
    ),
    Case(
        "no such CRS",
        configure(target=SETTINGS["target"] | {"crs": "EPSG:1"}),
        TRAIN,
        "target.crs.*EPSG:32636",
    ),
    Case(
        "pixel larger than the scene",
        configure(target=SETTINGS["target"] | {"pixel": 1e5}),
        TRAIN,
        "target.tif: .*smaller 'pixel'",
    ),
    Case(
        "unknown label id",
        rewrite("label.tif", noise(1, grid(), 1, 4), grid()),
        TRAIN,
        r"label.tif: .*3 \(\d+ pixels\)",
    ),
    Case(
        "other band count",
        rewrite("target.tif", noise(4, grid()), grid()),
        TRAIN,
        "source 3, target 4",
    ),
    Case(
        "target is all nodata",
        rewrite("target.tif", 0 * noise(3, grid()), grid()),
        TRAIN,
        "target region: .*no valid pixel",
    ),
    Case(
        "source is all nodata",
        rewrite("source.tif", 0 * noise(3, grid()), grid()),
        TRAIN,
        "source region: .*no .*valid pixel",
    ),
    Case(
        "scene smaller than a window", nothing, f"{TRAIN} --set training.tile=128", "training.tile"
    ),
    Case(
        "unknown key", configure(trainin={"steps": 1}), TRAIN, "'trainin'; did you mean 'training'"
    ),
    Case("unknown inner key", nothing, f"{TRAIN} --set training.step=9", "did you mean 'steps'"),
    Case("no assignment", nothing, f"{TRAIN} --set training.steps", "key=value"),
    Case(
        "other class table",
        configure(init_from="run", classes=OTHER_CLASSES),
        TRAIN,
        "another class table",
    ),
    Case("no checkpoint", configure(init_from="nowhere"), TRAIN, "nowhere"),
    Case("folder holds a run", nothing, "train config.yaml --out run", "already holds a run"),
    Case("run is a file", nothing, "train config.yaml --out target.tif", "target.tif: exists"),
    Case("nothing to resume", nothing, f"{TRAIN} --resume", "no run here"),
    Case("inspect half a label", truncate("label.tif", 0.5), "inspect config.yaml", "label.tif"),
    Case(
        "inspect unknown key", nothing, "inspect config.yaml --set seeed=1", "did you mean 'seed'"
    ),
    Case("predict without a run", nothing, PREDICT.replace("run", "nowhere"), "nowhere"),
    Case("predict without a scene", remove("target.tif"), PREDICT, "target.tif"),
    Case("predict half a scene", truncate("target.tif", 0.5), PREDICT, "target.tif"),
    Case(
        "predict too few bands",
        rewrite("target.tif", noise(2, grid()), grid()),
        PREDICT,
        "target.tif: has bands 1 to 2",
    ),
    Case("predict into a file", nothing, PREDICT.replace("maps", "label.tif"), "label.tif"),
    Case("checkpoint is damaged", truncate("run/checkpoint.pt", 0.5), PREDICT, "checkpoint.pt"),
    Case("evaluate no run", nothing, "evaluate nowhere", "nowhere"),
    Case("evaluate no maps", nothing, "evaluate nowhere --labels run", "nowhere"),
    Case("init without a match", nothing, INIT.replace("target.tif", "none*.tif"), "none"),
    Case(
        "init over a file", nothing, INIT.replace("new.yaml", "config.yaml"), "config.yaml: exists"
    ),
    Case("init half a label", truncate("label.tif", 0.5), INIT, "label.tif"),
    Case("init a server that is not there", nothing, INIT.replace("target.tif", NOWHERE), NOWHERE),
    Case(
        "predict a server that is not there",
        nothing,
        PREDICT.replace("target.tif", NOWHERE),
        NOWHERE,
    ),
    Case(
        "train on a server that is not there",
        configure(target={"scenes": [NOWHERE]}),
        TRAIN,
        f"{NOWHERE}: .*connection",
    ),
    Case(
        "no file of a band",
        configure(target={"band_files": {"red": "*_red.tif"}}),
        TRAIN,
        r"\*_red.tif: no such file",
    ),
    Case("demo in a full folder", nothing, "demo --out run", "run: exists"),
]


def contents(folder: Path):
    """Every file and folder with what it holds."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_line_exit_code_one_and_nothing_written(project, case):
    case.spoil(project)
    before = contents(project)
    result = CliRunner().invoke(app, case.command.split())
    *progress, line = result.stderr.splitlines()
    assert result.exit_code == 1, result.output
    assert line.startswith("error: ")
    assert all(re.match(r"(read|score) .*: \d+ of \d+", said) for said in progress)
    assert re.search(case.says, line), line
    assert "Traceback" not in result.output
    assert contents(project) == before
