"""From settings to the imagery of both domains: what to train on and what to score on."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from rsadapt import config
from rsadapt.adapt.batch_norm import Domain
from rsadapt.build.band_statistics import Taken
from rsadapt.build.configuration import class_scheme
from rsadapt.build.learning import method
from rsadapt.build.style import styling
from rsadapt.data.cityscapes import CITYSCAPES
from rsadapt.data.crosscity import CROSS_CITY
from rsadapt.data.folder import FolderDataset
from rsadapt.data.frames import FrameEvaluation, Frames, FrameSamples
from rsadapt.data.gta5 import GTA5
from rsadapt.data.imagery import DomainName, Imagery, Place, Places, Scored
from rsadapt.data.prepared import Prepared
from rsadapt.data.stream import SampleSource, stream
from rsadapt.data.styling import Styling
from rsadapt.data.supply import Opener, Supply, room_for_workers
from rsadapt.data.synscapes import SYNSCAPES
from rsadapt.data.synthia import SYNTHIA
from rsadapt.errors import ConfigError, DataError, MissingFileError
from rsadapt.geo.normalise import Normaliser
from rsadapt.processes import started
from rsadapt.progress import Progress
from rsadapt.sample import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from rsadapt.data.augment import Augmenter
    from rsadapt.data.region import Region

STREAM_SEEDS: dict[Domain, int] = {"source": 1, "target": 2}
"""Added to a thousand times the run's seed, so that no two streams of any runs are alike."""
STYLE_SEEDS: dict[Domain, int] = {"source": 3, "target": 4}
"""The same for samples that say what their domain looks like."""
STYLED_SEED = 5
"""The same for the draw of those that get the target's look."""

DATASETS = {"gta5": GTA5, "synthia": SYNTHIA, "cityscapes": CITYSCAPES, "synscapes": SYNSCAPES}
"""Data sets of image folders by the name that a configuration gives them; Cross-City is one for
each city."""

Normalisers = dict[Domain, Normaliser]


def places(settings: config.Configuration) -> Places[Imagery]:
    """Find both domains' imagery and cut it into training and validation parts.

    Raises:
        MissingFileError: for a file, folder or pattern that matches nothing.
        ConfigError: where labels are needed and there are none.
        DataError: for images that cannot be read, or that do not fit together.
    """
    both: Places[Imagery] = Places(
        _place("source", settings.source, settings), _place("target", settings.target, settings)
    )
    if not both.source.training.labelled:
        raise ConfigError("'source.labels' is missing: the source region must have labels")
    ours, theirs = both.source.training.bands, both.target.training.bands
    if len(ours) != len(theirs):  # frames have as many in both
        regions = cast("Places[Region]", both)
        files = [part.training.scenes[0].image.path for part in (regions.source, regions.target)]
        raise DataError(
            f"the regions' band counts differ: source {len(ours)}, target {len(theirs)} (without "
            f"alpha, in {files[0]} and {files[1]}); choose common ones with 'bands'"
        )
    return both


def scored(settings: config.Configuration) -> dict[DomainName, Imagery]:
    """The imagery to score on, by domain; of image folders nothing else need be there.

    Raises:
        MissingFileError, ConfigError, DataError: see `places`.
    """
    if isinstance(settings.source, config.RegionSettings):
        return places(settings).scored()
    domains: dict[DomainName, Any] = {"source": settings.source, "target": settings.target}
    parts = {name: _validation(name, domain, settings) for name, domain in domains.items()}
    return {name: part for name, part in parts.items() if part is not None and part.labelled}


def geotiff_places(settings: config.Configuration) -> Places[Region]:
    """Both domains' imagery, where it must be GeoTIFF regions.

    Raises:
        ConfigError: for image folders; and what `places` raises.
    """
    if isinstance(settings.source, config.FolderSettings):
        raise ConfigError(
            f"the source is an image folder ({settings.source.dataset}), and GeoTIFF regions are "
            f"expected; for image folders there is: rsadapt check"
        )
    return cast("Places[Region]", places(settings))


def _place(
    name: str,
    domain: config.RegionSettings | config.FolderSettings,
    settings: config.Configuration,
) -> Place[Imagery]:
    if isinstance(domain, config.FolderSettings):
        return _folder_place(name, domain, settings)
    from rsadapt.build.regions import geotiff_place

    return geotiff_place(name, domain, settings)


# Image folders


