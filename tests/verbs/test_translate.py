"""Scenes in the target's look lie where the originals lie, and training goes on where it was."""

import json
import multiprocessing
import shutil
import signal
import time

import numpy as np
import pytest
import rasterio
import torch
import yaml
from affine import Affine
from nested import same
from typer.testing import CliRunner

from rsadapt import build
from rsadapt.adapt import checkpoint
from rsadapt.cli import app
from rsadapt.data.procedural.world import write_world
from rsadapt.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    InterruptedTrainingError,
    MissingFileError,
    OutputExistsError,
)
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.translator import open_translator, train_translator
from rsadapt.verbs.translate import translate

SMALL = (
    "translation.steps=4",
    "translation.tile=32",
    "translation.width=2",
    "translation.blocks=1",
    "translation.discriminator_width=2",
    "translation.pool=2",
    "training.log_every=1",
)


@pytest.fixture(scope="session")
def translator(configuration, tmp_path_factory):
    """A folder with a translator of four steps and what it wrote; read it only."""
    out = tmp_path_factory.mktemp("translator") / "run"
    translate(configuration, out=out, assignments=SMALL)
    return out


def pixels(file):
    with rasterio.open(file) as dataset:
        return dataset.read(), dataset.read_masks(), dataset.profile, dataset.descriptions


def check_aligned(written, original):
    """All but the values must be as the original has them."""
    values, masks, profile, names = pixels(written)
    before, there, expected, known = pixels(original)
    for key in ("crs", "transform", "width", "height", "count", "dtype", "nodata"):
        assert profile[key] == expected[key], key
    assert names == known
    assert (masks == there).all()
    assert (values != before).any()


def test_scenes_are_aligned_and_the_folder_is_a_runs(translator, configuration):
    original = configuration.parent / "source" / "scene_1.tif"
    check_aligned(translator / "scenes" / "scene_1.tif", original)
    assert [f.name for f in (translator / "scenes").iterdir()] == ["scene_1.tif"]
    lines = [json.loads(line) for line in (translator / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "losses" in line] == [1, 2, 3, 4]
    rates = [line["rates"]["network"] for line in lines if "losses" in line]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-4, 1e-4])
    report = json.loads((translator / "translation.json").read_text())
    assert set(report["discriminability"]) == {"untranslated", "translated"}


def test_they_train_a_network_with_the_labels_there_are(translator, configuration, tmp_path):
    values = yaml.safe_load(configuration.read_text())
    values["root"] = str(configuration.parent)
    values["source"]["scenes"] = [str(translator / "scenes" / "*.tif")]
    file = tmp_path / "translated.yaml"
    file.write_text(yaml.safe_dump(values))
    places = build.geotiff_places(build.configuration(file))
    scheme = build.class_scheme(build.configuration(file))
    before = build.geotiff_places(build.configuration(configuration))
    ours, theirs = (each.source.training.class_counts(scheme) for each in (places, before))
    assert (ours == theirs).all()


@pytest.fixture
def rotated(tmp_path):
    """A pair whose source lies rotated, with a corner of nodata, in bytes, of odd size."""
    write_world(tmp_path, size=96)
    for domain in ("source", "target"):
        for file in (tmp_path / domain).glob("*.tif"):
            file.unlink()
    random = np.random.default_rng(0)
    turned = Affine(1.7, 1.0, 500_000, 1.0, -1.7, 5_400_000)
    kept = 1 + random.integers(80, size=(2, 101, 83)).astype(np.uint8)
    kept[:, np.add.outer(np.arange(101), np.arange(83)) < 60] = 0
    names = ["one", "two"]
    grid = Grid(101, 83, turned, crs_of(32633))
    write_raster(tmp_path / "source" / "turned.tif", kept, grid, nodata=0, descriptions=names)
    write_raster(tmp_path / "source" / "labels" / "turned.tif", np.ones((101, 83), np.uint8), grid)
    other = (100 + random.integers(100, size=(2, 90, 90))).astype(np.uint8)
    write_raster(
        tmp_path / "target" / "other.tif",
        other,
        Grid(90, 90, Affine(2, 0, 0, 0, -2, 0), crs_of(32748)),
        nodata=0,
    )
    values = {
        "classes": [{"name": "one", "id": 1, "colour": "#ff0000"}],
        "source": {"scenes": ["source/*.tif"], "labels": ["source/labels/turned.tif"]},
        "target": {"scenes": ["target/*.tif"]},
        "network": {"encoder": "small", "rates": [1]},
        "method": {"name": "source_only"},
        "training": {"workers": 0},
        "prediction": {"tile": 40, "overlap": 16},
        "device": {"accelerator": "cpu"},
    }
    file = tmp_path / "rotated.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def test_rotated_scenes_with_nodata_stay_where_they_are(rotated, tmp_path):
    found = translate(rotated, out=tmp_path / "out", assignments=SMALL)
    (written,) = found.scenes
    check_aligned(written, tmp_path / "source" / "turned.tif")
    values, valid = Raster(written).read()
    target, _ = Raster(tmp_path / "target" / "other.tif").read()
    assert abs(values[:, valid].mean() - target.mean()) < 2 * target.std()


