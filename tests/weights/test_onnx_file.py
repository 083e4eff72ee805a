"""ONNX files answer as the network does, whatever its parts, and say what Deepness asks."""

import json

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from rsadapt.errors import CheckpointError, DataError, ShapeError
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.resnet import ResNetEncoder
from rsadapt.nets.small import SmallEncoder
from rsadapt.nets.vgg import VggEncoder
from rsadapt.weights.onnx_file import (
    LARGEST_DIFFERENCE,
    Scaling,
    deepness_metadata,
    largest_difference,
    onnx_answers,
    onnx_network,
    overlap_percent,
    write_onnx,
)

onnx = pytest.importorskip("onnx", reason="ONNX files need onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX files are run by onnxruntime")


def small(bands):
    return SmallEncoder(bands=bands, width=4)


def resnet(name, layout):
    return lambda bands: ResNetEncoder(name, bands=bands, layout=layout)


def vgg(bands):
    return VggEncoder(bands=bands)


def lived_in(encoder, *, bands, upsampling="cells", classes=3):
    """A network whose statistics fit its weights, and whose answers tell classes apart."""
    network = DeepLab(
        encoder(bands), bands=bands, classes=classes, rates=[1, 2], upsampling=upsampling
    )
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = 1.0
    with torch.no_grad():
        seen = torch.randn(2, bands, 72, 72)
        logits = network.train()(seen)[-1]
        for parameter in network.classifiers[-1].parameters():
            parameter.mul_(2 / logits.std())
    return network.eval()


def scaling(bands, low=0.0, high=255.0):
    middle, spread = (low + high) / 2, (high - low) / 6
    return Scaling(
        low,
        high,
        tuple(middle + band for band in range(bands)),
        tuple(spread + band for band in range(bands)),
    )


def by_hand(network, scale, fed):
    """What the network answers to images of 0..1, step by step."""
    images = torch.from_numpy(fed)
    values = scale.low + images * (scale.high - scale.low)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (scale.mean, scale.std))
    with torch.inference_mode():
        logits = network((values - mean) / std)[-1]
        return network.upsample(logits, images.shape[-2:]).softmax(1).numpy()


