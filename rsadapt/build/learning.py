"""From settings to what learns: networks, optimisers, the method and its schedule."""

from __future__ import annotations

from copy import deepcopy
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from rsadapt import config
from rsadapt.adapt import ranks
from rsadapt.adapt.batch_norm import BatchNormPolicy, DomainStatistics
from rsadapt.adapt.kit import Kit, Trained
from rsadapt.adapt.method import Method, Parts
from rsadapt.adapt.rank_batch_norm import synchronised
from rsadapt.adapt.sgd import RepeatedSGD
from rsadapt.adapt.teacher import Teacher
from rsadapt.adapt.trainer import Learner, Schedule
from rsadapt.build.compilation import compiled
from rsadapt.build.configuration import class_scheme
from rsadapt.build.devices import device_type
from rsadapt.build.encoder_weights import library_encoder
from rsadapt.build.heap import give_back_large_tensors
from rsadapt.build.precision import (
    fabric_precision,
    set_for_training,
    warn_of_precision,
)
from rsadapt.errors import CheckpointError, ConfigError, MissingFileError
from rsadapt.nets.deeplab import AtrousPyramid, DeepLab
from rsadapt.nets.discriminator import Discriminator
from rsadapt.nets.encoder import Encoder, imagenet_url
from rsadapt.nets.fusion import Pointwise
from rsadapt.nets.pyramid_discriminator import PyramidDiscriminator
from rsadapt.nets.resnet import ResNetEncoder, ResNetName
from rsadapt.nets.small import SmallEncoder
from rsadapt.nets.vgg import VggEncoder
from rsadapt.processes import started

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def network(settings: config.Configuration, bands: int) -> DeepLab:
    """The segmentation network, with fresh (or ImageNet) weights.

    Raises:
        ConfigError: for ImageNet weights of an encoder that has none, and for an encoder of a
            library that is not installed or does not know it.
        MissingFileError: for ImageNet weights that can neither be read nor downloaded.
        CheckpointError: for a file in their place that could run code.
    """
    chosen = settings.network
    return DeepLab(
        _encoder(chosen, bands),
        bands=bands,
        classes=len(class_scheme(settings)),
        levels=chosen.levels,
        rates=chosen.rates,
        pyramid=chosen.pyramid,
        upsampling=chosen.upsampling,
        batch_norm_affine=chosen.batch_norm_affine,
        fused=chosen.decoder_width if chosen.decoder == "mlp" else None,
    )


def _encoder(chosen: config.NetworkSettings, bands: int) -> Encoder:
    family = config.encoder_family(chosen.encoder)
    if family is not None:
        return library_encoder(chosen, family.anchor, bands)
    if chosen.encoder == "small":
        if chosen.pretrained:
            raise ConfigError("network.pretrained: there are no weights of the small encoder")
        return SmallEncoder(bands=bands)
    try:
        if chosen.encoder == "vgg16":
            return VggEncoder(bands=bands, pretrained=bool(chosen.pretrained))
        return ResNetEncoder(
            cast("ResNetName", chosen.encoder),  # the settings know no other
            bands=bands,
            pretrained=bool(chosen.pretrained),
            layout=chosen.layout,
        )
    except UnpicklingError as error:
        raise CheckpointError(
            f"network.pretrained: {torch.hub.get_dir()}/checkpoints holds a file in the name of "
            f"torchvision's weights of {chosen.encoder} that is damaged or could run code; it was "
            f"not loaded; replace it by {imagenet_url(chosen.encoder)}"
        ) from error
    except OSError as error:  # no network, a full disk
        raise MissingFileError(
            f"network.pretrained: expected torchvision's ImageNet weights of {chosen.encoder} in "
            f"{torch.hub.get_dir()}/checkpoints, could neither read nor download them "
            f"({getattr(error, 'reason', error)}); copy {imagenet_url(chosen.encoder)} there, or "
            f"choose network.pretrained: false or other initial weights"
        ) from error


def method(settings: config.Configuration) -> Method:
    """What a training step does."""
    return settings.method


def learner(settings: config.Configuration, bands: int) -> Learner:
    """Fresh networks, the optimiser of each and the method, on the configured device.

    The same seed gives the same weights; the segmentation network's do not depend on the method.
    """
    set_for_training(settings)
    torch.manual_seed(settings.seed)
    segmenter = network(settings, bands)
    if settings.network.batch_norm_sync:
        synchronised(segmenter)
    optimisers: dict[str, Optimizer] = {"network": _optimiser(settings, segmenter)}
    rule, kit = settings.method, _kit(settings, segmenter)
    others: dict[str, nn.Module] = {}
    for name, trained in rule.others(kit).items():
        others[name], optimisers[name] = trained.network, trained.optimiser
    memory = rule.memory(kit)
    for module in (segmenter, *others.values()):
        arrange(settings, module)
    if settings.training.recompute and device_type(settings) == "cpu":
        give_back_large_tensors()
    return Learner(
        Parts(
            segmenter,
            segmenter.upsample,
            statistics(settings, segmenter),
            others,
            memory,
            seed=settings.seed,
            steps=settings.training.steps,
        ),
        optimisers,
        rule,
        open_fabric(settings),
    )


def _kit(settings: config.Configuration, segmenter: DeepLab) -> Kit:
    """What the method may make its own networks of."""

    def teacher() -> Teacher:
        twin = deepcopy(segmenter)
        lay_out(settings, twin)
        kept = DomainStatistics(twin, batch_norm_policy(settings), momentum=0)
        return Teacher(twin, kept)

    def classifier() -> Trained:
        chosen, classes = settings.network, len(class_scheme(settings))
        rates = chosen.rates if chosen.pyramid == "all" else chosen.rates[:2]
        channels = segmenter.channels[-1]
        head: nn.Module = AtrousPyramid(channels, classes, rates)
        if segmenter.fused is not None:
            head = Pointwise(channels, classes)
        return Trained(
            head, _optimiser_of(settings, [_head_group(settings, list(head.parameters()))])
        )

    return Kit(
        segmenter,
        classes=len(class_scheme(settings)),
        channels=segmenter.channels,
        stride=segmenter.stride,
        sides=settings.least_sides(),
        discriminator=Discriminator,
        pyramid_discriminator=PyramidDiscriminator,
        classifier=classifier,
        teacher=teacher,
    )