def test_what_is_not_resumed_or_overwritten_is_left(translator, configuration, tmp_path):
    with pytest.raises(OutputExistsError, match="already holds a run"):
        translate(configuration, out=translator, assignments=SMALL)
    out = tmp_path / "again"
    translate(configuration, out=out, trained=translator)
    with pytest.raises(OutputExistsError, match="choose another folder, or --overwrite"):
        translate(configuration, out=out, trained=translator)
    again = translate(configuration, out=out, trained=translator, overwrite=True).scenes[0]
    assert (pixels(again)[0] == pixels(translator / "scenes" / "scene_1.tif")[0]).all()


def test_a_strangers_scene_is_not_overwritten(translator, configuration, tmp_path):
    stranger = tmp_path / "scenes" / "scene_1.tif"
    stranger.parent.mkdir()
    stranger.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="exists already"):
        translate(configuration, out=tmp_path, trained=translator)
    assert stranger.read_bytes() == b"mine"


def test_originals_are_never_replaced(translator, configuration, tmp_path):
    values = yaml.safe_load(configuration.read_text())
    scene = next(iter(sorted(configuration.parent.glob(values["source"]["scenes"][0]))))
    label = next(iter(sorted(configuration.parent.glob(values["source"]["labels"][0]))))
    for file, original in ((scene, "scenes/a.tif"), (label, "labels/a.tif")):
        (tmp_path / original).parent.mkdir()
        shutil.copy(file, tmp_path / original)
    values |= {"root": str(tmp_path), "target": {"scenes": ["scenes/a.tif"]}}
    values["source"] |= {"scenes": ["scenes/a.tif"], "labels": ["labels/a.tif"]}
    (tmp_path / "pair.yaml").write_text(yaml.safe_dump(values))
    before = (tmp_path / "scenes/a.tif").read_bytes()
    with pytest.raises(OutputExistsError, match=r"a.tif: lies in .*scenes.*--out"):
        translate(tmp_path / "pair.yaml", out=tmp_path, trained=translator, overwrite=True)
    assert (tmp_path / "scenes/a.tif").read_bytes() == before


def test_other_bands_than_it_learned_from_are_refused(translator, trained, configuration, tmp_path):
    turned = ["source.bands=[4, 3, 2, 1]", "target.bands=[4, 3, 2, 1]"]
    says = r"was trained on bands \[1, 2, 3, 4\] .* reads \[4, 3, 2, 1\]"
    for given in ({"trained": translator}, {"check": trained}):
        with pytest.raises(ConfigError, match=says):
            translate(configuration, out=tmp_path / "out", assignments=turned, **given)


def settings(configuration, *changes):
    return build.configuration(configuration, [*SMALL, "training.save_every=1", *changes])


def learned(folder):
    state = checkpoint.load(folder / "checkpoint.pt")
    return {key: value for key, value in state.items() if key != "translator"}


def test_a_stopped_training_ends_with_the_same_bits(configuration, translator, tmp_path):
    def stop(event):
        if event.get("step") == 2:
            signal.raise_signal(signal.SIGINT)

    changed, out = settings(configuration, "training.save_every=500"), tmp_path / "parts"
    with pytest.raises(InterruptedTrainingError, match="stopped at step 2 of 4"):
        train_translator(changed, out, watch=stop)
    train_translator(changed, out, resume=True)
    assert same(learned(out), learned(translator))


