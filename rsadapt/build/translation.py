"""From settings to what learns to translate images of the source into the target's look."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from rsadapt import config
from rsadapt.adapt.appearance import Appearance, Layers
from rsadapt.adapt.batch_norm import Domain, DomainStatistics
from rsadapt.adapt.cyclegan import BACK, JUDGES, POOLS, CycleGAN, ImagePool
from rsadapt.adapt.kit import Remembered
from rsadapt.adapt.method import Parts
from rsadapt.adapt.source_only import SourceOnly
from rsadapt.adapt.trainer import Learner, Schedule
from rsadapt.build.data import STREAM_SEEDS, Normalisers
from rsadapt.build.learning import arrange, open_fabric
from rsadapt.build.precision import set_for_training
from rsadapt.data.imagery import Places
from rsadapt.errors import DataError
from rsadapt.nets.encoder import Encoder, for_bands
from rsadapt.nets.generator import Generator
from rsadapt.nets.patch_discriminator import PatchDiscriminator

if TYPE_CHECKING:
    from rsadapt.data.geotiff import RandomWindows
    from rsadapt.data.region import Region

BETAS = (0.5, 0.999)
"""Of Adam (Zhu et al. 2017, section 4)."""


def translation_settings(settings: config.Configuration) -> config.Configuration:
    """A configuration whose training is that of a translator.

    Each domain is standardised by its own statistics, whatever the segmentation network is.
    """
    chosen = settings.translation
    training = settings.training.model_copy(
        update={
            "steps": chosen.steps,
            "horizon": None,
            "batch_size": chosen.batch_size,
            "tile": chosen.tile,
            "accumulate": 1,
            "sampling": "uniform",
        }
    )
    return settings.model_copy(
        update={
            "training": training,
            "method": SourceOnly([1.0] * settings.network.levels),  # it is of no matter
            "normalise_by": "region",
            "normalisation": None,
            "init_from": None,
        }
    )


def translation_schedule(settings: config.Configuration) -> Schedule:
    """The full rate for a while, then along a line to zero (Zhu et al. 2017, section 4)."""
    training = settings.training
    return Schedule(
        steps=training.steps,
        horizon=training.steps,
        power=1.0,
        constant=int(settings.translation.constant * training.steps),
        log_every=training.log_every,
        save_every=training.save_every,
    )


def cyclegan(settings: config.Configuration, bands: int) -> Learner:
    """Fresh generators and discriminators, the optimiser of each, on the configured device."""
    set_for_training(settings)
    torch.manual_seed(settings.seed)
    chosen = settings.translation
    to_target = generator(settings, bands)
    others: dict[str, nn.Module] = {BACK: generator(settings, bands)} | {
        name: PatchDiscriminator(bands, width=chosen.discriminator_width)
        for name in JUDGES.values()
    }
    optimisers: dict[str, Optimizer] = {
        name: Adam(network.parameters(), lr=chosen.rate, betas=BETAS)
        for name, network in {"network": to_target, **others}.items()
    }
    for network in (to_target, *others.values()):
        arrange(settings, network)
    pools: dict[str, Remembered] = {name: ImagePool(chosen.pool) for name in POOLS.values()}
    return Learner(
        Parts(
            to_target,
            _as_they_are,
            DomainStatistics(to_target, "frozen"),
            others,
            pools,
            seed=settings.seed,
            steps=settings.training.steps,
        ),
        optimisers,
        CycleGAN(chosen.cycle, chosen.identity),
        open_fabric(settings),
    )


def generator(settings: config.Configuration, bands: int) -> Generator:
    """A generator with fresh weights."""
    chosen = settings.translation
    return Generator(bands, width=chosen.width, blocks=chosen.blocks)


def _as_they_are(
    logits: Tensor, size: tuple[int, int], image_size: tuple[int, int] | None = None
) -> Tensor:
    """Generators answer at image size: there is nothing to up-sample."""
    return logits


def translation_samples(
    settings: config.Configuration,
    both: Places[Region],
    normalise: Normalisers,
    domain: Domain,
    *,
    scratch: Path | None = None,
) -> RandomWindows:
    """A domain's training windows by number; neither's labels are opened, and nothing is turned.

    Where shadows fall belongs to a domain's look.

    Args:
        settings: see `translation_settings`.
        both: the imagery.
        normalise: how each domain's images are standardised.
        domain: which of them.
        scratch: a folder of the disk that may hold decoded pixels meanwhile, if any.

    Raises:
        DataError: for scenes smaller than a window.
    """
    from rsadapt.data.geotiff import RandomWindows
    from rsadapt.geo.kept import Scratch

    region = (both.source if domain == "source" else both.target).training
    side = settings.translation.tile
    small = [s.image for s in region.scenes if min(s.image.grid.shape) < side]
    if small:
        height, width = small[0].grid.shape
        raise DataError(
            f"{small[0].path}: the scene has {height} x {width} pixels and cannot hold a window of "
            f"{side} x {side}; choose a smaller 'translation.tile' or leave it out"
        )
    room = int(settings.training.scratch * 1e9)
    if scratch is not None and room:
        region = region.kept(Scratch(scratch, room), labels=False)
    return RandomWindows(
        region,
        size=side,
        seed=1000 * settings.seed + STREAM_SEEDS[domain],
        normalise=normalise[domain],
        scheme=None,
        least_valid=settings.training.least_valid,
    )


def appearance(settings: config.Configuration) -> Appearance:
    """How FCAN changes an image."""
    chosen = settings.translation.fcan
    return Appearance(chosen.style, chosen.content, chosen.iterations, chosen.rate)


def frozen(encoder: Encoder, bands: int) -> Encoder:
    """A copy of an encoder for so many bands that nothing changes any more."""
    found = copy.deepcopy(encoder).eval().requires_grad_(False)
    first = next(layer for layer in found.modules() if isinstance(layer, nn.Conv2d))
    if first.in_channels != bands:
        first.weight = nn.Parameter(for_bands(first, bands).weight.data, requires_grad=False)
        first.in_channels = bands
    return found


def encoder_layers(encoder: Encoder) -> Layers:
    """The features of an encoder's stem and stages."""

    def layers(images: Tensor) -> list[Tensor]:
        stem = encoder.stem(images)
        values, value = [stem], stem
        for stage in encoder.stages:
            value = stage(value)
            values.append(value)
        return values

    return layers
