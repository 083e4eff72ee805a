"""Tensor names of the published checkpoints and of torchvision, and of ours."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from rsadapt.errors import CheckpointError

Family = Literal["resnet", "vgg"]
Naming = Literal["own", "published", "torchvision"]

_VGG_STAGES: dict[Naming, tuple[int, ...]] = {"published": (17, 23, 29), "torchvision": (17, 24)}
"""Where conv4, conv5 and the two last layers begin among VGG-16's `features`.

The published network left pool4 out, so that all behind it moved up by one; torchvision's has fully
connected layers for the last two.
"""

_OWN_HEAD = re.compile(r"(?P<head>classifiers\.\d+)\.branches\.(?P<leaf>\d+\.\w+)")
_PUBLISHED_HEAD = re.compile(r"(?P<head>layer[56]|classifier)\.conv2d_list\.(?P<leaf>\d+\.\w+)")
_TORCHVISION_HEAD = re.compile(r"(?P<head>fc|classifier)\.(?P<leaf>(\d+\.)?(weight|bias))")
_HEADS: dict[Naming, re.Pattern[str]] = {
    "own": _OWN_HEAD,
    "published": _PUBLISHED_HEAD,
    "torchvision": _TORCHVISION_HEAD,
}


class HeadTensor(NamedTuple):
    """A tensor of a classifier.

    Attributes:
        head: the classifier, such as "layer5" or "classifiers.0".
        leaf: the tensor in it: branch and kind, such as "0.weight".
    """

    head: str
    leaf: str


def without_prefixes(name: str) -> str:
    """A name without what wrappers put before it, in any mix.

    `module.` comes from data parallelism, `Scale.` from the multi-scale network of DeepLab-v2 that
    the published initial weights were converted from.
    """
    return re.sub(r"^((module|Scale)\.)+", "", name)


def head_tensor(name: str, naming: Naming) -> HeadTensor | None:
    """Take the name of a classifier's tensor apart; None for any other tensor.

    Under "torchvision" the classifier is the one of ImageNet's classes.
    """
    found = _HEADS[naming].fullmatch(name)
    return HeadTensor(found["head"], found["leaf"]) if found else None


def own_head(head: str, leaf: str) -> str:
    """Put the name of one of our classifiers' tensors together, see `HeadTensor`."""
    return f"{head}.branches.{leaf}"


def encoder_name(own: str, *, family: Family, naming: Naming) -> str | None:
    """What a tensor of our encoder is called elsewhere; None where it has no counterpart.

    Args:
        own: name in our network's state, such as "encoder.stages.0.1.conv2.weight".
        family: of the encoder.
        naming: of the name wanted; both others are one for ResNets.
    """
    found = re.fullmatch(r"encoder\.(stem|stages\.(?P<stage>\d+))\.(?P<rest>.+)", own)
    if found is None or naming == "own":
        return own if found else None
    stage = None if found["stage"] is None else int(found["stage"])
    if family == "resnet":
        return _resnet(stage, found["rest"])
    return _vgg(stage, found["rest"], _VGG_STAGES[naming])


def published(own: str, *, family: Family, levels: int) -> str:
    """What a tensor of our network is called in a published checkpoint.

    Args:
        own: name in our network's state.
        family: of the encoder.
        levels: classifiers of the network.

    Raises:
        CheckpointError: for a network that none was published of.
    """
    most = 2 if family == "resnet" else 1
    if levels > most:
        raise CheckpointError(
            f"there are no published names for {levels} levels on a {family} encoder; expected at "
            f"most {most}; keep the project's own names, or train fewer levels"
        )
    name = encoder_name(own, family=family, naming="published")
    if name is not None:
        return name
    head = head_tensor(own, "own")
    if head is None:
        raise CheckpointError(f"there is no published name for {own!r}; expected a DeepLab's")
    level = int(head.head.rsplit(".", 1)[1])
    prefix = "classifier" if family == "vgg" else f"layer{5 + level}"
    return f"{prefix}.conv2d_list.{head.leaf}"


def published_discriminator(own: str) -> str:
    """What a tensor of our discriminator, such as "layers.2.bias", is called in a published one."""
    _, place, leaf = own.split(".")
    number = int(place) // 2 + 1  # a leaky ReLU stands between two convolutions
    return f"classifier.{leaf}" if number == 5 else f"conv{number}.{leaf}"


def _resnet(stage: int | None, rest: str) -> str:
    if stage is not None:
        return f"layer{stage + 1}.{rest}"
    layer, leaf = rest.split(".")
    return f"{('conv1', 'bn1')[int(layer)]}.{leaf}"


def _vgg(stage: int | None, rest: str, begins: tuple[int, ...]) -> str | None:
    layer, leaf = rest.split(".")
    if stage is None:
        return f"features.{layer}.{leaf}"
    return f"features.{begins[stage] + int(layer)}.{leaf}" if stage < len(begins) else None
