"""Export: what QGIS computes from the file is what prediction computes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from rsadapt import export, predict
from rsadapt.adapt import checkpoint
from rsadapt.cli import app
from rsadapt.data.procedural.street import write_streets
from rsadapt.errors import (
    CheckpointError,
    ConfigError,
    MissingFileError,
    OutputExistsError,
    ShapeError,
)
from rsadapt.geo.grid import Window
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.model import load, probabilities
from rsadapt.run import RunFolder
from rsadapt.verbs.train import train

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX files are run by onnxruntime")
pytest.importorskip("onnx", reason="ONNX files need onnx")

RANGE = (0.0, 1200.0)
"""Of the small world's 16 bits."""


@pytest.fixture(scope="module")
def of_bytes(configuration, tmp_path_factory):
    """A run on the same regions in 8 bits."""
    folder = tmp_path_factory.mktemp("bytes")
    settings = yaml.safe_load(configuration.read_text())
    for region in ("source", "target"):
        for path in sorted((configuration.parent / region).rglob("*.tif")):
            raster = Raster(path)
            values, _ = raster.read(Window(0, 0, *raster.grid.shape))
            within = values // 5 if path.parent.name == region else values
            inside = folder / path.relative_to(configuration.parent)
            write_raster(inside, within.clip(0, 255).astype(np.uint8), raster.grid)
    file = folder / "pair.yaml"
    file.write_text(yaml.safe_dump(settings | {"seed": 3}))
    return train(file, out=folder / "run").run.path


def run_as_deepness(path, tile):
    """Feed a tile of 8 bits, [bands, side, side], as Deepness does."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    fed = np.float32(tile[np.newaxis] * 1.0 / 255.0)
    (answers,) = session.run(None, {session.get_inputs()[0].name: fed})
    return answers[0]


def said_by(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    return {key: json.loads(value) for key, value in said.items()}


def invoke(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def a_scene(configuration):
    return Raster(next((configuration.parent / "target").glob("*.tif")))


def test_qgis_maps_what_predict_maps(of_bytes, tmp_path):
    exported = export(of_bytes, tmp_path / "m.onnx")
    scene = a_scene(of_bytes)
    window = Window(10, 20, 96, 96)
    values, _ = scene.read(window)
    cut = tmp_path / "cut.tif"
    write_raster(cut, values, scene.grid.crop(window), nodata=0)
    (written,) = predict(of_bytes, [cut], tmp_path / "maps")
    mapped, valid = Raster(written.files[0]).read(Window(0, 0, 96, 96))
    answers = run_as_deepness(exported.path, values)
    agree = load(of_bytes).scheme.decode(answers.argmax(0)) == mapped[0]
    assert np.mean(agree[valid]) > 0.999
    assert exported.difference < 1e-5
    said = said_by(exported.path)
    assert said == json.loads(json.dumps(exported.metadata))
    assert (said["tile_size"], said["tiles_overlap"]) == (96, 34)  # 32 pixels
    assert said["resolution"] == 200  # centimetres; the small world's pixels are of two metres
    assert list(said["class_names"].values()) == list(load(of_bytes).scheme.names)
    assert said["rsadapt"]["input_range"] == [0, 255]


def test_pixels_of_zero_are_without_data(of_bytes, tmp_path):
    """As Deepness feeds what lies beyond a layer's edges, and nodata of 0."""
    path = export(of_bytes, tmp_path / "m.onnx").path
    model = load(of_bytes)
    values, _ = a_scene(of_bytes).read(Window(10, 20, 96, 96))
    values = np.maximum(values, 1)
    values[0, :, 50:] = 0  # in one band only, which is data
    values[:, :30] = 0
    answers = run_as_deepness(path, values)
    image = model.facts.normalise["target"](values, values.any(axis=0))
    assert (image[:, :30] == 0).all()
    assert (image[0, 30:, 50:] < 0).all()
    with torch.inference_mode():
        expected = probabilities(model.parts, "target")(torch.from_numpy(image)[None])[0].numpy()
    np.testing.assert_allclose(answers, expected, atol=1e-5)