@pytest.mark.parametrize(
    ("encoder", "upsampling", "bands", "tile"),
    [
        (small, "cells", 3, 64),
        (small, "corners", 5, 61),
        (resnet("resnet18", "torchvision"), "cells", 4, 75),
        (resnet("resnet18", "published"), "corners", 3, 64),
        (vgg, "cells", 1, 67),
    ],
    ids=["small", "small-corners", "resnet18", "resnet18-published", "vgg16"],
)
def test_graph_answers_as_the_network(encoder, upsampling, bands, tile):
    network, scale = lived_in(encoder, bands=bands, upsampling=upsampling), scaling(bands)
    file = onnx_network(network, scale, tile=tile)
    for number in (1, 3):
        fed = np.random.default_rng(number).random((number, bands, tile, tile), dtype=np.float32)
        answers, expected = onnx_answers(file, fed), by_hand(network, scale, fed)
        assert expected.std() > 0.05  # else equal answers would prove little
        np.testing.assert_allclose(answers, expected, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet34", "resnet50", "resnet101"])
@pytest.mark.parametrize("layout", ["torchvision", "published"])
def test_graphs_of_deep_networks_answer_as_they_do(name, layout):
    network, scale = lived_in(resnet(name, layout), bands=3), scaling(3)
    fed = np.random.default_rng(0).random((1, 3, 128, 128), dtype=np.float32)
    answers = onnx_answers(onnx_network(network, scale, tile=128), fed)
    exact = by_hand(network.double(), scale, fed.astype(np.float64))
    # Weights that were never trained amplify rounding; an error would be a hundred times this.
    np.testing.assert_allclose(answers, exact, atol=5e-3)


def test_other_ranges_are_scaled_in_the_graph():
    network, scale = lived_in(small, bands=2), scaling(2, -1000.0, 9000.0)
    fed = np.random.default_rng(0).random((2, 2, 64, 64), dtype=np.float32)
    answers = onnx_answers(onnx_network(network, scale, tile=64), fed)
    np.testing.assert_allclose(answers, by_hand(network, scale, fed), atol=2e-5)


def test_values_beyond_8_bits_are_taken_as_they_are():
    """Deepness divides those of 16 bits, and fractions, by 255, too, and clips none."""
    network, scale = lived_in(small, bands=2), scaling(2, -4000.0, 4000.0)
    values = np.random.default_rng(0).integers(-4000, 4000, (2, 2, 64, 64), np.int16)
    values[:, :, :20] = -np.abs(values[:, :, :20]) - 1  # below 0 in every band is data as well
    whole = Scaling(0.0, 255.0, scale.mean, scale.std)
    fed = (values / 255).astype(np.float32)
    answers = onnx_answers(onnx_network(network, whole, tile=64), fed)
    np.testing.assert_allclose(answers, by_hand(network, whole, fed), atol=2e-5)


def test_network_stays_as_it_is_in_any_mode_and_precision():
    network, scale = lived_in(small, bands=3), scaling(3)
    fed = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    expected = by_hand(network, scale, fed)
    network.train().double()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    answers = onnx_answers(onnx_network(network, scale, tile=64), fed)
    np.testing.assert_allclose(answers, expected, atol=2e-5)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_tiles_too_small_are_refused():
    with pytest.raises(ShapeError, match="at least 5 x 5 pixels"):
        onnx_network(lived_in(small, bands=3), scaling(3), tile=4)


def test_file_has_what_deepness_asks(tmp_path):
    """As its code reads a model: see `deepness_metadata`."""
    path = tmp_path / "m.onnx"
    names = ["Wasser", 'a "quoted" class', "büsche"]
    metadata = deepness_metadata(names=names, bands=4, tile=64, overlap=16, cell=8, resolution=12.5)
    file = onnx_network(lived_in(small, bands=4), scaling(4), tile=64)
    write_onnx(path, file, metadata)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (fed,), (answered,) = session.get_inputs(), session.get_outputs()
    assert isinstance(fed.shape[0], str)  # any number of tiles at once
    assert (fed.shape[1:], answered.shape[1:]) == ([4, 64, 64], [3, 64, 64])
    said = session.get_modelmeta().custom_metadata_map
    read = {key: json.loads(value) for key, value in said.items()}
    assert [read["class_names"][str(place)] for place in range(3)] == names
    assert read == metadata
    assert {key: read[key] for key in ("model_type", "resolution", "tile_size", "tiles_size")} == {
        "model_type": "Segmentor",
        "resolution": 12.5,
        "tile_size": 64,
        "tiles_size": 64,
    }
    assert (read["tiles_overlap"], read["seg_thresh"], read["seg_small_segment"]) == (25, 0, 0)
    assert (read["standardization_mean"], read["standardization_std"]) == ([0] * 4, [1] * 4)


def test_file_is_of_versions_that_deepness_runs():
    model = onnx.load_from_string(onnx_network(lived_in(small, bands=3), scaling(3), tile=64))
    assert model.ir_version <= 8  # onnxruntime 1.12
    assert [opset.version for opset in model.opset_import] == [17]


def test_size_of_a_pixel_is_left_out_where_nobody_knows_it():
    metadata = deepness_metadata(names=["a"], bands=1, tile=64, overlap=0, cell=8, resolution=None)
    assert "resolution" not in metadata


def test_difference_is_measured_and_bounded():
    expected = torch.full((1, 2, 4, 4), 0.5)
    off = expected.numpy().copy()
    off[0, 1, 2, 3] += 0.75 * LARGEST_DIFFERENCE

    def never():
        raise AssertionError("not asked for where the difference is small")

    assert largest_difference(off, expected, never) == pytest.approx(7.5e-5, rel=0.01)
    off[0, 1, 2, 3] += 1e-3
    with pytest.raises(CheckpointError, match=r"differ by 0\.0011.* than rounding explains \(0\)"):
        largest_difference(off, expected, lambda: expected)
    exact = expected + 4e-4  # the network's own rounding explains it
    assert largest_difference(off, expected, lambda: exact) == pytest.approx(1.075e-3, rel=0.01)
    off[0, 1, 2, 3] += 0.1
    with pytest.raises(CheckpointError, match=r"rounding explains \(0\.1\)"):
        largest_difference(off, expected, lambda: expected + 0.1)
    off[0, 0, 0, 0] = np.nan
    with pytest.raises(CheckpointError, match="finite numbers"):
        largest_difference(off, expected, lambda: exact)


def test_file_is_there_whole_or_not_at_all(tmp_path):
    file = onnx_network(lived_in(small, bands=3), scaling(3), tile=64)
    path = tmp_path / "m.onnx"
    write_onnx(path, file, {"one": 1})
    before = path.read_bytes()
    (tmp_path / "taken.onnx").mkdir()
    with pytest.raises(DataError, match=r"taken\.onnx cannot be written"):
        write_onnx(tmp_path / "taken.onnx", file, {})
    with pytest.raises(DataError, match="that the disk has room"):
        write_onnx(tmp_path / "gone" / "m.onnx", file, {})
    assert path.read_bytes() == before
    assert sorted(found.name for found in tmp_path.iterdir()) == ["m.onnx", "taken.onnx"]


@pytest.mark.parametrize(
    ("tile", "overlap", "cell", "percent"),
    [
        (1024, 192, 8, 18),  # 184 pixels
        (256, 64, 8, 25),
        (96, 32, 4, 34),  # 32 pixels; 33 % are 31
        (512, 96, 8, 22),  # 112 pixels; 18 % are 92, by which a tile begins in the middle of a cell
        (1024, 200, 8, 25),
        (512, 0, 8, 0),
        (50, 49, 8, 98),  # no percentage moves tiles by whole cells
    ],
)
def test_overlap_in_percent_moves_tiles_by_whole_cells(tile, overlap, cell, percent):
    assert overlap_percent(tile, overlap, cell) == percent
