"""A trained network with all that was decided once for it: loaded, used, or gone on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rsadapt import build, config
from rsadapt.adapt import checkpoint
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.method import Parts
from rsadapt.classes import ClassScheme
from rsadapt.errors import CheckpointError, MissingFileError
from rsadapt.geo.normalise import Normaliser
from rsadapt.run import RunFolder


@dataclass(frozen=True)
class Facts:
    """What was decided once for a run and holds for all that is done with its network.

    Attributes:
        settings: the resolved configuration.
        normalise: how each domain's images are standardised.
        bands: bands read from a scene, 1-based.
        record: how the run came to be, JSON-ready.
    """

    settings: config.Configuration
    normalise: build.Normalisers
    bands: tuple[int, ...]
    record: dict[str, Any]

    def to_json(self) -> str:
        """All of it as one text, for the checkpoint."""
        return json.dumps(
            {
                "settings": self.settings.model_dump(),
                "normalise": {name: n.to_dict() for name, n in self.normalise.items()},
                "bands": self.bands,
                "record": self.record,
            }
        )

    @classmethod
    def from_json(cls, text: str, *, where: Path) -> Facts:
        """Read `to_json` back.

        Raises:
            ConfigError: for a configuration that this version does not know.
        """
        facts = json.loads(text)
        return cls(
            settings=config.parse(facts["settings"], where=where),
            normalise={
                "source": Normaliser.from_dict(facts["normalise"]["source"]),
                "target": Normaliser.from_dict(facts["normalise"]["target"]),
            },
            bands=tuple(facts["bands"]),
            record=facts["record"],
        )


@dataclass(frozen=True)
class Model:
    """A trained network with all that is needed to use it.

    Attributes:
        parts: the network and its batch-norm statistics, on `device`.
        facts: what was decided once for its run.
        step: training steps done.
        device: where the network is.
    """

    parts: Parts
    facts: Facts
    step: int
    device: torch.device

    @property
    def scheme(self) -> ClassScheme:
        """The class table."""
        return build.class_scheme(self.facts.settings)


def probabilities(parts: Parts, domain: Domain) -> Callable[[Tensor], Tensor]:
    """The function from images [N, bands, H, W] to the main level's class probabilities.

    They are [N, classes, H, W], computed as images of `domain` are evaluated and predicted.
    """

    def predict(images: Tensor) -> Tensor:
        parts.network.eval()
        with parts.statistics.evaluating(domain):
            logits = parts.network(images)[-1]
        height, width = images.shape[-2:]
        return parts.upsample(logits, (height, width)).softmax(1)

    return predict


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that a run folder or a file's own path names."""
    return RunFolder(path).checkpoint if path.is_dir() else path


def load(path: Path) -> Model:
    """Load a trained network from a run folder or a checkpoint file, onto its run's device.

    Raises:
        MissingFileError: where there is none.
        CheckpointError: for a file that is damaged, or no checkpoint of a run.
    """
    file = checkpoint_file(path)
    if path.is_dir() and not file.exists():
        raise MissingFileError(
            f"{path}: no run here (there is no {file.name}); to score a folder of maps, name the "
            f"labels too (--labels)"
        )
    state = checkpoint.load(file)
    if "facts" not in state:
        raise CheckpointError(f"{file}: bare weights; expected a run's folder or checkpoint")
    facts = Facts.from_json(state["facts"], where=file)
    settings = facts.settings
    bare = settings.model_copy(
        update={"network": settings.network.model_copy(update={"pretrained": False})}
    )
    segmenter = build.network(bare, len(facts.bands))
    load_weights(segmenter, state["network"], where=file)
    build.set_threads(settings)
    device = build.device(settings)
    segmenter.to(device)
    statistics = build.statistics(settings, segmenter)
    statistics.load_state_dict(state["statistics"])
    return Model(Parts(segmenter, segmenter.upsample, statistics), facts, state["step"], device)


def warm_start(
    parts: Parts, settings: config.Configuration, bands: tuple[int, ...]
) -> Normaliser | None:
    """Give the network the weights that `init_from` names.

    Returns:
        The source normaliser those weights were trained with, None for bare weights.

    Raises:
        MissingFileError: where there is no such file.
        CheckpointError: for another class table, other bands or other shapes.
    """
    if settings.init_from is None:
        return None
    file = checkpoint_file(Path(settings.init_from))
    state = checkpoint.load(file)
    if "facts" not in state:
        load_weights(parts.network, state, where=file)
        parts.statistics.load_state_dict({})
        return None
    facts = Facts.from_json(state["facts"], where=file)
    if facts.bands != bands:
        raise CheckpointError(
            f"{file}: was trained on bands {list(facts.bands)}, and the configuration reads "
            f"{list(bands)}; choose its bands with 'bands'"
        )
    theirs, ours = build.class_scheme(facts.settings), build.class_scheme(settings)
    if (theirs.names, theirs.ids) != (ours.names, ours.ids):
        raise CheckpointError(
            f"{file}: has another class table ({_listed(theirs)}) than the configuration "
            f"({_listed(ours)}); start from a run of the same classes"
        )
    load_weights(parts.network, state["network"], where=file)
    parts.statistics.load_state_dict(state["statistics"])
    return facts.normalise["source"]


def _listed(scheme: ClassScheme) -> str:
    return ", ".join(
        f"{code} {name}" for code, name in zip(scheme.codes, scheme.names, strict=True)
    )


def load_weights(segmenter: nn.Module, weights: dict[str, Any], *, where: Path) -> None:
    """Load named tensors into a network of exactly those names and shapes.

    Raises:
        CheckpointError: naming the first tensors that do not fit.
    """
    own = segmenter.state_dict()
    wrong = [
        name
        for name in own.keys() | weights.keys()
        if name not in own or name not in weights or own[name].shape != weights[name].shape
    ]
    if wrong:
        raise CheckpointError(
            f"{where}: {len(wrong)} of {len(own)} tensors do not fit the configured network, such "
            f"as {', '.join(sorted(wrong)[:3])}; check 'network', 'bands' and 'classes'"
        )
    segmenter.load_state_dict(weights)
