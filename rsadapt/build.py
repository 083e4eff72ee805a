"""The only file that turns a configuration into objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from rsadapt import config
from rsadapt.adapt.adapted_batch_norm import AdaptedBatchNorm
from rsadapt.adapt.batch_norm import BatchNormPolicy, Domain, DomainStatistics
from rsadapt.adapt.method import Method, Parts
from rsadapt.adapt.output_space import OutputSpace
from rsadapt.adapt.source_only import SourceOnly
from rsadapt.adapt.trainer import Learner, Schedule
from rsadapt.classes import ClassScheme
from rsadapt.data.geotiff import GridWindows, RandomWindows, Region, open_scenes
from rsadapt.data.stream import stream
from rsadapt.errors import ConfigError, DataError, MissingFileError
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.regions import split_areas
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.discriminator import Discriminator
from rsadapt.nets.encoder import Encoder
from rsadapt.nets.resnet import ResNetEncoder
from rsadapt.nets.small import SmallEncoder
from rsadapt.sample import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from rsadapt.data.augment import Augmenter

STREAM_SEEDS = {"source": 1, "target": 2}
"""Added to a thousand times the run's seed, so that no two streams of any runs are alike."""


# Configuration


def configuration(path: Path, assignments: Sequence[str] = ()) -> config.Configuration:
    """Read a configuration file, apply "key=value" assignments, and make its paths absolute.

    Raises:
        MissingFileError: where there is no such file.
        ConfigError: naming every wrong field.
    """
    values = config.assign(config.load_yaml(path), list(assignments))
    settings = config.parse(values, where=path)
    folder = path.resolve().parent
    paths = {"root": str((folder / settings.root).resolve())}
    if settings.init_from is not None:
        paths["init_from"] = str((folder / settings.init_from).resolve())
    return settings.model_copy(update=paths)


def class_scheme(settings: config.Configuration) -> ClassScheme:
    """The class table."""
    return ClassScheme(
        names=tuple(entry.name for entry in settings.classes),
        ids=tuple(
            (entry.id,) if isinstance(entry.id, int) else tuple(entry.id)
            for entry in settings.classes
        ),
        colours=tuple(_colour(entry.colour) for entry in settings.classes),
        ignored=tuple(settings.ignored_ids),
    )


