"""The published training step written out plainly, and the parity program held against it.

The figures handed over in tests/parity cover a few settings. These cases are of other images,
sizes, lists, batches and objectives. Only the network itself, which has figures of its own, is the
project's; what loads, judges and learns here is written from the page that describes the step.
"""

import importlib.util
import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from rsadapt.nets import naming
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.resnet import ResNetEncoder

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "tests" / "parity"

IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
MEAN = np.array((104.00698793, 116.66876762, 122.67891434), np.float32)

PUBLISHED = {
    "batch_size": 1,
    "accumulate": 1,
    "num_steps": 20,
    "power": 0.9,
    "lr": 2.5e-4,
    "lr_head_factor": 10,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 5e-4,
    "lr_discriminator": 1e-4,
    "betas": [0.9, 0.99],
    "repeated_updates": True,
    "lambda_seg_aux": 0.1,
    "lambda_adv_aux": 0.0002,
    "lambda_adv_main": 0.001,
    "gan": "bce",
}

CASES = {
    "nesterov_batch_of_two": PUBLISHED
    | {"source_size": [65, 49], "target_size": [70, 38], "batch_size": 2, "nesterov": True},
    "accumulated_batches_of_two": PUBLISHED
    | {"source_size": [41, 50], "target_size": [35, 66], "batch_size": 2, "accumulate": 2}
    | {"repeated_updates": False, "lr": 1e-3, "weight_decay": 0.01, "lambda_seg_aux": 0.5},
    "multi_level_least_squares": PUBLISHED
    | {"source_size": [63, 33], "target_size": [47, 57], "gan": "least_squares"}
    | {"lambda_adv_aux": 0.02, "lambda_adv_main": 0.05, "lr_discriminator": 3e-3}
    | {"betas": [0.5, 0.999], "lr_head_factor": 2.5},
    "whole_numbers": PUBLISHED
    | {"source_size": [48, 40], "target_size": [40, 48], "momentum": 0, "power": 1}
    | {"num_steps": 3.0, "lambda_seg_aux": 0, "lambda_adv_main": 1, "name": "whole_numbers"},
}
STEPS = 2


# Frames


def write_frames(folder):
    """Three random frames of GTA5, two of Cityscapes, in no order of names, and their lists."""
    draw = np.random.default_rng(3)

    def image(path, *shape):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, shape, np.uint8)).save(path)

    def label(path, height, width):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(draw.integers(0, 36, (height, width), np.uint8))
        picture.putpalette(draw.integers(0, 256, 768).tolist())  # as GTA5 has them
        picture.save(path)

    gta, train = folder / "GTA5", folder / "Cityscapes" / "leftImg8bit" / "train"
    sources = ["00007.png", "00002.png", "00005.png"]
    targets = ["ulm/ulm_000001_leftImg8bit.png", "bonn/bonn_000009_leftImg8bit.png"]
    for number, name in enumerate(sources):
        image(gta / "images" / name, 70 + number, 110, 3)
        label(gta / "labels" / name, 70 + number, 110)
    for name in targets:
        image(train / name, 64, 128, 3)
    (folder / "gta5_train.txt").write_text("\n".join(sources) + "\n\n")
    (folder / "cityscapes_train.txt").write_text("\n".join(targets))


def load_image(path, size):
    small = Image.open(path).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    blue_green_red = np.asarray(small, np.float32)[..., ::-1] - MEAN
    return torch.tensor(blue_green_red.transpose(2, 0, 1), dtype=torch.float64)


def load_label(path, size):
    raw = np.asarray(Image.open(path).resize(size, Image.Resampling.NEAREST))
    train_ids = np.full(raw.shape, 255)
    for train_id, label_id in enumerate(IDS):
        train_ids[raw == label_id] = train_id
    return torch.from_numpy(train_ids)


def load_batch(folder, given, number):
    """Batch `number` of source images, their labels and target images."""
    images = folder / "images"
    gta, train = images / "GTA5", images / "Cityscapes" / "leftImg8bit" / "train"
    size = given["batch_size"]
    turns = range(number * size, (number + 1) * size)
    sources, targets = (
        [names[turn % len(names)] for turn in turns]
        for names in (
            (images / file).read_text().split()
            for file in ("gta5_train.txt", "cityscapes_train.txt")
        )
    )
    width_height = given["source_size"]
    return (
        torch.stack([load_image(gta / "images" / name, width_height) for name in sources]),
        torch.stack([load_label(gta / "labels" / name, width_height) for name in sources]),
        torch.stack([load_image(train / name, given["target_size"]) for name in targets]),
    )


# Losses


