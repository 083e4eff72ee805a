"""The door: light to open, one verb a command, one line for every error."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from typer.testing import CliRunner

from rsadapt import cli
from rsadapt.errors import DataError, InterruptedTrainingError
from rsadapt.geo.grid import Grid
from rsadapt.geo.writer import write_raster
from rsadapt.verbs import demo, predict, train

HEAVY = ("torch", "rasterio", "lightning_fabric", "albumentations", "matplotlib", "rich", "numpy")
VERBS = ("demo", "init", "inspect", "train", "evaluate", "predict")
QUICK = (
    "network.encoder=small",
    "training.steps=2",
    "training.workers=0",
    "device.accelerator=cpu",
)


def invoke(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def loaded_by(code, modules):
    """Which of some modules are there after running code that leaves by itself."""
    show = f"print('loaded:', *[name for name in {modules!r} if name in sys.modules])"
    done = python(f"import sys\ntry:\n    {code}\nfinally:\n    {show}")
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("loaded:")


def test_import_and_help_load_nothing_heavy():
    code = "import rsadapt, rsadapt.cli; sys.argv = ['rsadapt', '--help']; rsadapt.cli.main()"
    text, _, loaded = loaded_by(code, (*HEAVY, "pydantic"))
    assert all(f"  {verb} " in text for verb in VERBS)
    assert loaded == "\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_loads_nothing_heavy(verb):  # but pydantic, where typer itself asks for it
    code = f"import rsadapt.cli; sys.argv = ['rsadapt', '{verb}', '--help']; rsadapt.cli.main()"
    text, _, loaded = loaded_by(code, HEAVY)
    assert text.startswith(f"Usage: rsadapt {verb} ")
    assert loaded == "\n"


def test_version():
    assert invoke("--version").output.startswith("rsadapt ")


@pytest.mark.parametrize(
    "arguments", [["fly"], ["predict"], ["predict", "run", "--sceen", "a.tif"]]
)
def test_misuse_exits_with_2(arguments):
    assert invoke(*arguments).exit_code == 2


def test_options_of_several_values_are_repeated():
    given = "run --scene a b --out o --scene=c --flag"
    parsed = cli.repeat_options(given.split(), ["--scene"])
    assert " ".join(parsed) == "run --scene a --scene b --out o --scene=c --flag"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("a.tif: broken\n  in two lines"), 1, "error: a.tif: broken in two lines\n"),
        (InterruptedTrainingError("saved at step 3"), 130, "error: saved at step 3\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (OSError(errno.ENOSPC, "No space left", "a"), 1, "error: [Errno 28] No space left: 'a'\n"),
        (PermissionError("not yours"), 1, "error: not yours\n"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(monkeypatch, error, code, line):
    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr(train, "train", fail)
    result = invoke("train", "any.yaml")
    assert (result.exit_code, result.stderr) == (code, line)


def test_libraries_are_hushed_and_rsadapt_is_not():
    done = python("""
import logging, warnings
from rsadapt import cli
cli._hush_libraries()
logging.getLogger("rasterio._env").error("CPLE_AppDefined")
warnings.warn_explicit("noise", UserWarning, "torch.py", 1, module="torch.nn")
warnings.warn_explicit("own words", UserWarning, "raster.py", 1, module="rsadapt.geo.raster")
""")
    assert "own words" in done.stderr
    assert "noise" not in done.stderr
    assert "CPLE" not in done.stderr


def test_predict_passes_its_options_on(monkeypatch):
    calls = []
    monkeypatch.setattr(
        predict, "predict", lambda *args, **options: calls.append((args, options)) or []
    )
    arguments = "predict run --scene a.tif b.tif --out maps --domain source --overwrite"
    assert invoke(*arguments.split()).exit_code == 0
    ((args, options),) = calls
    assert args == (Path("run"), [Path("a.tif"), Path("b.tif")], Path("maps"))
    assert (options["domain"], options["overwrite"]) == ("source", True)


def test_demo_shows_its_table_and_files(monkeypatch, tmp_path):
    row = {"miou": 0.4, "std": None, "seeds": {3: 0.4}, "classes": {"road": 0.4}, "seconds": 2.0}
    made = SimpleNamespace(table={"adapted": row}, files={"the map": tmp_path / "map.tif"})
    monkeypatch.setattr(demo, "demo", lambda out, *, seed, progress: made)
    result = invoke("demo", "--out", tmp_path, "--seed", 3)
    assert result.exit_code == 0
    assert "40.0" in result.stdout
    assert f"the map: {tmp_path / 'map.tif'}" in result.stdout


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """A folder with two regions, entered."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for number, region in enumerate(("a", "b")):
        transform = Affine(10, 0, 5e5 + 1e4 * number, 0, -10, 5e6)
        grid = Grid(64, 96, transform, CRS.from_epsg(32633))
        values = random.integers(1, 255, (3, *grid.shape)).astype(np.uint8)
        write_raster(tmp_path / region / "scene.tif", values, grid, nodata=0)
        labels = random.integers(1, 4, grid.shape).astype(np.uint8)
        write_raster(tmp_path / region / "labels" / "scene.tif", labels, grid)
    return tmp_path


def test_all_verbs_from_files_to_scores(scenes):
    def succeed(*arguments):
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output
        return result

    succeed("init", "--source", "a/*.tif", "--labels", "a/labels/*.tif", "--target", "b/*.tif")
    inspected = succeed("inspect", "rsadapt.yaml", "--json", "inspection.json")
    assert "EPSG:32633" in inspected.stdout
    assert json.loads(Path("inspection.json").read_text())["source"]["training"]["pixels"] > 0
    changes = [part for change in QUICK for part in ("--set", change)]
    trained = succeed("train", "rsadapt.yaml", *changes)
    assert "rsadapt predict runs/rsadapt --scene" in trained.stdout
    assert "class 3" in succeed("evaluate", "runs/rsadapt", "--json", "scores.json").stdout
    assert json.loads(Path("scores.json").read_text()).keys() == {"source"}
    predicted = succeed("predict", "runs/rsadapt", "--scene", "b/scene.tif", "--out", "maps")
    assert "maps/scene_classes.tif" in predicted.stdout
    assert "scene.tif: 64 of 64" in predicted.stderr
    assert "confusion" in succeed("evaluate", "maps", "--labels", "b/labels").stdout