def _colour(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


# Regions


@dataclass(frozen=True)
class Place:
    """A region cut into the part to train on and the part kept apart.

    Attributes:
        training: never shares a pixel with `validation`.
        validation: None where the split keeps nothing.
    """

    training: Region
    validation: Region | None


@dataclass(frozen=True)
class Places:
    """Both regions of a run."""

    source: Place
    target: Place

    @property
    def bands(self) -> int:
        """Bands of a sample, the same in both regions."""
        return len(self.source.training.bands)

    def labelled_regions(self) -> list[Region]:
        """The parts whose labels are used: the source's, and the target's validation part."""
        parts = [self.source.training, self.source.validation, self.target.validation]
        return [part for part in parts if part is not None and part.labelled]

    def scored(self) -> dict[Domain, Region]:
        """The validation part of each domain that has labels to score it with."""
        both: dict[Domain, Region | None] = {
            "source": self.source.validation,
            "target": self.target.validation,
        }
        return {name: part for name, part in both.items() if part is not None and part.labelled}


def places(settings: config.Configuration) -> Places:
    """Open both regions' scenes and cut them into training and validation parts.

    Raises:
        MissingFileError: for a file or pattern that matches nothing.
        DataError: for rasters that cannot be read, grids or band counts that do not fit together.
    """
    both = Places(
        _place("source", settings.source, settings), _place("target", settings.target, settings)
    )
    if not both.source.training.labelled:
        raise ConfigError("'source.labels' is missing: the source region must have labels")
    ours, theirs = both.source.training.bands, both.target.training.bands
    if len(ours) != len(theirs):
        raise DataError(
            f"the regions' band counts differ: source {len(ours)}, target {len(theirs)} "
            f"({both.target.training.scenes[0].image.path}); choose common ones with 'bands'"
        )
    return both


def _place(name: str, region: config.RegionSettings, settings: config.Configuration) -> Place:
    root = Path(settings.root)
    label_files = _files(region.labels, root)
    files = [file for file in _files(region.scenes, root) if file not in label_files]
    if not files:
        raise DataError(f"{name} region: every scene is also named as a label; name them apart")
    if label_files and len(label_files) != len(files):
        raise DataError(
            f"{name} region: {len(files)} scenes and {len(label_files)} label files; "
            f"expected one a scene, in the same order"
        )
    images = [Raster(file) for file in files]
    labels = [Raster(file) for file in _in_order_of(files, label_files)] if label_files else None
    bands = _bands(name, images, settings.bands)
    split = region.validation
    areas = split_areas([image.grid for image in images], share=split.share, side=split.side)
    training, validation = (open_scenes(images, labels, part) for part in areas)
    if not training:
        raise DataError(f"{name} region: nothing is left to train on; lower 'validation.share'")
    return Place(
        Region(name, training, bands), Region(name, validation, bands) if validation else None
    )


def _files(patterns: Sequence[str], root: Path) -> list[Path]:
    """The files that patterns name, in order of patterns, each pattern's sorted, none twice."""
    files: dict[Path, None] = {}
    for pattern in patterns:
        whole = root / pattern
        if whole.is_file():
            files[whole] = None
            continue
        anchor = Path(whole.anchor)
        found = sorted(
            file for file in anchor.glob(str(whole.relative_to(anchor))) if file.is_file()
        )
        if not found:
            raise MissingFileError(f"{whole}: no such file, and no file of that pattern")
        files.update(dict.fromkeys(found))
    return list(files)


def _in_order_of(scenes: Sequence[Path], labels: Sequence[Path]) -> list[Path]:
    """Labels in the order of their scenes: by name where names tell, else in the order given.

    Names tell where each scene has one label called as itself, or as itself and more that begins
    with neither letter nor digit, as in `s1.tif` and `s1_label.tif`.
    """
    found = []
    for scene in scenes:
        named = [
            label
            for label in labels
            if label.stem.startswith(scene.stem)
            and not label.stem.removeprefix(scene.stem)[:1].isalnum()
        ]
        if len(named) != 1:
            return list(labels)
        found += named
    return found if len(set(found)) == len(labels) else list(labels)


def _bands(name: str, images: Sequence[Raster], chosen: list[int] | None) -> tuple[int, ...]:
    """The bands to read, which every image must have."""
    counts = {image.count for image in images}
    if chosen is None and len(counts) > 1:
        listed = ", ".join(f"{image.path.name} {image.count}" for image in images)
        raise DataError(f"{name} region: scenes of different band count ({listed}); set 'bands'")
    bands = tuple(chosen) if chosen is not None else tuple(range(1, images[0].count + 1))
    for image in images:
        check_bands(image, bands)
    return bands


def check_bands(image: Raster, bands: Sequence[int]) -> None:
    """Make sure that an image has the bands to be read.

    Raises:
        DataError: where it lacks one.
    """
    if not bands or min(bands) < 1 or max(bands) > image.count:
        raise DataError(
            f"{image.path}: has bands 1 to {image.count}, and bands {list(bands)} are asked for; "
            f"choose others with 'bands', or another image"
        )


Normalisers = dict[Domain, Normaliser]


def normalisers(
    settings: config.Configuration, source: Normaliser, target: Normaliser
) -> Normalisers:
    """How each domain's images are standardised, given how its own statistics would do it."""
    return {
        "source": source,
        "target": target if settings.normalise_by == "region" else source,
    }


def training_windows(
    settings: config.Configuration, both: Places, normalise: Normalisers, domain: Domain
) -> RandomWindows:
    """Random training windows of a domain; the target's never open a label."""
    place = both.source if domain == "source" else both.target
    training = settings.training
    return RandomWindows(
        place.training,
        size=training.tile,
        seed=1000 * settings.seed + STREAM_SEEDS[domain],
        normalise=normalise[domain],
        scheme=class_scheme(settings) if domain == "source" else None,
        augment=_augmenter(settings),
        least_valid=training.least_valid,
    )


def _augmenter(settings: config.Configuration) -> Augmenter | None:
    if not settings.training.augment:
        return None
    from rsadapt.data.augment import Augmenter

    return Augmenter(list(settings.training.augment))


def evaluation_windows(
    settings: config.Configuration, region: Region, normalise: Normaliser
) -> GridWindows:
    """Windows that cover a labelled region once."""
    return GridWindows(
        region, size=settings.prediction.tile, normalise=normalise, scheme=class_scheme(settings)
    )


def batches(
    settings: config.Configuration, windows: RandomWindows, start: int, fabric: Fabric
) -> Iterator[Batch]:
    """This process's share of a domain's endless batches."""
    return stream(
        windows,
        batch_size=settings.training.batch_size,
        start=start * settings.training.accumulate,
        workers=settings.training.workers,
        rank=fabric.global_rank,
        ranks=fabric.world_size,
        pin=fabric.device.type == "cuda",
    )


# Networks and methods


def network(settings: config.Configuration, bands: int) -> DeepLab:
    """The segmentation network, with fresh (or ImageNet) weights."""
    chosen = settings.network
    encoder: Encoder
    if chosen.encoder == "small":
        if chosen.pretrained:
            raise ConfigError("network.pretrained: there are no weights of the small encoder")
        encoder = SmallEncoder(bands=bands)
    else:
        encoder = ResNetEncoder(chosen.encoder, bands=bands, pretrained=chosen.pretrained)
    return DeepLab(
        encoder,
        bands=bands,
        classes=len(settings.classes),
        levels=chosen.levels,
        rates=chosen.rates,
        upsampling=chosen.upsampling,
    )


def method(settings: config.Configuration) -> Method:
    """What a training step does."""
    chosen = settings.method
    if isinstance(chosen, config.SourceOnlySettings):
        return SourceOnly(chosen.segmentation)
    if isinstance(chosen, config.AdaptedBatchNormSettings):
        return AdaptedBatchNorm()
    return OutputSpace(chosen.segmentation, chosen.adversarial, chosen.objective)


def learner(settings: config.Configuration, bands: int) -> Learner:
    """Fresh networks, the optimiser of each and the method, on the configured device.

    The same seed gives the same weights; the segmentation network's do not depend on the method.
    """
    from lightning_fabric import Fabric

    set_threads(settings)
    torch.manual_seed(settings.seed)
    segmenter = network(settings, bands)
    optimisers: dict[str, Optimizer] = {"network": _optimiser(settings, segmenter)}
    others: dict[str, nn.Module] = {}
    chosen = settings.method
    if isinstance(chosen, config.OutputSpaceSettings):
        for level in range(1, settings.network.levels + 1):
            name = f"discriminator_{level}"
            others[name] = Discriminator(len(settings.classes), width=chosen.discriminator_width)
            optimisers[name] = Adam(
                others[name].parameters(), lr=chosen.discriminator_rate, betas=(0.9, 0.99)
            )
    return Learner(
        Parts(segmenter, segmenter.upsample, statistics(settings, segmenter), others),
        optimisers,
        method(settings),
        Fabric(accelerator=_device_type(settings), devices=1, precision=settings.device.precision),
    )


def set_threads(settings: config.Configuration) -> None:
    """Let PyTorch use as many threads of the CPU as configured, in the whole process."""
    if settings.device.threads is not None:
        torch.set_num_threads(settings.device.threads)


def device(settings: config.Configuration) -> torch.device:
    """Where a trained network is used.

    Raises:
        ConfigError: for an accelerator that this machine has not.
    """
    return torch.device(_device_type(settings))


def _device_type(settings: config.Configuration) -> str:
    wanted = settings.device.accelerator
    there = [
        name
        for name, found in (
            ("cuda", torch.cuda.is_available()),
            ("mps", torch.backends.mps.is_available()),
            ("cpu", True),
        )
        if found
    ]
    if wanted != "auto" and wanted not in there:
        raise ConfigError(
            f"device.accelerator is {wanted}, and this machine has {' and '.join(there)}; "
            f"choose one of those, or auto"
        )
    return there[0] if wanted == "auto" else wanted


def batch_norm_policy(settings: config.Configuration) -> BatchNormPolicy:
    """The policy in force: a method that never sees the target has statistics of one domain."""
    chosen = settings.network.batch_norm
    return "source" if chosen == "per_domain" and not method(settings).uses_target else chosen


def statistics(settings: config.Configuration, segmenter: DeepLab) -> DomainStatistics:
    """The batch-norm statistics of a network under the policy in force."""
    momentum = settings.network.batch_norm_momentum
    return DomainStatistics(segmenter, batch_norm_policy(settings), momentum=momentum)


def _optimiser(settings: config.Configuration, segmenter: DeepLab) -> Optimizer:
    chosen = settings.optimiser
    heads = segmenter.head_parameters()
    groups: list[dict[str, Any]] = [
        {"params": list(segmenter.encoder.parameters()), "lr": chosen.rate},
        {"params": heads, "lr": chosen.rate * chosen.head_factor},
    ]
    if chosen.name == "adamw":
        return AdamW(groups, weight_decay=chosen.weight_decay)
    return SGD(
        groups,
        momentum=chosen.momentum,
        nesterov=chosen.nesterov,
        weight_decay=chosen.weight_decay,
    )


def schedule(settings: config.Configuration) -> Schedule:
    """When the trainer does what."""
    training = settings.training
    return Schedule(
        steps=training.steps,
        horizon=training.horizon or training.steps,
        power=settings.optimiser.power,
        accumulate=training.accumulate,
        log_every=training.log_every,
        validate_every=training.validate_every,
        save_every=training.save_every,
    )
