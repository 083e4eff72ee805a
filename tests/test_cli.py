"""The door: light to open, one verb a command, one line for every error."""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from affine import Affine
from rasterio.crs import CRS
from typer.testing import CliRunner

from rsadapt.cli import app
from rsadapt.cli.door import repeat_options
from rsadapt.data.procedural.street import write_streets
from rsadapt.errors import DataError, InterruptedTrainingError
from rsadapt.geo.grid import Grid
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.verbs import benchmark, compare, demo, draw_sample, init, predict, prepare, train

HEAVY = ("torch", "rasterio", "lightning_fabric", "albumentations", "matplotlib", "rich", "numpy")
VERBS = (
    "demo",
    "init",
    "inspect",
    "train",
    "evaluate",
    "predict",
    "export",
    "polygonize",
    "check",
    "prepare",
    "export-weights",
    "benchmark",
    "compare",
)
QUICK = (
    "network.encoder=small",
    "training.steps=2",
    "training.workers=0",
    "device.accelerator=cpu",
)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_only_some_verbs_run_in_several_processes(monkeypatch):
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    result = invoke("evaluate", "run")
    assert result.exit_code == 1
    assert "evaluate runs in one process, and torchrun started 2" in result.stderr


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


def test_help_of_export_weights_names_every_suffix_that_is_written():
    assert "new .pth, .pt or .safetensors file" in invoke("export-weights", "--help").output


def test_version():
    assert invoke("--version").output.startswith("rsadapt ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("fly", "No such command 'fly'"),
        ("predict", "Missing argument"),
        ("predict run --sceen a.tif", "No such option"),
        ("check --data .", "Missing argument 'NAME...'"),
        ("check gta5", "Missing option '--data'"),
        ("benchmark gta5-cityscapes --data .", "Missing option '--init'"),
        ("benchmark x --data . --init random --seeds x", "'--seeds': .* 0,1,2, found 'x'"),
        ("benchmark x --data . --init random --seeds 0,-1", "'--seeds': .* found '0,-1'"),
        ("benchmark x --data . --init random --variant old", "'old' is not one of"),
        ("export-weights run --out a.pth --names ours", "'ours' is not one of"),
        ("evaluate run --classes demo", "'--classes': goes with a folder of maps"),
        ("evaluate maps --labels . --recipe demo", "'--labels': scores a folder of maps, without"),
        ("evaluate maps --labels . --set seed=1", "'--labels': scores a folder of maps, without"),
    ],
)
def test_misuse_exits_with_2_and_says_what_is_wrong(arguments, says):
    result = invoke(*arguments.split())
    assert result.exit_code == 2
    assert re.search(says, result.stderr)


def test_options_of_several_values_are_repeated():
    given = "run --scene a b --out o --scene=c --flag"
    parsed = repeat_options(given.split(), ["--scene"])
    assert " ".join(parsed) == "run --scene a --scene b --out o --scene=c --flag"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("a.tif: broken\n  in two lines"), 1, "error: a.tif: broken in two lines\n"),
        (
            InterruptedTrainingError("saved at step 3"),
            130,
            "saved at step 3; the same command with --resume goes on\n",
        ),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (
            OSError(errno.ENOSPC, "No space left", "a"),
            1,
            "error: a: cannot be made, written or read (No space left); free space there, or "
            "choose another place\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "a", None, "b"),
            1,
            "error: b: cannot be made, written or read (Permission denied); change its "
            "permissions, or choose another place\n",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/x"),
            1,
            "error: /proc/x: cannot be made, written or read (No such file or directory); check "
            "the path, or choose another place\n",
        ),
        (PermissionError("not yours"), 1, "error: not yours\n"),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"),
            1,
            "error: a/b: a folder of this path is a file; choose another path\n",
        ),
    ],
)
def test_errors_are_one_line_and_an_exit_code(monkeypatch, error, code, line):
    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr(train, "train", fail)
    result = invoke("train", "any.yaml")
    assert (result.exit_code, result.stderr) == (code, line)


@pytest.mark.parametrize(
    ("module", "command", "line"),
    [
        (benchmark, "benchmark x --data . --init random", "stopped; the same command goes on\n"),
        (compare, "compare demo", "stopped; the same command goes on\n"),
        (demo, "demo", "stopped\n"),
    ],
)
def test_a_stop_is_no_error_and_says_how_to_go_on(monkeypatch, module, command, line):
    def stop(*_arguments, **_options):
        raise InterruptedTrainingError("stopped")

    monkeypatch.setattr(module, command.split()[0], stop)
    result = invoke(*command.split())
    assert (result.exit_code, result.stderr) == (130, line)


