"""A trained network with all that was decided once for it: loaded, used, or gone on from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rsadapt import build, checkpoints, config, weights
from rsadapt.adapt import checkpoint, ranks
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.method import Parts
from rsadapt.adapt.state import answering
from rsadapt.classes import ClassScheme
from rsadapt.errors import CheckpointError, ConfigError, MissingFileError
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.statistics import BandStatistics
from rsadapt.infer.evaluate import Answers
from rsadapt.nets.deeplab import DeepLab
from rsadapt.progress import Progress
from rsadapt.run import RunFolder, digest, environment

AS_TRAINED = build.Use()

PARTS = ("facts", "network", "statistics", "step")
"""What a run's checkpoint holds of a trained network."""


@dataclass(frozen=True)
class Facts:
    """What was decided once for a run and holds for all that is done with its network.

    Attributes:
        settings: the resolved configuration.
        normalise: how each domain's images are standardised.
        bands: bands read from a source scene, 1-based.
        record: how the run came to be, JSON-ready.
        statistics: of each domain's bands, where something needed them; old checkpoints hold
            none.
        ground_pixels: the side of a pixel on the ground that each domain was trained at, metres,
            where it is known; old checkpoints hold none.
        target_bands: those read from a target scene; `bands` unless given.
    """

    settings: config.Configuration
    normalise: build.Normalisers
    bands: tuple[int, ...]
    record: dict[str, Any]
    statistics: Mapping[Domain, build.Taken] = field(default_factory=dict)
    ground_pixels: Mapping[Domain, float] = field(default_factory=dict)
    target_bands: tuple[int, ...] = ()

    def bands_of(self, domain: Domain) -> Sequence[int | str]:
        """What to read of a domain's scenes: the bands that it chose, else those trained on."""
        chosen = self.settings.source if domain == "source" else self.settings.target
        own = chosen.bands if isinstance(chosen, config.RegionSettings) else None
        recorded = self.bands if domain == "source" else self.target_bands or self.bands
        return own or self.settings.bands or recorded

    def standard(self, domain: Domain) -> BandStatistics | None:
        """The statistics that standardise a domain; None where nobody knows them."""
        for taken in self.statistics.values():
            if Normaliser.from_statistics(taken.statistics) == self.normalise[domain]:
                return taken.statistics
        return None

    def basis(self, domain: Domain) -> str | None:
        """What the statistics were taken of that standardise a domain; None where nobody knows."""
        found = self.standard(domain)
        return None if found is None else found.basis

    def to_json(self) -> str:
        """All of it as one text, for the checkpoint."""
        return json.dumps(
            {
                "settings": self.settings.model_dump(),
                "normalise": {name: n.to_dict() for name, n in self.normalise.items()},
                "bands": self.bands,
                "record": self.record,
                "statistics": {name: taken.to_dict() for name, taken in self.statistics.items()},
                "ground_pixels": self.ground_pixels,
                "target_bands": self.target_bands,
            }
        )

    def told(self, step: int) -> dict[str, str]:
        """What stands beside the network's weights after so many steps, each value JSON."""
        values = {
            "step": step,
            "classes": build.class_scheme(self.settings).names,
            "bands": self.bands,
            "normalisation": {name: n.to_dict() for name, n in self.normalise.items()},
            "batch_norm": build.batch_norm_words(self.settings),
            "network": self.settings.network.model_dump(),
        }
        return {name: json.dumps(value) for name, value in values.items()}

    @classmethod
    def from_json(cls, text: str, *, where: Path) -> Facts:
        """Read `to_json` back.

        Raises:
            ConfigError: for a configuration that this version does not know.
        """
        facts = json.loads(text)
        settings = config.parse(facts["settings"], where=where)
        if "target_bands" not in facts and settings.bands is None:  # alpha was an input before
            every = list(range(1, len(facts["bands"]) + 1))
            settings = settings.model_copy(update={"bands": every})
        return cls(
            settings=settings,
            normalise={
                "source": Normaliser.from_dict(facts["normalise"]["source"]),
                "target": Normaliser.from_dict(facts["normalise"]["target"]),
            },
            bands=tuple(facts["bands"]),
            record=facts["record"],
            statistics={
                name: build.Taken.from_dict(taken)
                for name, taken in facts.get("statistics", {}).items()
            },
            ground_pixels=facts.get("ground_pixels", {}),
            target_bands=tuple(facts.get("target_bands", ())),
        )


