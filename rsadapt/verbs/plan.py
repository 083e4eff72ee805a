"""Plan: what a training would do, checked as `train` checks, nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from rsadapt import build
from rsadapt.adapt import ranks
from rsadapt.adapt.trainer import Learner
from rsadapt.data.frames import Frames
from rsadapt.data.imagery import Imagery, Place
from rsadapt.progress import Progress
from rsadapt.run import RunFolder
from rsadapt.training import check_packages, prepare
from rsadapt.verbs.train import run_folder, run_settings


@dataclass(frozen=True)
class Part:
    """A part of a domain.

    Attributes:
        images: scenes or frames.
        pixels: of all of them, invalid ones included.
        labelled: whether all have labels; the target's are never trained on.
    """

    images: int
    pixels: int
    labelled: bool


@dataclass(frozen=True)
class DomainPlan:
    """What is taken of a domain.

    Attributes:
        kind: "scenes" or "frames".
        training: what is learned from.
        validation: what is kept apart, None where nothing is.
    """

    kind: str
    training: Part
    validation: Part | None


@dataclass(frozen=True)
class Plan:
    """What a training would do.

    Attributes:
        run: the folder that it would make.
        domains: by name; the target also where the method does not use it.
        classes: their names.
        encoder: of the network.
        levels: classifiers of the network.
        parameters: of the network and of each discriminator, by name.
        method: its settings.
        style: its settings; None where samples of the source keep their look.
        optimiser: its settings.
        training: the settings of training, batch sizes and schedule among them.
        precision: of computing, as Lightning Fabric names it.
        device: where it would compute.
        processes: how many would train together.
        image_sides: the shorter side of a training image, pixels, by the field that decides it.
        checkpoint_bytes: of one checkpoint, about: weights, statistics and the optimisers' memory.
        free_bytes: free on the disk of `run`.
        memory: bytes that a step is estimated to take, by what takes them, and their "total".
    """

    run: Path
    domains: dict[str, DomainPlan]
    classes: list[str]
    encoder: str
    levels: int
    parameters: dict[str, int]
    method: dict[str, Any]
    style: dict[str, Any] | None
    optimiser: dict[str, Any]
    training: dict[str, Any]
    precision: str
    device: str
    processes: int
    image_sides: dict[str, int]
    checkpoint_bytes: int
    free_bytes: int
    memory: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return asdict(self) | {"run": str(self.run)}


@ranks.together()
@build.process_kept()
def plan(
    config: Path,
    *,
    out: Path | None = None,
    data: Path | None = None,
    init: Path | str | None = None,
    assignments: Sequence[str] = (),
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Check a training as `train` would before its first step, and say what it would do.

    Nothing is written, but ImageNet weights that are asked for may be downloaded. Statistics are
    taken of the imagery, as a new run takes them.

    Args:
        config: the configuration, YAML, or a ready recipe's name.
        out: the run's folder, new or empty; `runs/` and the configuration's name by default.
        data: the folder of the data, in place of the one that the configuration names.
        init: a run or weight file to start from, "imagenet" (torchvision's) or "random".
        assignments: "dotted.key=value" changes to the configuration.
        tensorboard: whether it would write curves.
        progress: called with a task's name, units done and units in all.

    Raises:
        RsadaptError: for anything wrong with the configuration, the data or the folder.
    """
    settings = run_settings(
        config, data=data, init=init, assignments=assignments, tensorboard=tensorboard
    )
    check_packages(settings)
    folder = run_folder(config, out)
    RunFolder(folder).check_free()
    places, learner, facts = prepare(settings, {}, progress if ranks.first() else None)
    networks = {"network": learner.parts.network, **learner.parts.others}
    return Plan(
        run=folder,
        domains={"source": _domain(places.source), "target": _domain(places.target)},
        classes=list(build.class_scheme(settings).names),
        encoder=settings.network.encoder,
        levels=settings.network.levels,
        parameters={name: sum(map(Tensor.numel, n.parameters())) for name, n in networks.items()},
        method=settings.method.settings(),
        style=None if settings.style is None else settings.style.model_dump(),
        optimiser=settings.optimiser.model_dump(),
        training=settings.training.model_dump(),
        precision=settings.device.precision,
        device=str(learner.fabric.device),
        processes=learner.fabric.world_size,
        image_sides=settings.least_sides(),
        checkpoint_bytes=checkpoint_bytes(learner),
        free_bytes=shutil.disk_usage(_existing(folder)).free,
        memory=asdict(build.estimate(settings, len(facts.bands))),
    )


def checkpoint_bytes(learner: Learner) -> int:
    """Bytes of a checkpoint, about: all that is learned, and what optimisers remember of it."""
    parts = learner.parts
    learned = [parts.network, *parts.others.values()]
    tensors = [tensor for network in learned for tensor in network.state_dict().values()]
    held = sum(_statistics(kept.state_dict()) for kept in parts.memory.values())
    remembered = held + sum(_copies(each) * _trained(each) for each in learner.optimisers.values())
    return sum(map(_bytes, tensors)) + _statistics(parts.statistics.state_dict()) + remembered


def _copies(optimiser: Optimizer) -> int:
    """Tensors that an optimiser remembers of each parameter: Adam's two moments, SGD's momentum."""
    defaults = optimiser.defaults
    return 2 if "betas" in defaults else int(defaults.get("momentum", 0) > 0)


def _trained(optimiser: Optimizer) -> int:
    groups = optimiser.param_groups
    return sum(_bytes(p) for group in groups for p in group["params"] if p.requires_grad)


def _statistics(state: Any) -> int:
    """Bytes of all tensors within a nested state."""
    if isinstance(state, Tensor):
        return _bytes(state)
    inner = state.values() if isinstance(state, dict) else ()
    return sum(map(_statistics, inner))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _domain(place: Place[Imagery]) -> DomainPlan:
    kind = "frames" if isinstance(place.training, Frames) else "scenes"
    kept = None if place.validation is None else _part(place.validation)
    return DomainPlan(kind, _part(place.training), kept)


def _part(imagery: Imagery) -> Part:
    if isinstance(imagery, Frames):
        height, width = imagery.size
        count = len(imagery.frames)
        return Part(count, count * height * width, imagery.labelled)
    from rsadapt.data.region import Region  # with rasterio, which image folders do without

    if not isinstance(imagery, Region):
        raise TypeError(f"no way to count the images of a {type(imagery).__name__}")
    return Part(len(imagery.scenes), imagery.pixels, imagery.labelled)


def _existing(path: Path) -> Path:
    """The nearest folder above a path that is there."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