def dataset(domain: config.FolderSettings) -> FolderDataset:
    """The data set that a domain's settings name.

    Raises:
        ConfigError: for a city where the data set has none, or none of its cities where it has.
    """
    if domain.dataset != "crosscity":
        if domain.city is not None:
            raise ConfigError(f"'city' is given, and {domain.dataset} has none; leave it out")
        return DATASETS[domain.dataset]
    if domain.city not in CROSS_CITY:
        raise ConfigError(
            f"'city' must be one of {', '.join(CROSS_CITY)} for crosscity, found {domain.city}"
        )
    return CROSS_CITY[domain.city]


def known_datasets() -> dict[str, FolderDataset]:
    """Every data set by a name of its own; Cross-City's by their cities'."""
    return DATASETS | {city.lower(): found for city, found in CROSS_CITY.items()}


def dataset_folder(settings: config.Configuration, domain: config.FolderSettings) -> Path:
    """Where a domain's data set was unpacked."""
    return Path(settings.root) / (domain.folder or dataset(domain).folder)


def _folder_place(
    name: str, domain: config.FolderSettings, settings: config.Configuration
) -> Place[Imagery]:
    labels = name == "source"
    if labels:
        _check_labelled(f"{name}.split", dataset(domain), domain.split)
    training = frames(name, domain, settings, domain.split, labels=labels)
    return Place(training, _validation(name, domain, settings))


def _validation(
    name: str, domain: config.FolderSettings, settings: config.Configuration
) -> Frames | None:
    if domain.validation_split is None:
        return None
    if domain.validation_split == domain.split:
        raise ConfigError(f"'{name}.validation_split' is the split to train on; name another")
    _check_labelled(f"{name}.validation_split", dataset(domain), domain.validation_split)
    return frames(name, domain, settings, domain.validation_split, domain.evaluation_size)


def _check_labelled(field: str, found: FolderDataset, split: str) -> None:
    if found.split(split).labels is None:
        raise ConfigError(
            f"'{field}': {found.title} '{split}' has no labels; choose "
            f"{' or '.join(found.labelled)}"
        )


def frames(
    name: str,
    domain: config.FolderSettings,
    settings: config.Configuration,
    split: str,
    size: config.SizeSettings | None = None,
    *,
    labels: bool = True,
) -> Frames:
    """The frames of a split, to be resized to `size`, the training's unless given.

    Without `labels` they need not be there: a target is trained on images alone.

    Raises:
        MissingFileError, DataError, ConfigError: see `FolderDataset.frames`.
    """
    found = dataset(domain)
    size = size or domain.size
    folder = dataset_folder(settings, domain)
    try:
        there = found.frames(folder, split, labels=labels)
    except MissingFileError as error:
        if folder.exists():
            raise
        raise MissingFileError(
            f"{error}; if it lies elsewhere, name the folder that holds "
            f"{domain.folder or found.folder} by --data"
        ) from error
    return Frames(
        name=name,
        dataset=found,
        frames=tuple(there),
        size=(size.height, size.width),
        bands=tuple(settings.bands or (1, 2, 3)),
    )


def prepared_folder(settings: config.Configuration, domain: Domain) -> Path:
    """Where `rsadapt prepare` keeps the resized frames of a domain, below the folder given.

    Raises:
        ConfigError: where the domain is no image folder, or no folder is given.
    """
    chosen = settings.source if domain == "source" else settings.target
    if settings.prepared is None or not isinstance(chosen, config.FolderSettings):
        raise ConfigError("'prepared' names a folder for the frames of image folders")
    own = "_".join(part for part in Path(chosen.folder or "").parts if part not in ("/", ".."))
    size = f"{chosen.size.width}x{chosen.size.height}"
    parts = [chosen.dataset, chosen.city, own, chosen.split, size]
    return Path(settings.root) / settings.prepared / "-".join(part for part in parts if part)


def prepared_frames(
    settings: config.Configuration, both: Places[Imagery], domain: Domain
) -> Prepared | None:
    """A domain's training frames as `rsadapt prepare` left them; None where nothing is prepared.

    Raises:
        MissingFileError, DataError, ConfigError: where they are not there or not those.
    """
    imagery = (both.source if domain == "source" else both.target).training
    if settings.prepared is None or not isinstance(imagery, Frames):
        return None
    folder = prepared_folder(settings, domain)
    if not folder.exists() and not Path(settings.prepared).is_absolute():
        raise MissingFileError(
            f"{folder}: expected what `prepare` writes, found no such folder; a relative "
            f"'prepared' starts at the data's root, {settings.root}: give its full path, as "
            f"`prepare` printed it, or prepare the frames first"
        )
    scheme = class_scheme(settings) if domain == "source" else None
    return Prepared.open(folder, imagery, scheme)


