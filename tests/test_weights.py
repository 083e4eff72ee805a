"""Weight files: every naming finds its place; what does not fit is said."""

import json
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
import torchvision

from rsadapt.errors import CheckpointError, MissingFileError, OutputExistsError
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.resnet import ResNetEncoder
from rsadapt.nets.small import SmallEncoder
from rsadapt.nets.vgg import VggEncoder
from rsadapt.weights import fit, published_tensors, read_weights, write_weights

NAMES = json.loads((Path(__file__).parent / "parity" / "tensor_names.json").read_text())
"""Of the published networks, in order."""

TENSORS = {
    "conv1.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
    "bn1.num_batches_tracked": torch.tensor(7),
    "half": torch.arange(5, dtype=torch.float16),
}


def resnet(name="resnet18", *, bands=3, classes=3, levels=2, rates=(1, 2)):
    encoder = ResNetEncoder(name, bands=bands, layout="published")
    return DeepLab(encoder, bands=bands, classes=classes, levels=levels, rates=rates)


def vgg(classes=3):
    return DeepLab(VggEncoder(), bands=3, classes=classes, levels=1, rates=(1, 2))


def small():
    return DeepLab(SmallEncoder(width=2), bands=3, classes=3, levels=2, rates=(1, 2))


def shuffled(network):
    """A network whose every tensor, statistics too, is drawn anew."""
    for value in network.state_dict().values():
        value.copy_(torch.rand(value.shape) * 9)
    return network


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


# Files


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors"])
def test_tensors_read_back_the_same(tmp_path, name):
    write_weights(tmp_path / name, TENSORS)
    found = read_weights(tmp_path / name)
    assert same(found, TENSORS)
    assert all(found[name].dtype == value.dtype for name, value in TENSORS.items())
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_pytorch_files_keep_the_order(tmp_path):
    write_weights(tmp_path / "w.pth", TENSORS)
    assert list(read_weights(tmp_path / "w.pth")) == list(TENSORS)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "network"])
def test_tensors_are_found_inside_a_checkpoint(tmp_path, wrapper):
    torch.save({"epoch": 3, wrapper: TENSORS, "optimizer": {"lr": 0.1}}, tmp_path / "c.pth")
    assert same(read_weights(tmp_path / "c.pth"), TENSORS)


class Python2Pickler(pickle._Pickler):
    """Writes texts and ordered dictionaries as Python 2 did: bytes, and one list of pairs."""

    def save_text(self, text):
        data = text.encode("ascii")
        self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        self.memoize(text)

    dispatch: ClassVar = pickle._Pickler.dispatch | {str: save_text}

    def reducer_override(self, value):
        if type(value) is OrderedDict:
            return OrderedDict, ([list(pair) for pair in value.items()],)
        return NotImplemented


def python2():
    """What torch.save takes for the pickle module, as it was under Python 2."""

    def dump(value, file, protocol):
        Python2Pickler(file, protocol).dump(value)

    return SimpleNamespace(__name__="cPickle", Pickler=Python2Pickler, dump=dump)


@pytest.mark.parametrize("module", [pickle, python2()], ids=["python 3", "python 2"])
def test_files_of_2018_are_read(tmp_path, module):
    path = tmp_path / "old.pth"
    torch.save(
        OrderedDict(TENSORS), path, pickle_module=module, _use_new_zipfile_serialization=False
    )
    assert (b"X\x0c\x00\x00\x00conv1.weight" in path.read_bytes()) == (module is pickle)
    assert (b"U\x0cconv1.weight" in path.read_bytes()) == (module is not pickle)
    assert same(read_weights(path), TENSORS)


class Canary:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("modern", [True, False])
def test_code_is_refused_and_not_run(tmp_path, modern):
    path, canary = tmp_path / "w.pth", tmp_path / "canary"
    content = TENSORS | {"extra": Canary(canary)}
    torch.save(content, path, _use_new_zipfile_serialization=modern)
    with pytest.raises(CheckpointError, match=r"w\.pth: not loaded.* could run code"):
        read_weights(path)
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists()  # it would have


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("kept", [0, 4, 0.5, 0.99])
def test_file_cut_short_is_named(tmp_path, name, kept):
    path = tmp_path / name
    write_weights(path, TENSORS)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(CheckpointError, match=rf"{name}: damaged"):
        read_weights(path)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_missing_file(tmp_path, name):
    with pytest.raises(MissingFileError, match=rf"{name}: no .* here"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"conv1.weight": TENSORS["half"], "epoch": 3}, "found a int called 'epoch'"),
        ({3: TENSORS["half"]}, "found a Tensor called 3"),
        ({}, "found none"),
    ],
)
def test_anything_but_named_tensors_is_refused(tmp_path, content, found):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=rf"expected named tensors, {found}"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_nothing_is_written_over(tmp_path, name):
    path = tmp_path / name
    path.write_text("precious")
    with pytest.raises(OutputExistsError, match="exists already"):
        write_weights(path, TENSORS)
    assert path.read_text() == "precious"