def upsample(logits, width, height):
    """Bilinear between cells whose first and last lie on the image's corners."""

    def line(length, wanted):
        places = torch.linspace(0, length - 1, wanted, dtype=torch.float64)
        distance = (places[:, None] - torch.arange(length)).abs()
        return (1 - distance).clamp(min=0)

    rows, cols = line(logits.shape[2], height), line(logits.shape[3], width)
    return torch.einsum("ri,ncij,sj->ncrs", rows, logits, cols)


def cross_entropy(logits, labels):
    known = labels != 255
    right = logits.movedim(1, -1)[known].gather(1, labels[known][:, None])[:, 0]
    return (logits.logsumexp(1)[known] - right).mean()


def softmax(logits):
    return (logits - logits.logsumexp(1, keepdim=True)).exp()


def against(judgement, label, gan):
    """A discriminator's output against the label 0 (source) or 1 (target)."""
    if gan == "least_squares":
        return ((judgement - label) ** 2).mean()
    right = torch.sigmoid(judgement if label == 1 else -judgement)
    return -right.log().mean()


# Learning


class Judge(nn.Module):
    """A discriminator by its published names."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(19, 64, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(64, 128, 4, stride=2, padding=1)
        self.conv3 = nn.Conv2d(128, 256, 4, stride=2, padding=1)
        self.conv4 = nn.Conv2d(256, 512, 4, stride=2, padding=1)
        self.classifier = nn.Conv2d(512, 1, 4, stride=2, padding=1)

    def forward(self, maps):
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            maps = functional.leaky_relu(layer(maps), 0.2)
        return self.classifier(maps)


def fill(module, make, name=str):
    made = {key: make(name(key), tuple(value.shape)) for key, value in module.state_dict().items()}
    module.load_state_dict({key: torch.from_numpy(value) for key, value in made.items()})
    return module.double().train()


def published_name(own):
    return naming.published(own, family="resnet", levels=2)


def make_networks(make):
    """The network and the discriminators of its auxiliary and main level, of given weights."""
    network = DeepLab(
        ResNetEncoder("resnet101", bands=3, pretrained=False, layout="published"),
        bands=3,
        classes=19,
        pyramid="first_two",
        batch_norm_affine="frozen",
    )
    judges = [fill(Judge(), make, lambda key, prefix=f"D{n}.": prefix + key) for n in (1, 2)]
    return fill(network, make, published_name), judges


def make_optimisers(network, judges, given):
    """SGD, handed parameters as often as modules contain them, and Adam of each discriminator."""
    backbone, heads = [], []
    for own, parameter in network.named_parameters():
        name = published_name(own)
        if name.startswith(("layer5.", "layer6.")):
            heads.append(parameter)
        elif parameter.requires_grad:
            repeats = 4 if ".downsample." in name else 3 if name.startswith("layer") else 1
            backbone += [parameter] * (repeats if given["repeated_updates"] else 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*duplicate parameters")
        sgd = torch.optim.SGD(
            [{"params": backbone}, {"params": heads}],
            lr=given["lr"],
            momentum=given["momentum"],
            nesterov=given["nesterov"],
            weight_decay=given["weight_decay"],
            foreach=False,
        )
    adams = [torch.optim.Adam(judge.parameters(), betas=tuple(given["betas"])) for judge in judges]
    return sgd, adams


def set_rates(sgd, adams, given, step):
    factor = (1 - step / given["num_steps"]) ** given["power"]
    sgd.param_groups[0]["lr"] = given["lr"] * factor
    sgd.param_groups[1]["lr"] = given["lr"] * factor * given["lr_head_factor"]
    for adam in adams:
        adam.param_groups[0]["lr"] = given["lr_discriminator"] * factor


def gather_gradients(network, judges, given, batch):
    """Steps 1 to 3 of the page, for one pair of batches; the losses as they are logged."""
    source, labels, target = batch
    share, gan = given["accumulate"], given["gan"]
    for judge in judges:
        judge.requires_grad_(False)
    source_aux, source_main = (upsample(x, *given["source_size"]) for x in network(source))
    seg_aux, seg_main = cross_entropy(source_aux, labels), cross_entropy(source_main, labels)
    ((seg_main + given["lambda_seg_aux"] * seg_aux) / share).backward()

    target_aux, target_main = (upsample(x, *given["target_size"]) for x in network(target))
    adv_aux = against(judges[0](softmax(target_aux)), 0, gan)
    adv_main = against(judges[1](softmax(target_main)), 0, gan)
    adversarial = given["lambda_adv_main"] * adv_main + given["lambda_adv_aux"] * adv_aux
    (adversarial / share).backward()

    for judge in judges:
        judge.requires_grad_(True)
    halves = [
        [against(judge(softmax(seen.detach())), label, gan) / 2 for label, seen in enumerate(pair)]
        for judge, pair in zip(
            judges, [(source_aux, target_aux), (source_main, target_main)], strict=True
        )
    ]
    for half in halves[0] + halves[1]:
        (half / share).backward()
    losses = {"seg_aux": seg_aux, "seg_main": seg_main, "adv_aux": adv_aux, "adv_main": adv_main}
    return losses | {"disc_aux": sum(halves[0]), "disc_main": sum(halves[1])}


def learn(folder, make, given):
    """The record of a training case: settings, losses of every step, and tensors after them."""
    network, judges = make_networks(make)
    sgd, adams = make_optimisers(network, judges, given)
    steps = []
    for step in range(STEPS):
        set_rates(sgd, adams, given, step)
        for optimiser in (sgd, *adams):
            optimiser.zero_grad()
        turns = range(step * given["accumulate"], (step + 1) * given["accumulate"])
        losses = [
            gather_gradients(network, judges, given, load_batch(folder, given, turn))
            for turn in turns
        ]
        for optimiser in (sgd, *adams):
            optimiser.step()
        steps.append(
            {key: float(np.mean([float(x[key].detach()) for x in losses])) for key in losses[0]}
        )
    final = {
        "network": {published_name(k): figures(v) for k, v in network.state_dict().items()},
        "discriminator_aux": {k: figures(v) for k, v in judges[0].state_dict().items()},
        "discriminator_main": {k: figures(v) for k, v in judges[1].state_dict().items()},
    }
    return {"settings": given, "steps": steps, "final": final}


def figures(tensor):
    return {"l2": float(tensor.double().norm()), "sum": float(tensor.double().sum())}


# Tests


def module_of(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def program():
    """The parity program, as a module."""
    yield module_of("parity_program", ROOT / "benchmarks" / "parity.py")
    del sys.modules["parity_program"]


@pytest.fixture
def parity(program, capsys):
    """Runs it on a folder: exit code and the lines it printed."""

    def run(cases):
        try:
            code = program.main(["--cases", str(cases)])
        finally:
            torch.set_default_dtype(torch.float32)
        out, errors = capsys.readouterr()
        print(out, errors)
        return code, [line for line in out.splitlines() if line.startswith("training ")]

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of training cases as they are handed over, of this file's own step."""
    cases = tmp_path_factory.mktemp("cases")
    shutil.copy(FIGURES / "make_tensors.py", cases)
    write_frames(cases / "images")
    make = module_of("make_tensors", cases / "make_tensors.py").weights
    records = {name: learn(cases, make, given) for name, given in CASES.items()}
    (cases / "training.json").write_text(json.dumps(records))
    return cases