@pytest.mark.parametrize("domain", ["source", "target"])
def test_each_domain_has_its_normalisation_and_statistics(of_bytes, tmp_path, domain):
    path = export(of_bytes, tmp_path / "m.onnx", domain=domain, tile=64, overlap=0).path
    model = load(of_bytes)
    values, _ = a_scene(of_bytes).read(Window(0, 0, 64, 64))
    valid = values.any(axis=0)
    expected = {}
    for name in ("source", "target"):
        image = torch.from_numpy(model.facts.normalise[name](values, valid))
        with torch.inference_mode():
            expected[name] = probabilities(model.parts, name)(image[None])[0].numpy()
    answers = run_as_deepness(path, values)
    np.testing.assert_allclose(answers, expected.pop(domain), atol=1e-5)
    (other,) = expected.values()
    assert np.abs(answers - other).max() > 1e-3
    assert said_by(path)["rsadapt"]["domain"] == domain


def test_file_says_where_the_network_comes_from(trained, tmp_path):
    exported = export(trained, tmp_path / "m.onnx", input_range=RANGE, resolution=50)
    said = said_by(exported.path)
    origin, record = said["rsadapt"], json.loads(RunFolder(trained).record.read_text())
    assert said["resolution"] == 50
    assert origin["run"] == str(trained)
    assert (origin["step"], origin["bands"]) == (2, [1, 2, 3, 4])
    assert origin["trained"]["commit"] == record["commit"]
    assert origin["trained"]["initial_weights"] == "random"
    assert origin["input_range"] == list(RANGE)
    assert origin["largest_difference"] == exported.difference