@dataclass(frozen=True)
class Model:
    """A trained network with all that is needed to use it.

    Attributes:
        parts: the network and its batch-norm statistics, on `device`.
        facts: what was decided once for its run.
        step: training steps done.
        device: where the network is.
        file: the checkpoint or weight file that it was read from.
    """

    parts: Parts
    facts: Facts
    step: int
    device: torch.device
    file: Path

    @property
    def scheme(self) -> ClassScheme:
        """The class table."""
        return build.class_scheme(self.facts.settings)


def answers(parts: Parts, domain: Domain, precision: str = "32-true") -> Answers:
    """The function from images [N, bands, H, W] and a size to the main level's logits there.

    They are [N, classes, height, width], as images of `domain` are evaluated and predicted: by the
    bare network, so that a run on its way answers as it does when it is loaded.

    Args:
        parts: the network.
        domain: of the images.
        precision: to compute in, see `build.inference`; that of the parameters where it is none
            of the mixed ones.
    """
    network = network_of(parts)
    build.warn_of_precision(precision, next(network.parameters()).device.type)

    def predict(images: Tensor, size: tuple[int, int]) -> Tensor:
        own = next(network.parameters()).dtype  # which images must have
        network.eval()
        with parts.statistics.evaluating(domain), build.autocast(precision, images.device):
            logits = network.forward(images.to(own))[-1]  # as written, where training compiles it
        height, width = images.shape[-2:]
        return parts.upsample(logits.to(own), size, (height, width))

    return predict