@pytest.mark.slow
def test_other_settings_reach_the_figures_of_the_plain_step(folder, parity, monkeypatch):
    monkeypatch.chdir(folder.parent)
    code, lines = parity(folder.name)
    assert code == 0
    assert len(lines) == 3 * len(CASES)
    assert not [line for line in lines if "FAIL" in line]


@pytest.mark.slow
def test_another_setting_and_a_figure_that_is_no_number_fail(folder, parity, tmp_path):
    cases = shutil.copytree(folder, tmp_path / "cases")
    records = json.loads((cases / "training.json").read_text())
    nesterov, whole = records["nesterov_batch_of_two"], records["whole_numbers"]
    nesterov["settings"]["nesterov"] = False
    norms = {key: {"l2": value["l2"]} for key, value in whole["final"]["network"].items()}
    norms["layer3.4.conv2.weight"]["l2"] = float("nan")
    whole["final"] = {"network": norms}  # and no sums
    kept = {"nesterov_batch_of_two": nesterov, "whole_numbers": whole}
    (cases / "training.json").write_text(json.dumps(kept))
    code, lines = parity(cases)
    assert code == 1
    verdicts = ["FAIL" if "FAIL" in line else "pass" for line in lines]
    assert verdicts == ["FAIL", "FAIL", "FAIL", "pass", "FAIL"]


def test_a_case_may_be_called_like_a_value_of_its_settings(program):
    changes = program._changes(PUBLISHED | {"gan": "least_squares"}, name="least_squares", steps=1)
    assert changes["method.objective"] == "least_squares"


def test_outputs_of_an_unknown_network_fail(parity, tmp_path):
    np.savez(tmp_path / "networks.npz", image=np.zeros((1, 3, 41, 57)), unet_main=np.zeros(1))
    (tmp_path / "tensor_names.json").write_text(json.dumps({"multi": ["conv1.weight"]}))
    assert parity(tmp_path)[0] == 1