def test_images_of_other_than_8_bits_need_a_range(configuration, trained, tmp_path):
    with pytest.raises(ConfigError, match=r"found values from \d+ to \d{3,4}; name the values"):
        export(trained, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
    path = export(trained, tmp_path / "m.onnx", input_range=RANGE).path
    model, scene = load(trained), a_scene(configuration)
    values, _ = scene.read(Window(0, 0, 96, 96))
    low, high = RANGE
    in_bytes = np.rint((values - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
    back = low + in_bytes / 255 * (high - low)
    image = torch.from_numpy(model.facts.normalise["target"](back, in_bytes.any(axis=0)))
    with torch.inference_mode():
        expected = probabilities(model.parts, "target")(image[None])[0].numpy()
    np.testing.assert_allclose(run_as_deepness(path, in_bytes), expected, atol=1e-5)


@pytest.mark.parametrize("changes", ["nothing", "fractions"])
def test_images_of_which_nothing_is_known_or_fractions_need_a_range(of_bytes, tmp_path, changes):
    state = checkpoint.load(RunFolder(of_bytes).checkpoint)
    facts = json.loads(state["facts"])
    if changes == "fractions":
        for taken in facts["statistics"].values():
            for histogram in taken["histograms"]:
                histogram["edges"] = np.linspace(0, 0.9, len(histogram["edges"])).tolist()
    else:
        facts["statistics"] = {}
    file = tmp_path / "checkpoint.pt"
    checkpoint.save(file, state | {"facts": json.dumps(facts)})
    message = "not all of them integers" if changes == "fractions" else "no statistics of them"
    with pytest.raises(ConfigError, match=message):
        export(file, tmp_path / "m.onnx")
    assert export(file, tmp_path / "m.onnx", input_range=(0, 255)).difference < 1e-5


def test_frames_of_image_folders_are_of_8_bits(tmp_path):
    data = tmp_path / "data"
    counts = {"source_frames": 2, "target_frames": 2, "validation_frames": 1}
    write_streets(data, seed=0, height=64, width=128, **counts)
    changes = [
        "class_table=streets",
        "source.size={height: 32, width: 64}",
        "target.size={height: 32, width: 64}",
        "network.encoder=small",
        "network.layout=torchvision",
        "method.discriminator_width=4",
        "optimiser.updates=once",
        "training.steps=1",
        "training.horizon=1",
        "training.workers=0",
        "device={accelerator: cpu}",
    ]
    run = train(
        Path("gta5-cityscapes"), out=tmp_path / "run", data=data, assignments=changes
    ).run.path
    with pytest.warns(UserWarning, match="--resolution CENTIMETRES"):
        exported = export(run, tmp_path / "m.onnx", tile=64, overlap=16)
    assert "resolution" not in said_by(exported.path)
    assert exported.difference < 1e-5
    assert export(run, tmp_path / "n.onnx", tile=64, overlap=16, resolution=3).difference < 1e-5


def test_weights_that_are_no_numbers_write_no_file(of_bytes, tmp_path):
    state = checkpoint.load(RunFolder(of_bytes).checkpoint)
    next(iter(state["network"].values())).fill_(float("nan"))
    checkpoint.save(tmp_path / "checkpoint.pt", state)
    with pytest.raises(CheckpointError, match="finite numbers"):
        export(tmp_path / "checkpoint.pt", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("domain", ["source", "target"])
def test_rounding_is_told_from_an_error(of_bytes, tmp_path, domain):
    """Logits of thousands, whose last digits decide where two classes are near."""
    state = checkpoint.load(RunFolder(of_bytes).checkpoint)
    for name, value in state["network"].items():
        if name.startswith("classifiers.1."):
            value.mul_(2e5)
    checkpoint.save(tmp_path / "checkpoint.pt", state)
    with pytest.warns(UserWarning, match="since float32 rounds both"):
        exported = export(tmp_path / "checkpoint.pt", tmp_path / "m.onnx", domain=domain)
    assert 1e-4 < exported.difference < 1e-2


def test_missing_packages_are_named(of_bytes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    with pytest.warns(UserWarning, match=r"nothing was checked; pip install 'rsadapt\[onnx\]'"):
        assert export(of_bytes, tmp_path / "m.onnx").difference is None
    told = invoke(of_bytes, "--out", tmp_path / "n.onnx")
    assert (told.exit_code, "(not checked)" in told.stdout) == (0, True)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'rsadapt\[onnx\]'"):
        export(of_bytes, tmp_path / "o.onnx")


def test_command_line(of_bytes, trained, tmp_path):
    out = tmp_path / "m.onnx"
    told = invoke(of_bytes, "--out", out)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith(f"{out} (as the network to ")
    before = out.read_bytes()
    refused = invoke(of_bytes, "--out", out)
    assert (refused.exit_code, "exists already" in refused.output) == (1, True)
    assert out.read_bytes() == before
    assert invoke(trained, "--out", out, "--overwrite").exit_code == 1
    assert out.read_bytes() == before
    replaced = invoke(trained, "--out", out, "--overwrite", "--input-range", "-50,1200")
    assert (replaced.exit_code, out.read_bytes() != before) == (0, True)
    assert said_by(out)["rsadapt"]["input_range"] == [-50, 1200]
    assert "expected two numbers" in invoke(of_bytes, "--out", out, "--input-range", "7").output


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"out": "m.pt"}, ConfigError, "ends in .onnx, found '.pt'"),
        ({"out": "gone/m.onnx"}, MissingFileError, "no such folder"),
        ({"out": "folder.onnx", "overwrite": True}, OutputExistsError, "exists already"),
        ({"tile": 64, "overlap": 64}, ConfigError, "smaller than the tile, found 64 and 64"),
        ({"tile": 4, "overlap": 0}, ShapeError, "at least 5 x 5 pixels"),
        ({"resolution": 0.0}, ConfigError, "above 0 centimetres"),
        ({"resolution": float("nan")}, ConfigError, "above 0 centimetres"),
        ({"input_range": (9.0, 9.0)}, ConfigError, "the lower first, found 9 and 9"),
        ({"input_range": (0.0, float("inf"))}, ConfigError, "found 0 and inf"),
    ],
)
def test_what_cannot_be_meant_is_refused(of_bytes, tmp_path, changes, error, message):
    (tmp_path / "folder.onnx").mkdir()
    out = tmp_path / changes.get("out", "m.onnx")
    given = {name: value for name, value in changes.items() if name != "out"}
    with pytest.raises(error, match=message):
        export(of_bytes, out, **given)
    assert [found.name for found in tmp_path.iterdir()] == ["folder.onnx"]


def test_a_run_that_is_not_there_is_named(tmp_path):
    told = invoke(tmp_path / "nowhere", "--out", tmp_path / "m.onnx")
    assert (told.exit_code, "no checkpoint here" in told.output) == (1, True)
