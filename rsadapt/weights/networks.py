"""Named tensors of any known naming into a network, and out of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from rsadapt.errors import CheckpointError
from rsadapt.nets import naming
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.naming import Family, Naming
from rsadapt.nets.resnet import ResNetEncoder
from rsadapt.nets.vgg import VggEncoder
from rsadapt.weights.files import Tensors


@dataclass(frozen=True)
class Fit:
    """What became of a file's tensors in a network.

    Attributes:
        naming: whose names the file has.
        left_out: what was not loaded and why, such as "layer5 (21 classes, the network has 19)".
        fresh: our names of the tensors that keep their initial values; batch norm's counters,
            which no result depends on and files of 2018 lack, are not listed.
    """

    naming: Naming
    left_out: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()

    def describe(self) -> str:
        """All of it in one line, for reports."""
        parts = [f"{self.naming} names"]
        if self.left_out:
            parts.append(f"left out: {', '.join(self.left_out)}")
        if self.fresh:
            parts.append(f"not in the file, initial values kept: {', '.join(_layers(self.fresh))}")
        return "; ".join(parts)


def fit(network: DeepLab, tensors: Mapping[str, Tensor], *, where: Path | str) -> Fit:
    """Load named tensors of any known naming into a network.

    The encoder's must be there, all of them and no others. Classifiers go where they fit, last
    first: one of a single-level checkpoint lands on the main level, which sees the same features.
    Those that fit nowhere are left out, and so is ImageNet's. Names do not tell which branches of
    a pyramid count: that is the network's to match.

    Args:
        network: takes the tensors, in its own dtype.
        tensors: by name, with any of the prefixes that wrappers add.
        where: the file, for messages.

    Raises:
        CheckpointError: naming the first tensors of the encoder that do not fit, or for published
            weights in a ResNet of another layout; the network is then unchanged.
    """
    theirs = _without_prefixes(tensors, where)
    own: Tensors = network.state_dict()
    names, places = _recognise(theirs, own, family(network), where)
    if names == "published":
        _check_layout(network, where)
    _check_encoder(theirs, own, names, places, where)
    state = {places[name]: value for name, value in theirs.items() if name in places}
    placed, left_out = _place_heads(_heads(theirs, names), _heads(own, "own"), names)
    state |= placed
    network.load_state_dict(state, strict=False)
    fresh = (name for name in own if name not in state and not _is_counter(name))
    return Fit(names, tuple(left_out), tuple(fresh))


def load_all(network: nn.Module, tensors: Mapping[str, Tensor], *, where: Path) -> None:
    """Load named tensors into a network of exactly those names and shapes.

    Raises:
        CheckpointError: naming the first tensors that do not fit.
    """
    own = network.state_dict()
    wrong = [
        name
        for name in own.keys() | tensors.keys()
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    ]
    if wrong:
        raise CheckpointError(
            f"{where}: {len(wrong)} of {len(own)} tensors do not fit the configured network, such "
            f"as {', '.join(sorted(wrong)[:3])}; check 'network', 'bands' and 'classes'"
        )
    network.load_state_dict(tensors)


def published_tensors(network: DeepLab) -> Tensors:
    """A network's tensors by the names and in the order of the published checkpoints.

    Raises:
        CheckpointError: for a network that none was published of, such as a ResNet whose layout is
            another: under published names its tensors would mean something else.
    """
    kind = family(network)
    if kind is None:
        raise CheckpointError(
            f"there are no published names of a {type(network.encoder).__name__}'s tensors; "
            f"expected a ResNet or VGG encoder"
        )
    _check_layout(network, "the network")
    return {
        naming.published(name, family=kind, levels=network.levels): value
        for name, value in network.state_dict().items()
    }


def family(network: DeepLab) -> Family | None:
    """The family of a network's encoder; None for those that only this project has."""
    if isinstance(network.encoder, ResNetEncoder):
        return "resnet"
    return "vgg" if isinstance(network.encoder, VggEncoder) else None


def _check_layout(network: DeepLab, where: Path | str) -> None:
    """Make sure that published names mean what the network computes."""
    encoder = network.encoder
    if isinstance(encoder, ResNetEncoder) and encoder.layout != "published":
        raise CheckpointError(
            f"{where}: published names belong to a ResNet of the published layout, found layout "
            f"{encoder.layout}; set network.layout: published, or use the project's own names"
        )


def _without_prefixes(tensors: Mapping[str, Tensor], where: Path | str) -> Tensors:
    bare = {naming.without_prefixes(name): value for name, value in tensors.items()}
    if len(bare) < len(tensors):
        raise CheckpointError(
            f"{where}: {len(tensors) - len(bare)} tensors are there twice, with and without the "
            f"prefixes module. and Scale.; expected each once; keep one set of them"
        )
    return bare