@pytest.mark.filterwarnings("ignore:16-mixed on the CPU")
@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "16-mixed"])
def test_other_precisions(configuration, precision, tmp_path):
    changes = [*SMALL, f"device.precision={precision}", "translation.steps=2"]
    found = translate(configuration, out=tmp_path / "out", assignments=changes)
    check_aligned(found.scenes[0], configuration.parent / "source" / "scene_1.tif")
    network = learned(tmp_path / "out")["network"]
    expected = torch.float64 if precision == "64-true" else torch.float32
    assert {tensor.dtype for tensor in network.values()} == {expected}


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bits(configuration, tmp_path):
    changed = settings(configuration, "translation.steps=12", "device.threads=1")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_translator(changed, whole)
    processes = multiprocessing.get_context("forkserver")
    process = processes.Process(target=train_translator, args=(changed, parts))
    process.start()
    while process.is_alive() and not (parts / "checkpoint.pt").exists():
        time.sleep(0.001)
    process.kill()
    process.join(60)
    train_translator(changed, parts, resume=True)
    assert same(learned(parts), learned(whole))


def test_labels_change_nothing(configuration, translator, tmp_path):
    values = yaml.safe_load(configuration.read_text())
    values["root"] = str(configuration.parent)
    noise = tmp_path / "labels.tif"
    grid = Raster(configuration.parent / "source" / "scene_1.tif").grid
    write_raster(noise, np.full(grid.shape, 77, np.uint8), grid)  # an id that no class has
    values["source"]["labels"] = [str(noise)]
    file = tmp_path / "noise.yaml"
    file.write_text(yaml.safe_dump(values))
    train_translator(settings(file), tmp_path / "run")
    assert same(learned(tmp_path / "run"), learned(translator))


def test_appearance_adaptation_keeps_its_network(configuration, trained, tmp_path):
    copy = tmp_path / "copy.pt"
    copy.write_bytes((trained / "checkpoint.pt").read_bytes())
    changes = [
        "translation.fcan.windows=3",
        "translation.fcan.iterations=2",
        f"translation.fcan.weights={copy}",
    ]
    out = tmp_path / "out"
    first = translate(
        configuration, out=out, by="fcan", assignments=[*SMALL, *changes], check=trained
    )
    check_aligned(first.scenes[0], configuration.parent / "source" / "scene_1.tif")
    assert set(first.report["agreement"]) == {"untranslated", "translated"}
    copy.unlink()
    again = translate(configuration, out=tmp_path / "again", trained=out)
    assert (pixels(again.scenes[0])[0] == pixels(first.scenes[0])[0]).all()


def test_mistakes_are_told_in_sentences(configuration, trained, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="fcan needs a frozen network"):
        translate(configuration, out=out, by="fcan", assignments=SMALL)
    with pytest.raises(DataError, match=r"choose a smaller \'translation\.tile\'"):
        translate(configuration, out=out, assignments=[*SMALL, "translation.tile=161"])
    with pytest.raises(CheckpointError, match="no translator's checkpoint"):
        open_translator(trained)
    with pytest.raises(ConfigError, match="leave out --by and --resume"):
        translate(configuration, out=out, by="fcan", trained=trained)
    with pytest.raises(MissingFileError, match="no run here"):
        translate(configuration, out=out, check=tmp_path, assignments=SMALL)
    assert not out.exists()


def test_command(configuration, translator, tmp_path):
    told = CliRunner().invoke(
        app, ["translate", str(configuration), "--from", str(translator), "--out", str(tmp_path)]
    )
    assert told.exit_code == 0, told.output
    assert f"wrote {tmp_path / 'scenes' / 'scene_1.tif'}" in told.output
    assert "told from target tiles" in told.output


@pytest.mark.slow
def test_a_procedural_source_comes_nearer_to_its_target(configuration, tmp_path):
    """It keeps its structure and takes on how the target's bands go together."""
    changes = [
        "translation.steps=300",
        "translation.tile=64",
        "translation.width=8",
        "translation.blocks=2",
        "translation.discriminator_width=8",
        "translation.rate=0.001",
        "device.threads=1",
    ]
    found = translate(configuration, out=tmp_path / "out", assignments=changes)
    text = (tmp_path / "out" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    cycle = [line["losses"]["cycle_source"] for line in lines if "losses" in line]
    assert np.mean(cycle[-10:]) < 0.7 * np.mean(cycle[:3])

    def standard(file):
        values, valid = Raster(file).read()
        kept = values[:, valid].astype(float)
        return (kept - kept.mean(1, keepdims=True)) / kept.std(1, keepdims=True)

    folder = configuration.parent
    source, target = (standard(folder / name / "scene_1.tif") for name in ("source", "target"))
    translated = standard(found.scenes[0])
    assert np.mean(source * translated) > 0.5  # the mean correlation of a band with its original
    ours, before, wanted = (np.corrcoef(each) for each in (translated, source, target))
    assert np.abs(ours - wanted).mean() < np.abs(before - wanted).mean()