def test_other_suffixes_and_folders_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"\.pth, \.pt or \.safetensors, found '\.npz'"):
        write_weights(tmp_path / "w.npz", TENSORS)
    with pytest.raises(MissingFileError, match="no such folder; make it first"):
        write_weights(tmp_path / "nowhere" / "w.pth", TENSORS)
    assert not list(tmp_path.iterdir())


# Networks


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        (resnet, ".pth"),
        (lambda: resnet(levels=1), ".safetensors"),
        (lambda: resnet("resnet50"), ".safetensors"),
        (vgg, ".pth"),
    ],
)
def test_published_names_and_back_are_the_identity(tmp_path, make, suffix):
    given = published_tensors(shuffled(make()))
    write_weights(tmp_path / f"w{suffix}", given)
    network = make()
    report = fit(network, read_weights(tmp_path / f"w{suffix}"), where="w")
    assert (report.naming, report.left_out, report.fresh) == ("published", (), ())
    found = published_tensors(network)
    assert list(found) == list(given)
    assert same(found, given)


@pytest.mark.parametrize("network", ["multi", "single", "multi7", "vgg"])
def test_tensors_are_named_and_ordered_as_in_the_published_checkpoints(network):
    with torch.device("meta"):
        vgg16 = network == "vgg"
        encoder = VggEncoder() if vgg16 else ResNetEncoder("resnet101", layout="published")
        levels = 2 if network.startswith("multi") else 1
        found = published_tensors(DeepLab(encoder, bands=3, classes=19, levels=levels))
    assert list(found) == NAMES[network]


@pytest.mark.parametrize("make", [small, resnet, lambda: resnet(levels=3)])
def test_own_names_fit_any_network(make):
    given = shuffled(make()).state_dict()
    network = make()
    report = fit(network, given, where="w")
    assert (report.naming, report.left_out, report.fresh) == ("own", (), ())
    assert same(network.state_dict(), given)


@pytest.mark.parametrize("prefix", ["module.", "Scale.", "module.Scale."])
def test_prefixes_are_taken_off(prefix):
    given = published_tensors(shuffled(resnet()))
    network = resnet()
    fit(network, {prefix + name: value for name, value in given.items()}, where="w")
    assert same(published_tensors(network), given)


def test_tensors_arrive_in_the_networks_dtype():
    given = published_tensors(shuffled(resnet()))
    network = resnet().double()
    fit(network, given, where="w")
    for name, value in published_tensors(network).items():
        assert value.dtype in (torch.float64, torch.int64)
        torch.testing.assert_close(value, given[name], check_dtype=False, rtol=0, atol=0)


def test_the_published_start_loads_without_its_head_and_counters():
    """It has `Scale.` before every name, a head of 21 classes and no counters of batches."""
    given = {
        f"Scale.{name}": value
        for name, value in published_tensors(shuffled(resnet(classes=21, levels=1))).items()
        if not name.endswith("num_batches_tracked")
    }
    network = resnet(classes=19)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    report = fit(network, given, where="w")
    assert report.left_out == ("layer5 (21 classes, the network has 19)",)
    assert {name.split(".")[0] for name in report.fresh} == {"classifiers"}
    assert report.describe() == (
        "published names; left out: layer5 (21 classes, the network has 19); "
        "not in the file, initial values kept: classifiers.0, classifiers.1"
    )
    for name, value in network.state_dict().items():
        kept = name in report.fresh or name.endswith("num_batches_tracked")
        assert torch.equal(value, before[name]) == kept, name
    assert torch.equal(network.encoder.stem[0].weight, given["Scale.conv1.weight"])