def frame_counts(settings: config.Configuration) -> dict[str, tuple[int, int | None]]:
    """How many images there are of each data set's split, and officially; none of regions.

    A split that is not there at all counts as 0.
    """
    counts: dict[str, tuple[int, int | None]] = {}
    for domain in (settings.source, settings.target):
        if isinstance(domain, config.FolderSettings):
            found = dataset(domain)
            for name in filter(None, (domain.split, domain.validation_split)):
                split = found.split(name)
                there = len(split.images.find(dataset_folder(settings, domain)))
                place = "" if domain.folder is None else f" in {domain.folder}"
                counts[f"{found.title} {name}{place}"] = (there, split.count)
    return counts


# Samples


def normalisers(
    settings: config.Configuration,
    both: Places[Imagery],
    taken: Mapping[Domain, Taken],
    *,
    source: Normaliser | None = None,
) -> Normalisers:
    """How each domain's images are standardised.

    Args:
        settings: the configuration.
        both: the imagery.
        taken: its statistics, see `take_statistics`.
        source: how the source is standardised, where a trained network settled it before.
    """
    given = given_normaliser(settings, both.bands)
    if given is not None:
        return {"source": given, "target": given}
    if source is None:
        source = Normaliser.from_statistics(taken["source"].statistics)
    if settings.normalise_by == "source":
        return {"source": source, "target": source}
    target = Normaliser.from_statistics(taken["target"].statistics)
    return {"source": source, "target": target}


def ground_pixels(both: Places[Imagery]) -> dict[Domain, float]:
    """The side of a pixel on the ground that each domain is trained at, metres, where known."""
    found: dict[Domain, float | None] = {
        "source": both.source.training.ground_pixel,
        "target": both.target.training.ground_pixel,
    }
    return {domain: pixel for domain, pixel in found.items() if pixel is not None}


def given_normaliser(settings: config.Configuration, bands: int) -> Normaliser | None:
    """How a configuration's own numbers standardise images; None where it gives none.

    Raises:
        ConfigError: for another number of them than bands.
    """
    given = settings.normalisation
    if given is None:
        return None
    if len(given.mean) != bands:
        raise ConfigError(
            f"normalisation.mean has {len(given.mean)} numbers and images have {bands} bands; "
            f"give one a band"
        )
    return Normaliser(tuple(given.mean), tuple(given.std))


def training_samples(
    settings: config.Configuration,
    both: Places[Imagery],
    normalise: Normalisers,
    domain: Domain,
    progress: Progress | None = None,
    *,
    scratch: Path | None = None,
) -> SampleSource:
    """A domain's training samples by number; the target's never open a label.

    Args:
        settings: the configuration.
        both: the imagery.
        normalise: how each domain's images are standardised.
        domain: which of them.
        progress: is told of the labels read, where they decide the sampling and were not yet.
        scratch: a folder of the disk that may hold decoded pixels meanwhile, if any.

    Raises:
        DataError: where no sample can be drawn.
    """
    given = None
    if domain == "source" and settings.style is not None:
        given = _styling(settings, settings.style, both, normalise, scratch)
    return _samples(
        settings,
        both,
        domain,
        seed=STREAM_SEEDS[domain],
        normalise=normalise[domain] if given is None else given.normalise,
        labels=domain == "source",
        styling=given,
        augment=_augmenter(settings),
        progress=progress,
        scratch=scratch,
    )


def _styling(
    settings: config.Configuration,
    style: config.StyleSettings,
    both: Places[Imagery],
    normalise: Normalisers,
    scratch: Path | None,
) -> Styling:
    """What gives the source's samples the look of the target's."""
    as_they_are = Normaliser((0.0,) * both.bands, (1.0,) * both.bands)

    def shown(domain: Domain, scratch: Path | None) -> SampleSource:
        seed = STYLE_SEEDS[domain]
        return _samples(settings, both, domain, seed=seed, normalise=as_they_are, scratch=scratch)

    looks = shown("target", scratch)
    return styling(
        style,
        shown("source", None),
        looks,
        source=normalise["source"],
        target=normalise["target"],
        seed=1000 * settings.seed + STYLED_SEED,
    )


