"""Names of the published checkpoints, of torchvision, and ours."""

import json
from pathlib import Path

import pytest
import torch
import torchvision

from rsadapt.errors import CheckpointError
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.discriminator import Discriminator
from rsadapt.nets.naming import (
    encoder_name,
    head_tensor,
    own_head,
    published,
    published_discriminator,
    without_prefixes,
)
from rsadapt.nets.resnet import ResNetEncoder
from rsadapt.nets.vgg import VggEncoder

NAMES = json.loads((Path(__file__).parents[1] / "parity" / "tensor_names.json").read_text())
"""Of the published networks, in order."""


def own_names(family, levels):
    with torch.device("meta"):
        encoder = VggEncoder() if family == "vgg" else ResNetEncoder("resnet101")
        return list(DeepLab(encoder, bands=3, classes=2, levels=levels).state_dict())


@pytest.mark.parametrize(
    ("network", "family", "levels"),
    [("multi", "resnet", 2), ("multi7", "resnet", 2), ("single", "resnet", 1), ("vgg", "vgg", 1)],
)
def test_names_and_their_order_are_the_published_ones(network, family, levels):
    named = [published(name, family=family, levels=levels) for name in own_names(family, levels)]
    assert named == NAMES[network]


@pytest.mark.parametrize("name", ["resnet18", "resnet101", "vgg16"])
def test_torchvision_has_every_name_but_the_classifier(name):
    family = "vgg" if name == "vgg16" else "resnet"
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name).state_dict()
        encoder = VggEncoder() if family == "vgg" else ResNetEncoder(name)
    places = {
        encoder_name(f"encoder.{own}", family=family, naming="torchvision"): value.shape
        for own, value in encoder.state_dict().items()
    }
    fresh = places.pop(None, None)  # VGG's two last layers, which take the classifier's place
    assert (fresh is None) == (family == "resnet")
    assert places == {
        name: value.shape for name, value in theirs.items() if not head_tensor(name, "torchvision")
    }


def test_own_names_of_the_encoder_are_themselves():
    assert encoder_name("encoder.stem.0.weight", family="vgg", naming="own") == (
        "encoder.stem.0.weight"
    )
    assert encoder_name("classifiers.0.branches.0.bias", family="vgg", naming="own") is None


@pytest.mark.parametrize("naming", ["own", "published", "torchvision"])
def test_heads_are_told_from_encoders(naming):
    heads = {
        "own": ["classifiers.1.branches.3.bias"],
        "published": ["layer5.conv2d_list.3.bias", "classifier.conv2d_list.3.bias"],
        "torchvision": ["fc.bias", "classifier.6.bias"],
    }
    for name in heads[naming]:
        found = head_tensor(name, naming)
        assert found is not None
        assert name.startswith(found.head)
        assert name.endswith(found.leaf)
    assert head_tensor("layer4.2.conv3.weight", naming) is None
    assert head_tensor("encoder.stages.3.2.conv3.weight", naming) is None


def test_own_head_puts_together_what_head_tensor_takes_apart():
    name = "classifiers.1.branches.3.bias"
    assert own_head(*head_tensor(name, "own")) == name


@pytest.mark.parametrize("prefix", ["", "module.", "Scale.", "module.Scale.", "Scale.module."])
def test_prefixes_go_in_any_mix(prefix):
    assert without_prefixes(f"{prefix}layer1.0.conv1.weight") == "layer1.0.conv1.weight"
    assert without_prefixes(f"net.{prefix}x") == f"net.{prefix}x"


@pytest.mark.parametrize(("family", "levels", "most"), [("resnet", 3, 2), ("vgg", 2, 1)])
def test_networks_that_were_never_published_have_no_names(family, levels, most):
    with pytest.raises(CheckpointError, match=rf"for {levels} levels .*at most {most}; keep"):
        published("encoder.stem.0.weight", family=family, levels=levels)


def test_discriminator():
    names = [published_discriminator(name) for name in Discriminator(2, width=1).state_dict()]
    layers = ["conv1", "conv2", "conv3", "conv4", "classifier"]
    assert names == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