@pytest.mark.parametrize("named", [published_tensors, DeepLab.state_dict])
def test_a_single_levels_head_lands_on_the_level_of_its_features(named):
    given = shuffled(resnet(levels=1))
    network = resnet(levels=2)
    report = fit(network, named(given), where="w")
    assert same(network.classifiers[1].state_dict(), given.classifiers[0].state_dict())
    assert report.left_out == ()
    assert {name.rsplit(".", 3)[0] for name in report.fresh} == {"classifiers.0"}


def test_only_the_main_head_of_two_fits_a_single_level():
    given = shuffled(resnet(levels=2))
    network = resnet(levels=1)
    report = fit(network, published_tensors(given), where="w")
    assert same(network.classifiers[0].state_dict(), given.classifiers[1].state_dict())
    assert report.left_out == ("layer5 (on other features than the network's)",)
    assert report.fresh == ()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"classes": 7}, "7 classes, the network has 3"),
        ({"rates": (1, 2, 3, 4)}, "4 branches, the network has 2"),
    ],
)
def test_other_heads_are_left_out_and_said_so(settings, reason):
    network = resnet()
    before = [value.clone() for value in network.head_parameters()]
    report = fit(network, published_tensors(resnet(**settings)), where="w")
    assert report.left_out == (f"layer5 ({reason})", f"layer6 ({reason})")
    assert all(map(torch.equal, before, network.head_parameters()))
    assert len(report.fresh) == len(before)


def test_imagenet_weights_of_torchvision_resnets():
    given = shuffled(torchvision.models.resnet18()).state_dict()
    network = resnet()
    report = fit(network, given, where="w")
    assert report.naming == "torchvision"
    assert report.left_out == ("fc (the classifier of ImageNet's classes)",)
    found = published_tensors(network)
    assert all(torch.equal(found[n], given[n]) for n in given if not n.startswith("fc."))


def test_imagenet_weights_of_torchvision_vgg():
    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    given = {f"features.{name}": value for name, value in features.state_dict().items()}
    given["classifier.6.bias"] = torch.zeros(1000)
    network = vgg()
    report = fit(network, given, where="w")
    assert report.naming == "torchvision"
    assert report.left_out == ("classifier (the classifier of ImageNet's classes)",)
    assert report.describe().endswith("kept: encoder.stages.2.0, encoder.stages.2.2, classifiers.0")
    conv5 = [network.encoder.stages[1][place].weight for place in (0, 2, 4)]
    theirs = [given[f"features.{place}.weight"] for place in (24, 26, 28)]
    assert all(map(torch.equal, conv5, theirs))


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (
            lambda: {k: v for k, v in published_tensors(resnet()).items() if k != "bn1.bias"},
            "bn1.bias (missing)",
        ),
        (lambda: published_tensors(resnet("resnet34")), r"layer1.2.conv1.weight (no place for it)"),
        (
            lambda: published_tensors(resnet(bands=4)),
            "conv1.weight ([64, 4, 7, 7] in the file, [64, 3, 7, 7] in the network)",
        ),
    ],
)
def test_other_encoders_are_refused_and_nothing_is_loaded(given, what):
    network = resnet()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"w: .* do not fit, such as .*; check") as caught:
        fit(network, given(), where="w")
    assert what in str(caught.value)
    assert same(network.state_dict(), before)


def test_unknown_names_are_refused():
    with pytest.raises(
        CheckpointError, match=r"\(own, published, torchvision\), found others, .*a\.b"
    ):
        fit(resnet(), {"a.b": torch.zeros(1)}, where="w")


def test_a_tensor_that_is_there_twice_is_refused():
    given = published_tensors(resnet())
    twice = given | {"Scale.conv1.weight": given["conv1.weight"]}
    with pytest.raises(CheckpointError, match="1 tensors are there twice"):
        fit(resnet(), twice, where="w")


def test_published_names_belong_to_the_published_layout():
    other = DeepLab(ResNetEncoder("resnet50"), bands=3, classes=19)
    with pytest.raises(CheckpointError, match=r"of the published layout, found layout torchvision"):
        published_tensors(other)
    published = DeepLab(ResNetEncoder("resnet50", layout="published"), bands=3, classes=19)
    given, kept = published_tensors(published), [p.clone() for p in other.parameters()]
    with pytest.raises(CheckpointError, match=r"^w: published names .* network\.layout: published"):
        fit(other, given, where="w")
    assert all(torch.equal(*pair) for pair in zip(other.parameters(), kept, strict=True))


def test_networks_of_our_own_have_no_published_names():
    with pytest.raises(CheckpointError, match="no published names of a SmallEncoder's tensors"):
        published_tensors(small())