def _samples(
    settings: config.Configuration,
    both: Places[Imagery],
    domain: Domain,
    *,
    seed: int,
    normalise: Normaliser,
    scratch: Path | None,
    labels: bool = False,
    styling: Styling | None = None,
    augment: Augmenter | None = None,
    progress: Progress | None = None,
) -> SampleSource:
    """A domain's samples; `seed` is that of the stream alone."""
    imagery = (both.source if domain == "source" else both.target).training
    seed = 1000 * settings.seed + seed
    scheme = class_scheme(settings) if labels else None
    if isinstance(imagery, Frames):
        return FrameSamples(
            imagery,
            seed=seed,
            normalise=normalise,
            scheme=scheme,
            styling=styling,
            augment=augment,
            prepared=prepared_frames(settings, both, domain),
        )
    from rsadapt.data.geotiff import RandomWindows
    from rsadapt.data.region import Region

    if not isinstance(imagery, Region):
        raise TypeError(f"no way to draw samples from a {type(imagery).__name__}")
    room = int(settings.training.scratch * 1e9)
    if scratch is not None and room and os.name == "posix":  # others do not fork
        from rsadapt.geo.kept import Scratch

        imagery = imagery.kept(Scratch(scratch, room), labels=scheme is not None)
    return RandomWindows(
        imagery,
        size=settings.training.tile,
        seed=seed,
        normalise=normalise,
        scheme=scheme,
        styling=styling,
        augment=augment,
        least_valid=settings.training.least_valid,
        sampling="uniform" if scheme is None else settings.training.sampling,
        temperature=settings.training.rarity_temperature,
        progress=progress,
    )


def _augmenter(settings: config.Configuration) -> Augmenter | None:
    if not settings.training.augment:
        return None
    from rsadapt.data.augment import Augmenter, Strengths

    strengths = Strengths(**settings.training.augment_strength.model_dump())
    return Augmenter(settings.training.augment, strengths)


def evaluation_samples(
    settings: config.Configuration, imagery: Imagery, normalise: Normaliser
) -> Scored:
    """Samples that cover labelled imagery once."""
    scheme = class_scheme(settings)
    if isinstance(imagery, Frames):
        return FrameEvaluation(imagery, normalise=normalise, scheme=scheme)
    from rsadapt.data.geotiff import GridWindows, check_sides
    from rsadapt.data.region import Region

    if not isinstance(imagery, Region):
        raise TypeError(f"no way to score a {type(imagery).__name__}")
    check_sides(imagery)
    return GridWindows(imagery, size=settings.prediction.tile, normalise=normalise, scheme=scheme)


def target_windows(
    settings: config.Configuration,
    both: Places[Imagery],
    normalise: Normalisers,
    *,
    labels: bool = False,
) -> tuple[SampleSource, int]:
    """Samples of the target to look at, the same in every run, and how many of them to take.

    They are frames, or windows of the training's size, of the part kept for validation; of the
    training part where none is kept, or that is too narrow or has nothing valid.

    Args:
        settings: the configuration.
        both: the imagery.
        normalise: how each domain's images are standardised.
        labels: whether samples have labels, where the part has some; only to be shown.
    """
    if both.target.validation is not None:
        try:
            samples, count = _windows(settings, both.target.validation, normalise["target"], labels)
            samples[0]
        except DataError:  # nothing there that could be looked at
            pass
        else:
            return samples, count
    return _windows(settings, both.target.training, normalise["target"], labels)


def _windows(
    settings: config.Configuration, imagery: Imagery, normalise: Normaliser, labels: bool
) -> tuple[SampleSource, int]:
    """Samples of one part, and how many of them to take."""
    count = settings.training.validators
    scheme = class_scheme(settings) if labels and imagery.labelled else None
    if isinstance(imagery, Frames):
        frames = FrameSamples(imagery, seed=0, normalise=normalise, scheme=scheme)
        return frames, min(count, len(imagery.frames))
    from rsadapt.data.geotiff import LEAST_SIDE, RandomWindows
    from rsadapt.data.region import Region

    if not isinstance(imagery, Region):
        raise TypeError(f"no way to look at a {type(imagery).__name__}")
    sides = [min(scene.area.height, scene.area.width) for scene in imagery.scenes]
    scenes = [min(scene.image.grid.shape) for scene in imagery.scenes]
    size = min(settings.training.tile, max(sides), *scenes)
    if size < min(LEAST_SIDE, settings.training.tile):
        raise DataError(f"{imagery.name} region: {size} pixels a side are too few to look at")
    windows = RandomWindows(imagery, size=size, seed=0, normalise=normalise, scheme=scheme)
    return windows, count