def _recognise(
    theirs: Iterable[str], own: Iterable[str], kind: Family | None, where: Path | str
) -> tuple[Naming, dict[str, str]]:
    """Find whose names a file has: those that explain most; and where its encoder's belong."""
    namings: list[Naming] = ["own"] if kind is None else ["own", "published", "torchvision"]
    places = {names: _encoder_places(own, kind, names) for names in namings}
    known = {
        names: sum(name in places[names] or _is_head(name, names) for name in theirs)
        for names in namings
    }
    best = max(namings, key=lambda names: known[names])
    if not known[best]:
        raise CheckpointError(
            f"{where}: expected tensors by names of a known kind ({', '.join(namings)}), found "
            f"others, such as {_some(theirs)}; check 'network.encoder'"
        )
    return best, places[best]


def _encoder_places(own: Iterable[str], kind: Family | None, names: Naming) -> dict[str, str]:
    """Our name of each tensor of the encoder, by the name that it has under another naming."""
    theirs = {
        name: name if kind is None else naming.encoder_name(name, family=kind, naming=names)
        for name in own
        if not _is_head(name, "own")
    }
    return {other: name for name, other in theirs.items() if other is not None}


def _check_encoder(
    theirs: Tensors, own: Tensors, names: Naming, places: Mapping[str, str], where: Path | str
) -> None:
    """Make sure that a file has the encoder's tensors, in its shapes, and no others.

    Others would be a deeper network's, of which a part is worth nothing.
    """
    wrong = [f"{n} (missing)" for n in places if n not in theirs and not _is_counter(n)]
    wrong += [
        f"{n} (no place for it)" for n in theirs if n not in places and not _is_head(n, names)
    ]
    wrong += [
        f"{name} ({list(theirs[name].shape)} in the file, {list(own[place].shape)} in the network)"
        for name, place in places.items()
        if name in theirs and theirs[name].shape != own[place].shape
    ]
    if wrong:
        raise CheckpointError(
            f"{where}: expected the {len(places)} tensors of the network's encoder, by their "
            f"{names} names; {len(wrong)} do not fit, such as {_some(wrong)}; check "
            f"'network.encoder' and 'bands'"
        )


Heads = dict[str, Tensors]
"""Tensors of classifiers, by classifier and by name in it."""


def _heads(tensors: Mapping[str, Tensor], names: Naming) -> Heads:
    heads: Heads = {}
    for name, value in tensors.items():
        if found := naming.head_tensor(name, names):
            heads.setdefault(found.head, {})[found.leaf] = value
    return heads


def _place_heads(theirs: Heads, own: Heads, names: Naming) -> tuple[Tensors, list[str]]:
    """Put a file's classifiers where they fit, last first; say which do not, and why."""
    placed: Tensors = {}
    left_out: list[str] = []
    free = dict(own)
    for head in sorted(theirs, reverse=True):
        tensors = theirs[head]
        place = _same_channels(tensors, free)
        reason = _misfit(tensors, free.get(place or ""), names)
        if place is None or reason is not None:
            left_out.insert(0, f"{head} ({reason})")
            continue
        del free[place]
        placed |= {naming.own_head(place, leaf): value for leaf, value in tensors.items()}
    return placed, left_out


def _same_channels(head: Tensors, free: Heads) -> str | None:
    """The last free classifier on features of as many channels as a head's."""
    theirs = head.get(_FIRST)
    if theirs is None or theirs.ndim != 4:
        return None
    fitting = (place for place in reversed(free) if free[place][_FIRST].shape[1] == theirs.shape[1])
    return next(fitting, None)


def _misfit(head: Tensors, ours: Tensors | None, names: Naming) -> str | None:
    """Why a head cannot stand for the network's on the same channels; None where it can."""
    if names == "torchvision":
        return "the classifier of ImageNet's classes"
    if ours is None:
        return "on other features than the network's"
    classes, our_classes = (len(tensors[_FIRST]) for tensors in (head, ours))
    if classes != our_classes:
        return f"{classes} classes, the network has {our_classes}"
    if head.keys() != ours.keys():
        return f"{_branches(head)} branches, the network has {_branches(ours)}"
    return None if all(head[leaf].shape == ours[leaf].shape for leaf in ours) else "another shape"


_FIRST = "0.weight"
"""The first branch's kernels [classes, channels, 3, 3], which tell what a classifier is for."""


def _branches(head: Tensors) -> int:
    return sum(leaf.endswith(".weight") for leaf in head)


def _is_head(name: str, names: Naming) -> bool:
    return naming.head_tensor(name, names) is not None


def _is_counter(name: str) -> bool:
    """Whether a tensor counts batch norm's batches, which files of 2018 do without."""
    return name.endswith(".num_batches_tracked")


def _layers(names: Iterable[str]) -> list[str]:
    """The classifiers and layers that tensors belong to, each once."""
    heads = {name: naming.head_tensor(name, "own") for name in names}
    return list(dict.fromkeys(h.head if h else n.rpartition(".")[0] for n, h in heads.items()))


def _some(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:3])