def probabilities(
    parts: Parts, domain: Domain, precision: str = "32-true"
) -> Callable[[Tensor], Tensor]:
    """The function from images [N, bands, H, W] to class probabilities of their size."""
    predict = answers(parts, domain, precision)

    def at_image_size(images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        return predict(images, (height, width)).softmax(1)

    return at_image_size


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that a run folder or a file's own path names."""
    return RunFolder(path).checkpoint if path.is_dir() else path


def load(path: Path, use: build.Use = AS_TRAINED) -> Model:
    """Load a trained network from a run folder or a checkpoint file.

    Args:
        path: the folder or file.
        use: on which device; its run's by default, or what there is with a warning.

    Raises:
        ConfigError: for a device that is not there.
        MissingFileError: where there is none.
        CheckpointError: for a file that is damaged, or no checkpoint of a run; of a run's, where
            none is whole (see `checkpoints.load`).
    """
    if path.is_dir() and not checkpoints.candidates(RunFolder(path)):
        raise MissingFileError(
            f"{path}: no run here (there is no {checkpoint_file(path).name}); to score a folder of "
            f"maps, name the labels too (--labels)"
        )
    found = checkpoints.load(path)
    file, state = found.file, found.state
    if "translator" in state:
        raise CheckpointError(
            f"{file}: a translator's checkpoint; name the run of a segmentation network"
        )
    if "facts" not in state:
        raise CheckpointError(
            f"{file}: bare weights; name the recipe or configuration that they belong to (--recipe)"
        )
    checkpoint.require(state, PARTS, where=file)
    facts = Facts.from_json(state["facts"], where=file)
    facts = replace(facts, settings=use.settle(facts.settings))
    parts = _parts(facts.settings, facts.bands)
    tensors, statistics = answering(state)
    weights.load_all(parts.network, tensors, where=file)
    parts.statistics.load_state_dict(statistics)
    return _on_device(parts, facts, state["step"], file)


def load_bare(
    path: Path, settings: config.Configuration, progress: Progress | None = None
) -> Model:
    """Load a bare weight file of any known naming into the network of a configuration.

    Args:
        path: see `weights.read`.
        settings: says what network the weights are of, and how images are brought to it. Images
            are read only where they are standardised by their own statistics.
        progress: is told of what is read.

    Raises:
        MissingFileError: where there is no such file.
        CheckpointError: for a file that is damaged or does not fit, or a run's. Of the heads the
            main level's must fit: nothing else is predicted with.
    """
    path = checkpoint_file(path)
    state = weights.read(path)
    if "facts" in state:
        raise CheckpointError(
            f"{path}: a run's checkpoint, with settings and statistics of its own; leave --recipe "
            f"out, or write its bare weights (rsadapt export-weights)"
        )
    return _bare(path, state, _given(settings) or _read(settings, progress))


def _bare(path: Path, state: Mapping[str, Any], facts: Facts) -> Model:
    """The network of some facts with bare weights."""
    settings = facts.settings
    parts = _parts(settings, facts.bands)
    segmenter = network_of(parts)
    fit = weights.fit(segmenter, weights.named_tensors(state, path), where=path)
    if not all(segmenter.is_auxiliary(name) for name in fit.fresh):
        raise CheckpointError(
            f"{path}: not all of the network stands in it ({fit.describe()}); choose the recipe or "
            f"configuration that the weights are of"
        )
    parts.statistics.load_state_dict({})
    if not facts.record:  # a model that is opened again keeps what was recorded at first
        described = f"unknown; scored is {path.name} (sha256 {digest(path)}): {fit.describe()}"
        facts = replace(facts, record=record(settings, described, facts.statistics))
    return _on_device(parts, facts, 0, path)


def _given(settings: config.Configuration) -> Facts | None:
    """What holds for a configuration that names bands and normalisers, without opening images."""
    if settings.bands is None:
        return None
    given = build.given_normaliser(settings, len(settings.bands))
    if given is None:
        return None
    return Facts(settings, {"source": given, "target": given}, tuple(settings.bands), {})


def _read(settings: config.Configuration, progress: Progress | None) -> Facts:
    """What holds for a configuration, as its images have it."""
    places = build.places(settings)
    taken = build.take_statistics(settings, places, progress=progress)
    normalise = build.normalisers(settings, places, taken)
    ours, theirs = places.source.training.bands, places.target.training.bands
    return Facts(settings, normalise, ours, {}, taken, target_bands=theirs)


def open_model(
    path: Path,
    *,
    recipe: Path | None = None,
    assignments: Sequence[str] = (),
    data: Path | None = None,
    use: build.Use = AS_TRAINED,
    progress: Progress | None = None,
) -> Model:
    """Load a run's network, or a bare weight file with the recipe that it belongs to.

    Args:
        path: a run's folder or checkpoint, or with `recipe` a weight file.
        recipe: a configuration, or a ready recipe's name.
        assignments: "dotted.key=value" changes to the recipe.
        data: the folder of the data, in place of the one that the run or recipe names.
        use: see `load`.
        progress: is told of what is read.

    Raises:
        MissingFileError, CheckpointError, ConfigError: see `load` and `load_bare`.
    """
    if recipe is not None:
        settings = use.settle(build.configuration(recipe, assignments, data=data))
        return load_bare(path, settings, progress)
    if assignments:
        raise ConfigError(f"{path}: the settings of a run stay; changes go with --recipe only")
    model = load(path, use)
    if data is None:
        return model
    settings = model.facts.settings.model_copy(update={"root": str(data.resolve())})
    return replace(model, facts=replace(model.facts, settings=settings))


@dataclass(frozen=True)
class Saved:
    """Where a model lies that was opened, so that other processes open the same; it pickles.

    Attributes:
        path: its checkpoint or weight file, absolute.
        digest: of that file and, of bare weights, of what decides what they answer.
        use: on which device.
        facts: of bare weights, in which they do not stand; None of a run.
    """

    path: Path
    digest: str
    use: build.Use = AS_TRAINED
    facts: Facts | None = field(default=None, compare=False, repr=False)


def saved(model: Model, *, bare: bool, use: build.Use = AS_TRAINED) -> Saved:
    """Where a model lies.

    Args:
        model: as it was opened.
        bare: whether a recipe was given.
        use: as it was opened with.
    """
    file, facts = model.file.absolute(), model.facts if bare else None
    return Saved(file, _digest(file, facts), use, facts)


def _digest(file: Path, facts: Facts | None) -> str:
    """What tells a model from others: its file, and the facts that do not stand in it."""
    if facts is None:
        return digest(file)
    told = facts.told(0) | {"table": build.class_scheme(facts.settings).to_dict()}
    recipe = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    return f"{digest(file)}-{recipe[:12]}"


@lru_cache(maxsize=1)
def reopen(saved: Saved) -> Model:
    """Open a model, once a process; of bare weights without reading configuration or images.

    Raises:
        MissingFileError: where it is not found.
        CheckpointError: where the file is another by now.
    """
    if not saved.path.is_file():
        raise MissingFileError(f"{saved.path}: no such file")
    if _digest(saved.path, saved.facts) != saved.digest:
        raise CheckpointError(
            f"{saved.path}: is another file than when prediction began, as where training goes on; "
            f"predict again"
        )
    if saved.facts is None:
        return load(saved.path, saved.use)
    return _bare(saved.path, weights.read(saved.path), saved.facts)


def _parts(settings: config.Configuration, bands: tuple[int, ...]) -> Parts:
    """The network of a configuration, to be given weights."""
    build.set_process(settings)
    bare = settings.model_copy(
        update={"network": settings.network.model_copy(update={"pretrained": False})}
    )
    segmenter = build.network(bare, len(bands))
    build.lay_out(settings, segmenter)
    return Parts(segmenter, segmenter.upsample, build.statistics(settings, segmenter))


def network_of(parts: Parts) -> DeepLab:
    """The network, without what wraps it for a device."""
    for module in parts.network.modules():
        if isinstance(module, DeepLab):
            return module
    raise TypeError(f"expected a DeepLab, found a {type(parts.network).__name__}")


def _on_device(parts: Parts, facts: Facts, step: int, file: Path) -> Model:
    device = build.device(facts.settings)
    parts.network.to(device)
    return Model(parts, facts, step, device, file)


@dataclass(frozen=True)
class Start:
    """What a run begins with.

    Attributes:
        weights: the initial weights, in words, for every report.
        normalise: how the source was standardised for them, None where nobody settled it.
        known: statistics of the imagery that they were trained on.
    """

    weights: str
    normalise: Normaliser | None = None
    known: build.Known = field(default_factory=dict)


def warm_start(parts: Parts, settings: config.Configuration, bands: tuple[int, ...]) -> Start:
    """Give the network the weights that `init_from` names.

    Raises:
        MissingFileError: where there is no such file.
        CheckpointError: for another class table or other bands of a run, or other shapes.
    """
    if settings.init_from is None:
        return Start(build.initial_words(settings.network))
    file, state = _read_start(Path(settings.init_from))
    if "facts" not in state:
        fit = weights.fit(network_of(parts), weights.named_tensors(state, file), where=file)
        parts.statistics.load_state_dict({})
        return Start(f"{file.name} (sha256 {digest(file)}): {fit.describe()}")
    checkpoint.require(state, PARTS, where=file)
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
    tensors, statistics = answering(state)
    weights.load_all(parts.network, tensors, where=file)
    parts.statistics.load_state_dict(statistics)
    known = {taken.fingerprint: taken.statistics for taken in facts.statistics.values()}
    return Start(settings.init_from, facts.normalise["source"], known)


def _read_start(path: Path) -> tuple[Path, dict[str, Any]]:
    """Read a run's newest whole checkpoint or a weight file; also say which file that is."""
    if not path.is_dir():
        return path, weights.read(path)
    found = checkpoints.load(path)
    return found.file, found.state


def record(
    settings: config.Configuration, initial_weights: str, taken: Mapping[Domain, build.Taken]
) -> dict[str, Any]:
    """The facts every result must state, and where they were made, JSON-ready."""
    return {
        "seed": settings.seed,
        "method": settings.method.name,
        "style": None if settings.style is None else settings.style.model_dump(),
        "classes": len(build.class_scheme(settings)),
        "initial_weights": initial_weights,
        "batch_norm": build.batch_norm_words(settings),
        "processes": ranks.count(),
        "batch": settings.training.batch_size * settings.training.accumulate * ranks.count(),
        "precision": settings.device.precision,
        "evaluation": build.evaluation_words(settings),
        "target_split": build.target_split(settings),
        "frames": build.frame_words(build.frame_counts(settings)),
        "statistics": {domain: found.statistics.basis for domain, found in taken.items()},
        **environment(),
    }


def _listed(scheme: ClassScheme) -> str:
    return ", ".join(
        f"{code} {name}" for code, name in zip(scheme.codes, scheme.names, strict=True)
    )