def batches(
    settings: config.Configuration,
    samples: SampleSource,
    position: int,
    fabric: Fabric,
    *,
    workers: int = 0,
    told: Callable[[float], None] | None = None,
) -> Generator[Batch, None, None]:
    """This process's share of a domain's endless batches; see `stream`."""
    return stream(
        samples,
        batch_size=settings.training.batch_size,
        start=position,
        workers=workers,
        rank=fabric.global_rank,
        ranks=fabric.world_size,
        pin=fabric.device.type == "cuda",
        told=told,
    )


def supply(
    settings: config.Configuration,
    samples: Mapping[Domain, SampleSource],
    start: int,
    fabric: Fabric,
    chosen: Callable[[int, str], None],
) -> Supply:
    """This process's share of the batches that training takes from a step on.

    Args:
        settings: the configuration.
        samples: of each domain that the method learns from.
        start: steps already done.
        fabric: which process this is, and where it computes.
        chosen: is told of the number of workers, where the configuration leaves it open.
    """
    accumulate, asked = settings.training.accumulate, settings.training.workers
    place = started()
    beside = 1 if place.launcher == "SLURM" else place.local_count  # it binds each to cores

    def opener(domain: Domain) -> Opener:
        return lambda position, workers, told: batches(
            settings, samples[domain], position, fabric, workers=workers, told=told
        )

    return Supply(
        {domain: opener(domain) for domain in samples},
        start=start * accumulate,
        rounds=(settings.training.steps - start) * accumulate,
        workers=None if asked == "auto" else asked,
        most=lambda batch: room_for_workers(batch, domains=len(samples), processes=beside),
        settle=torch.cuda.synchronize if fabric.device.type == "cuda" else lambda: None,
        chosen=chosen,
    )


# Words


def evaluation_words(settings: config.Configuration) -> str:
    """How images are brought to the network for scoring, for the record."""
    chosen = settings.target
    if not isinstance(chosen, config.FolderSettings):
        own = chosen.pixel is None
        resolution = "the scene's own resolution" if own else f"{chosen.pixel:g} m a pixel"
        return f"windows of {settings.prediction.tile} pixels at {resolution}"
    size = chosen.evaluation_size or chosen.size
    return (
        f"images resized to {size.width} x {size.height} (width x height), logits up-sampled to "
        f"the labels' own size"
    )


def frame_words(counts: Mapping[str, tuple[int, int | None]]) -> dict[str, str]:
    """What `frame_counts` counted, in words, for the record."""
    return {
        split: f"{there} frames" if official is None else f"{there} of {official} frames"
        for split, (there, official) in counts.items()
    }


def target_split(settings: config.Configuration) -> str:
    """What of the target training saw, in words, for the record."""
    source, target = settings.source, settings.target
    if isinstance(target, config.FolderSettings):
        same = isinstance(source, config.FolderSettings) and (
            (source.dataset, dataset_folder(settings, source), source.split)
            == (target.dataset, dataset_folder(settings, target), target.split)
        )
        seen = f"{target.dataset} {target.split}"
    else:
        same = isinstance(source, config.RegionSettings) and (
            (source.folder, source.scenes, source.band_files, source.listed)
            == (target.folder, target.scenes, target.band_files, target.listed)
        )
        split = target.validation
        whole = split.scenes or not split.share
        seen = "all" if whole else f"all but {_kept(split)}"
    if same:
        return "trained with the target's labels, which are the source's"
    if not method(settings).uses_target and settings.style is None:
        return "statistics of its images at most"
    return f"trained on {seen}, without labels"


def _kept(split: config.SplitSettings) -> str:
    """The part kept for validation, in words."""
    part = f"the {split.side} {split.share:.0%}"
    if split.blocks is not None:
        part = f"{split.share:.0%} in blocks of {split.blocks} pixels (seed {split.seed})"
    return f"{part} and {split.buffer} pixels around it" if split.buffer else part