def open_fabric(settings: config.Configuration) -> Fabric:
    """The device of this process; of several that torchrun or SLURM started, each has its own."""
    from lightning_fabric import Fabric

    ranks.join()
    kind = device_type(settings)
    precision = fabric_precision(settings, kind)
    warn_of_precision(settings.device.precision, kind)
    if ranks.count() == 1:
        return Fabric(accelerator=kind, devices=1, plugins=precision)
    here = started().local_count
    if kind == "mps" or (kind == "cuda" and torch.cuda.device_count() < here):
        there = "one MPS device" if kind == "mps" else f"{torch.cuda.device_count()} CUDA devices"
        raise ConfigError(
            f"{started().launcher} started {here} processes on this machine, which has {there}; "
            f"start one a device that they all see, or choose device.accelerator: cpu"
        )
    fabric = Fabric(
        accelerator=kind,
        devices=here,
        num_nodes=ranks.count() // here,
        strategy=ranks.strategy(),
        plugins=precision,
    )
    fabric.launch()
    return fabric


def arrange(settings: config.Configuration, module: nn.Module) -> None:
    """Let a network lie in memory, and learn, as the settings say; its names stay.

    Raises:
        ConfigError: where it is to be compiled, and this machine has nothing to do it with.
    """
    if isinstance(module, DeepLab):
        module.encoder.recompute = settings.training.recompute
    lay_out(settings, module)
    if settings.device.compile:
        compiled(module)


def lay_out(settings: config.Configuration, module: nn.Module) -> None:
    """Let a network's weights lie in memory as the settings say; rounding depends on it."""
    chosen = settings.device
    channels_last = chosen.channels_last
    if channels_last is None:
        tensor_cores = not chosen.precision.endswith("-true")  # which ask for it
        single = chosen.precision == "32-true"  # oneDNN, which gains by it, computes no float64
        channels_last = tensor_cores or (single and device_type(settings) == "cpu")
    if channels_last:
        module.to(memory_format=torch.channels_last)


def batch_norm_policy(settings: config.Configuration) -> BatchNormPolicy:
    """The policy in force: a method that never sees the target has statistics of one domain."""
    chosen = settings.network.batch_norm
    return "source" if chosen == "per_domain" and not method(settings).uses_target else chosen


def batch_norm_words(settings: config.Configuration) -> str:
    """The policy in force, for reports; "none" for a network without batch norm."""
    if not config.has_batch_norm(settings.network.encoder):
        return "none"
    together = ", by the batches of all processes" * settings.network.batch_norm_sync
    return f"{batch_norm_policy(settings)}{together}"


def statistics(settings: config.Configuration, segmenter: DeepLab) -> DomainStatistics:
    """The batch-norm statistics of a network under the policy in force."""
    momentum = settings.network.batch_norm_momentum
    return DomainStatistics(segmenter, batch_norm_policy(settings), momentum=momentum)


def _optimiser(settings: config.Configuration, segmenter: DeepLab) -> Optimizer:
    chosen = settings.optimiser
    groups: list[dict[str, Any]] = [
        {"params": parameters, "lr": chosen.rate, "passes": passes}
        for passes, parameters in _encoder_passes(segmenter, chosen.updates).items()
    ]
    groups.append(_head_group(settings, segmenter.head_parameters()))
    return _optimiser_of(settings, groups)


def _head_group(settings: config.Configuration, parameters: list[nn.Parameter]) -> dict[str, Any]:
    """The parameters of classifiers, and how fast they learn."""
    chosen = settings.optimiser
    return {"params": parameters, "lr": chosen.rate * chosen.head_factor}


def _optimiser_of(settings: config.Configuration, groups: list[dict[str, Any]]) -> Optimizer:
    chosen = settings.optimiser
    if chosen.name == "adamw":
        for group in groups:
            group.pop("passes", None)
        return AdamW(groups, weight_decay=chosen.weight_decay)
    return RepeatedSGD(
        groups,
        momentum=chosen.momentum,
        nesterov=chosen.nesterov,
        weight_decay=chosen.weight_decay,
        first_step="moved" if chosen.updates == "repeated_2018" else "fresh",
    )


def _encoder_passes(segmenter: DeepLab, updates: str) -> dict[int, list[nn.Parameter]]:
    """The encoder's parameters by how often a step updates them.

    Repeated, that is the number of modules that hold a parameter from its stage on: a bottleneck's
    convolution "0.0.conv1.weight" lies in the stage, the block and itself.
    """
    if updates == "once":
        return {1: list(segmenter.encoder.parameters())}
    passes: dict[int, list[nn.Parameter]] = {}
    for name, parameter in segmenter.encoder.named_parameters():
        within, _, rest = name.partition(".")
        passes.setdefault(rest.count(".") if within == "stages" else 1, []).append(parameter)
    return passes


def schedule(settings: config.Configuration) -> Schedule:
    """When the trainer does what."""
    training = settings.training
    return Schedule(
        steps=training.steps,
        horizon=training.horizon or training.steps,
        power=settings.optimiser.power,
        warm_up=settings.optimiser.warm_up,
        accumulate=training.accumulate,
        log_every=training.log_every,
        validate_every=training.validate_every,
        save_every=training.save_every,
    )