def test_nothing_between_commas_counts_for_nothing(monkeypatch):
    calls = []

    def take(*_arguments, **options):
        calls.append((options["rows"], options["seeds"]))
        raise DataError("enough")

    monkeypatch.setattr(benchmark, "benchmark", take)
    command = "benchmark x --data . --init random --seeds 0,1, --rows"
    invoke(*command.split(), "multi,, single,")
    assert calls == [(["multi", "single"], [0, 1])]


def test_seeds_of_a_comparison_are_a_number_or_a_list(monkeypatch):
    calls = []

    def take(*_arguments, **options):
        calls.append(list(options["seeds"]))
        raise DataError("enough")

    monkeypatch.setattr(compare, "compare", take)
    for seeds in ("3", "3,", "0,7"):
        invoke("compare", "demo", "--methods", "cbst", "--seeds", seeds)
    assert calls == [[0, 1, 2], [3], [0, 7]]


def test_libraries_are_hushed_and_rsadapt_is_not():
    done = python("""
import logging, warnings
from rsadapt.cli.door import hush_libraries
hush_libraries()
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
    assert args == (Path("run"), ["a.tif", "b.tif"], Path("maps"))
    assert (options["domain"], options["overwrite"]) == ("source", True)


def test_demo_shows_its_table_and_files(monkeypatch, tmp_path):
    row = {"miou": 0.4, "std": None, "seeds": {3: 0.4}, "classes": {"road": 0.4}, "seconds": 2.0}
    made = SimpleNamespace(table={"adapted": row}, files={"the map": tmp_path / "map.tif"})
    monkeypatch.setattr(demo, "demo", lambda out, *, seed, progress: made)
    result = invoke("demo", "--out", tmp_path, "--seed", 3)
    assert result.exit_code == 0
    assert "40.0" in result.stdout
    assert f"the map: {tmp_path / 'map.tif'}" in result.stdout


def test_commands_to_go_on_with_are_quoted_for_a_shell(monkeypatch):
    run = Path("my runs/it's one")
    done = SimpleNamespace(run=SimpleNamespace(path=run), step=2, validation={}, feeding=None)
    monkeypatch.setattr(train, "train", lambda *_, **__: done)
    monkeypatch.setattr(init, "init", lambda *_, out, **__: out)
    drawn = SimpleNamespace(path=run, units={}, hectares={})
    monkeypatch.setattr(draw_sample, "draw_sample", lambda *_, **__: drawn)
    monkeypatch.setattr(prepare, "prepare", lambda *_, **__: [])
    files = ("--source", "a.tif", "--labels", "b.tif", "--target", "c.tif")
    told = [
        *invoke("train", "any.yaml").stdout.splitlines()[-2:],
        *invoke("init", *files, "--out", run).stdout.splitlines()[-2:],
        *invoke("draw-sample", "a.tif", "--out", run).stdout.splitlines()[-1:],
    ]
    assert [shlex.split(line) for line in told] == [
        ["rsadapt", "predict", str(run), "--scene", "FILE", "--out", "DIR"],
        ["rsadapt", "evaluate", str(run)],
        ["rsadapt", "inspect", str(run)],
        ["rsadapt", "train", str(run)],
        ["rsadapt", "assess", str(run)],
    ]
    last = invoke("prepare", "any.yaml", "--out", run).stdout.splitlines()[-1]
    assert shlex.split(last.partition(": ")[2]) == ["--set", f"prepared={run.resolve()}"]


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
    inspected = succeed(
        "inspect", "rsadapt.yaml", "--json", "inspection.json", "--html", "both.html"
    )
    assert "EPSG:32633" in inspected.stdout
    assert "pixel size" not in inspected.stdout
    coarse = succeed("inspect", "rsadapt.yaml", "--set", "target.pixel=30")
    assert "pixel size: a pixel is 10 m on the ground in the source and 30 m" in coarse.stdout
    assert "--set source.pixel=30" in coarse.stdout
    assert Path("both.html").read_text().startswith("<!DOCTYPE html>")
    assert json.loads(Path("inspection.json").read_text())["source"]["training"]["pixels"] > 0
    changes = [part for change in QUICK for part in ("--set", change)]
    trained = succeed("train", "rsadapt.yaml", *changes)
    assert "rsadapt predict runs/rsadapt --scene" in trained.stdout
    assert "class 3" in succeed("evaluate", "runs/rsadapt", "--json", "scores.json").stdout
    assert json.loads(Path("scores.json").read_text()).keys() == {"source"}
    predicted = succeed("predict", "runs/rsadapt", "--scene", "b/scene.tif", "--out", "maps")
    assert "maps/scene_classes.tif" in predicted.stdout
    assert "scene.tif, pixels: 6,144 of 6,144" in predicted.stderr
    assert "Warning" not in predicted.output
    finer = Raster("b/scene.tif")
    t = finer.grid.transform
    grid = replace(finer.grid, transform=Affine(5, 0, t.c, 0, -5, t.f))
    write_raster(Path("finer.tif"), finer.read()[0], grid, nodata=0)
    told = succeed("predict", "runs/rsadapt", "--scene", "finer.tif", "--out", "finer")
    words = "Warning: finer.tif: a pixel is 5 m on the ground, and the target was trained at 10 m"
    assert words in told.stderr
    assert "confusion" in succeed("evaluate", "maps", "--labels", "b/labels").stdout


# Image folders

RECIPE = "gta5-cityscapes"
SMALL = {
    "class_table": "streets",
    "source.size": "{height: 32, width: 64}",
    "target.size": "{height: 32, width: 64}",
    "network.encoder": "small",
    "network.layout": "torchvision",
    "optimiser.updates": "once",
    "method.discriminator_width": "4",
    "training.steps": "1",
    "training.horizon": "1",
    "training.validate_every": "1",
    "training.workers": "0",
    "device": "{accelerator: cpu}",
}
SET = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
FRAME = "data/Cityscapes/leftImg8bit/val/laternau/laternau_000000_000019_leftImg8bit.png"
LABEL = FRAME.replace("leftImg8bit/", "gtFine/").replace("_leftImg8bit", "_gtFine_labelIds")


class Payload:
    """Makes the folder `pwned` where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Small streets in `data`, a run in `run`, its weights in `own.safetensors`, odd files."""
    folder = tmp_path_factory.mktemp("streets")
    write_streets(
        folder / "data",
        seed=0,
        source_frames=2,
        target_frames=2,
        validation_frames=1,
        height=64,
        width=128,
    )
    trained = invoke("train", RECIPE, "--data", folder / "data", "--out", folder / "run", *SET)
    assert trained.exit_code == 0, trained.output
    own = folder / "own.safetensors"
    exported = invoke("export-weights", folder / "run", "--out", own, "--names", "own")
    assert (exported.exit_code, exported.stdout) == (0, f"{own}\n")
    torch.save({"layer.weight": torch.zeros(2), "payload": Payload()}, folder / "pickled.pth")
    torch.save({"alien": torch.zeros(2)}, folder / "alien.pth")
    (folder / "text.pth").write_text("hello")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def scratch(streets, tmp_path, monkeypatch):
    """A copy of that folder, entered."""
    shutil.copytree(streets, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def succeed(text, *more):
    result = invoke(*text.split(), *more)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_bare_weights_score_and_map_as_their_run(scratch):
    assert "initial weights: random" in succeed("evaluate run --json run.json")
    succeed(f"evaluate own.safetensors --recipe {RECIPE} --data data --json bare.json", *SET)
    bare, run = (json.loads(Path(name).read_text())["target"] for name in ("bare.json", "run.json"))
    assert bare["initial_weights"].startswith("unknown; scored is own.safetensors (sha256")
    assert (bare["counts"], run["initial_weights"]) == (run["counts"], "random")
    frame = Path(FRAME).name
    assert succeed(f"predict run --scene {FRAME} --out ours").splitlines() == [
        f"ours/ids/{frame}",
        f"ours/colours/{frame}",
    ]
    succeed(f"predict own.safetensors --recipe {RECIPE} --scene {FRAME} --out theirs", *SET)
    for kind in ("ids", "colours"):
        ours, theirs = (Path(out, kind, frame).read_bytes() for out in ("ours", "theirs"))
        assert ours == theirs


def test_training_starts_from_the_weights_named(scratch):
    text = succeed(f"train {RECIPE} --data data --init own.safetensors --out next", *SET)
    assert "own.safetensors (sha256" in text
    assert (
        "own.safetensors (sha256"
        in json.loads(Path("next/run.json").read_text())["initial_weights"]
    )


def test_training_starts_from_weights_named_by_a_word(scratch):
    assert "initial weights: random" in succeed(
        f"train {RECIPE} --data data --init random --out next --set init_from=gone.pth", *SET
    )
    result = invoke("train", RECIPE, "--data", "data", "--init", "imagenet", "--out", "new", *SET)
    assert "there are no weights of the small encoder" in result.stderr


def test_check_exits_with_1_until_all_is_there(scratch):
    Path(FRAME).write_bytes(b"no image")
    result = invoke("check", RECIPE, "--data", "data")
    assert result.exit_code == 1
    assert re.search(r"(?m)^all +2 +24,966 +0 +0 +0 +0", result.stdout)
    assert re.search(rf"(?m)^damaged: .*{Path(FRAME).name}: expected an image", result.stdout)
    assert result.stdout.count("is not complete; it takes") == 2
    assert "check GTA5 all: 2 of 2" in result.stderr
    fast = invoke("check", "gta5", "--data", "data", "--fast")
    assert (fast.exit_code, fast.stderr) == (1, "")
    assert "none was decoded" in fast.stdout


def test_check_of_a_complete_data_set_exits_with_0(scratch):
    """By the official counts; files need no content to be counted and paired."""
    rome = scratch / "data" / "NTHU_Datasets" / "Rome"
    names = {"Images/Train": "{}.jpg", "Images/Test": "{}.jpg", "Labels/Test": "{}_eval.png"}
    for (folder, name), count in zip(names.items(), (3200, 100, 100), strict=True):
        (rome / folder).mkdir(parents=True)
        for number in range(count):
            (rome / folder / name.format(number)).touch()
    assert "not complete" not in succeed("check rome --data data --fast")
    (rome / "Labels/Test/7_eval.png").unlink()
    found = invoke("check", "rome", "--data", "data", "--fast")
    assert found.exit_code == 1
    assert "test: images without label: 7\n" in found.stdout


def test_prepared_frames_are_trained_with_as_the_command_says(scratch):
    *folders, advice = succeed(f"prepare {RECIPE} --data data --out frames", *SET).splitlines()
    assert [Path(folder).name for folder in folders] == [
        "gta5-all-64x32",
        "cityscapes-train-64x32",
    ]
    option, change = advice.split()[-2:]
    succeed(f"train {RECIPE} --data data --out prepared", *SET, option, change)
    ours, theirs = (
        torch.load(f"{run}/checkpoint.pt", weights_only=True)["network"]
        for run in ("run", "prepared")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_prepared_frames_by_a_relative_path_start_at_the_datas_root(scratch):
    succeed(f"prepare {RECIPE} --data data --out frames", *SET)
    train = f"train {RECIPE} --data data --out prepared --set"
    result = invoke(*train.split(), "prepared=frames", *SET)
    assert result.exit_code == 1
    assert re.search(
        rf"{scratch}/data/frames/gta5-all-64x32: .* starts at the data's root, {scratch}/data: "
        r"give its full path, as `prepare` printed it",
        result.stderr,
    )
    shutil.move("frames", "data/frames")
    succeed(train, "prepared=frames", *SET)


def test_benchmark_prints_the_table_and_its_files(scratch):
    arguments = f"benchmark {RECIPE} --data data --init random --seeds 0,1 --out bench --rows"
    text = succeed(arguments, "source-only, multi", *SET)
    assert "# GTA5 -> Cityscapes, as published" in text
    assert re.search(r"\| multi \| .* ± .* \| 2 \| .* \| 42\.4 \| Tsai et al\. 2018", text)
    files = text.splitlines()[-3:]
    assert files == ["bench/table.md", "bench/table.json", "bench/table.png"]
    assert Path(files[0]).read_text() in text
    assert succeed(arguments, "source-only, multi", *SET) == text  # nothing is trained again
    other = invoke(*arguments.split(), "multi", "--variant", "paper", *SET)
    assert other.exit_code == 1
    assert "holds a run of another configuration" in other.stderr


def test_seeds_that_disagree_on_a_fact_both_have_their_say(scratch):
    arguments = f"benchmark {RECIPE} --data data --init random --seeds 0,1 --out bench --rows"
    assert "- platform: seed 0" not in succeed(arguments, "source-only", *SET)
    record = Path("bench/runs/seed-1/source-only/run.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"platform": "a toaster"}))
    text = succeed(arguments, "source-only", *SET)
    assert re.search(r"(?m)^- platform: seed 0 .*, seed 1 a toaster$", text)


@pytest.fixture(scope="module")
def damage(streets):
    """Spoils one file of the folder entered, by what is wrong with it."""
    whole = (streets / FRAME).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    source = Path("data/GTA5/images/00001.png")
    return {
        "": lambda: None,
        "half a frame": lambda: Path(FRAME).write_bytes(whole[: len(whole) // 2]),
        "a flipped bit": lambda: source.write_bytes(flipped),
        "a folder for a frame": lambda: (Path(FRAME).unlink(), Path(FRAME).mkdir()),
        "no label": lambda: Path("data/GTA5/labels/00002.png").unlink(),
        "no validation labels": lambda: shutil.rmtree("data/Cityscapes/gtFine/val"),
        "colours for labels": lambda: shutil.copy(FRAME, LABEL),
    }


TRAIN = f"train {RECIPE} --data data --out new"
SCORE = f"evaluate {{}} --recipe {RECIPE} --data data"
BENCH = f"benchmark {RECIPE} --data data --out new --init"
MISTAKES = [
    ("", "train gta5-citiscapes --out new", "no recipe is called 'gta5-citiscapes'; there are"),
    ("", f"train {RECIPE} --data nowhere --out new", "nowhere/GTA5: .*01_images.zip"),
    ("", f"{TRAIN} --init gone.pth", "gone.pth: no checkpoint here; name a run folder or a weight"),
    ("", f"{TRAIN} --init empty", "empty/checkpoint.pt: no checkpoint here"),
    ("", f"{TRAIN} --init text.pth", "text.pth: damaged or no checkpoint"),
    ("", f"{TRAIN} --init alien.pth", "alien.pth: expected tensors by names of a known kind"),
    ("", f"{TRAIN} --init pickled.pth", "pickled.pth: not loaded, .* could run code"),
    ("", f"{TRAIN} --set prepared=nowhere", "nowhere/.*: .*prepare the frames first"),
    ("", f"{TRAIN} --set target.split=trian", "Cityscapes has the splits train, val, .*'trian'"),
    ("", f"train {RECIPE} --data data --out own.safetensors/a", "a folder of this path is a file"),
    ("a flipped bit", TRAIN, r"00001.png: expected a sound PNG, found a wrong checksum"),
    ("no label", TRAIN, r"GTA5 'all' has no labels .* for 1 of 2 images: 00002"),
    ("no validation labels", TRAIN, "gtFine/val.*found none; it takes .* holds leftImg8bit.*Fine$"),
    ("colours for labels", TRAIN, "_gtFine_labelIds.png: expected labels of one band"),
    (
        "",
        f"evaluate own.safetensors --recipe {RECIPE}",
        r"configs/data/Cityscapes: .*, found none; it takes .*; if it lies elsewhere, name the "
        r"folder that holds Cityscapes by --data$",
    ),
    ("", SCORE.format("gone.pth"), "gone.pth: no checkpoint here"),
    ("", SCORE.format("pickled.pth"), "pickled.pth: not loaded, .* could run code"),
    ("", SCORE.format("alien.pth"), "alien.pth: expected tensors by names of a known kind"),
    ("", "evaluate own.safetensors", r"own.safetensors: bare weights; .*\(--recipe\)"),
    ("", "evaluate run --data nowhere", "nowhere/.*: expected .* it takes"),
    ("", "evaluate run --set seed=1", "the settings of a run stay"),
    ("", "evaluate run --json empty", "empty: exists already; choose another name"),
    (
        "half a frame",
        "evaluate run --data data",
        "laternau_000000.*: expected a whole PNG, .* cut short",
    ),
    ("", "predict run --scene gone.png --out new", "gone.png: expected an image, found no file"),
    ("", f"predict run --scene {FRAME} gone.png --out new", "gone.png: expected an image"),
    ("", "predict run --scene empty --out new", "empty: expected an image, found a folder"),
    ("", f"predict run --scene {FRAME} {FRAME} --out new", "2 scenes are called 'laternau_"),
    ("", f"predict run --scene {LABEL} --out new", "expected a colour image of 3 bands"),
    ("", f"predict run --scene {FRAME} --out text.pth", "text.pth/.*a folder of this path is a fi"),
    ("half a frame", f"predict run --scene {FRAME} --out new", "expected a whole PNG"),
    ("a folder for a frame", f"predict run --scene {FRAME} --out new", "found a folder"),
    ("", "check gta6 --data data", "no data set is called 'gta6' .*gta5.* no recipe is called"),
    ("", "check empty --data data", "empty: not a readable text file"),
    ("", "check demo --data data", "look at them with: rsadapt inspect"),
    ("", f"prepare {RECIPE} --data data --out text.pth", "text.pth: is a file; name a folder"),
    ("", f"prepare {RECIPE} --data nowhere --out new", "nowhere/GTA5: .*01_images.zip"),
    ("", "prepare demo --out new", "only the frames of image folders can be prepared"),
    ("", "export-weights nowhere --out new.pth", "nowhere: no checkpoint here"),
    ("", "export-weights run --out new.pth", "no published names of a SmallEncoder's"),
    ("", "export-weights run --out new.txt --names own", "ends in .pth, .pt or .safetensors"),
    ("", "export-weights run --out text.pth --names own", "text.pth: exists already"),
    ("", "export-weights run --out gone/new.pth --names own", "gone: no such folder; make it"),
    ("", "export-weights pickled.pth --out new.pth", "could run code"),
    ("", "benchmark gta6 --data data --init random --out new", "no benchmark is called 'gta6'"),
    ("", f"benchmark {RECIPE} --data nowhere --init random --out new", "nowhere/GTA5: "),
    ("", f"{BENCH} random --rows mutli", "no row is called 'mutli'; there are source-only"),
    ("", f"{BENCH} random --rows ,", "expected at least one row, found none"),
    ("", f"{BENCH} random --seeds ,", "expected at least one seed, found none"),
    ("", f"{BENCH} random --rows multi,single,multi", "row multi is asked for more than once"),
    ("", f"{BENCH} random --seeds 1,0,1", "seed 1 is asked for more than once"),
    ("", f"{BENCH} random --set seed=3", "'seed' of a benchmark is given by --seeds"),
    ("", f"{BENCH} random --set root=elsewhere", "'root' of a benchmark is given by --data"),
    ("", f"{BENCH} random --set init_from=run", "'init_from' of a benchmark is given by --init"),
    ("", f"{BENCH} random --set method=3", "'method': expected a name and settings, found 3"),
    ("", f"{BENCH} random --set 'method={{name: source_only}}'", "choose methods by --rows"),
    ("", f"{BENCH} gone.pth --rows multi", "gone.pth: no weight file here; .* --init"),
    ("", f"{BENCH} own.safetensors --rows vgg", "name its initial weights with --vgg-init"),
    ("", f"{BENCH} pickled.pth --rows multi", "could run code"),
    ("no validation labels", f"{BENCH} random", "gtFine/val.*found none"),
]


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(("wrong", "command", "says"), MISTAKES)
def test_mistakes_with_folders_are_one_line_and_leave_nothing(
    scratch, damage, wrong, command, says
):
    damage[wrong]()
    before = contents(scratch)
    verb, *arguments = shlex.split(command)
    settings = SET if RECIPE in arguments and verb != "check" else []
    result = invoke(verb, *settings, *arguments)
    *progress, line = result.stderr.splitlines()
    assert result.exit_code == 1, result.output
    assert line.startswith("error: ")
    assert re.search(says, line), line
    assert all(re.match(r"(check|score) .*: \d+ of \d+", said) for said in progress)
    assert contents(scratch) == before  # and so no payload was run


def test_training_and_mapping_frames_take_no_raster_libraries(scratch):
    """Nor albumentations: a machine that only trains on image folders needs none of them."""
    done = python(f"""
import sys
for name in ("rasterio", "geopandas", "shapely", "albumentations"):
    sys.modules[name] = None
from pathlib import Path
import torch
torch.set_num_threads(1)
from rsadapt.verbs.evaluate import evaluate
from rsadapt.verbs.predict import predict
from rsadapt.verbs.train import train
settings = {SET[1::2]!r}
train(Path("{RECIPE}"), out=Path("light"), data=Path("data"), assignments=settings)
evaluate(Path("light"))
predict(Path("light"), [Path("{FRAME}")], Path("light-maps"))
""")
    assert done.returncode == 0, done.stderr
    ours, theirs = (
        torch.load(f"{run}/checkpoint.pt", weights_only=True)["network"] for run in ("run", "light")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert Path("light-maps", "ids", Path(FRAME).name).is_file()
