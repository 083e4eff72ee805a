"""Encoders of segmentation-models-pytorch and timm, whose stages grow coarser."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from rsadapt.errors import CheckpointError, ConfigError
from rsadapt.nets.cells import Anchor, brought_to
from rsadapt.nets.encoder import Encoder, spread

STRIDE = 8
"""Pixels between cells of the features that classifiers of one stage see, as of a ResNet here."""
FINEST, COARSEST = 4, 32
LEAST_SIDE = 33
"""Pixels that give attention all it needs and, at 32 pixels a cell, batch norm two cells."""


@dataclass(frozen=True)
class Download:
    """Where the weights of an encoder lie on the Hugging Face hub.

    Attributes:
        repository: such as "timm/convnext_tiny.in12k_ft_in1k".
        revision: of it; None for its newest.
    """

    repository: str
    revision: str | None = None


class LibraryEncoder(Encoder):
    """A network of segmentation-models-pytorch or timm without its classifier.

    Its stages reduce to strides of 4, 8, 16 and 32 and are not dilated: attention would have 16
    times the cells to compare. Features of the last three are brought to a stride of 8 where they
    are coarser, by the true places of their cells, so that all classifiers see one grid; `native`
    ones stay as they are, for a `Fusion`.

    Stochastic depth and dropout are switched off: a step then follows from its samples alone, also
    where it is computed twice, on several processes and after a resume.

    Args:
        name: "mit_b0" of segmentation-models-pytorch, or "tu-" and a name of timm's.
        bands: bands of the image.
        anchor: where in its stride a cell is centred, which no library tells.
        native: hand out the features of all four stages on their own grids.
        tensors: to start from, by the library's names; random unless given. Those of three bands
            are spread over others, see `encoder.spread`.

    Raises:
        ConfigError: where the libraries are not installed or do not know the name.
        CheckpointError: for tensors that do not fit.
    """

    def __init__(
        self,
        name: str,
        *,
        bands: int,
        anchor: Anchor,
        native: bool = False,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> None:
        net = _made(name, bands)
        if tensors is not None:
            _start_from(net, tensors, bands)
        _draw_nothing(net)
        stem, stages, channels = _smp_stages(net) if name.startswith("mit_") else _timm_stages(net)
        super().__init__(
            stem,
            stages,
            channels=channels,
            stride=FINEST if native else STRIDE,
            anchor=anchor,
            period=COARSEST,
            least_side=LEAST_SIDE,
        )
        self.native = native

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn images [N, bands, H, W] into the features of the last three stages at stride 8.

        Those of all four, at strides of 4, 8, 16 and 32, where they are native.
        """
        features = super().forward(image)
        if self.native:
            return features
        features = features[-3:]
        size = (features[0].shape[-2], features[0].shape[-1])
        return [
            value if level == 0 else brought_to(value, 2**level, size, self.anchor)
            for level, value in enumerate(features)
        ]


def download(name: str) -> Download:
    """Where the pretrained weights of an encoder lie.

    Raises:
        ConfigError: where there are none, and see `LibraryEncoder`.
    """
    if name.startswith("mit_"):
        found = _smp().encoders.encoders[name]["pretrained_settings"]["imagenet"]
        return Download(found["repo_id"], found["revision"])
    wanted = _known(name)
    cfg = _timm().get_pretrained_cfg(wanted)
    if cfg is None or not cfg.hf_hub_id:
        raise ConfigError(f"network.pretrained: timm has no weights of {wanted} on the hub")
    return Download(str(cfg.hf_hub_id))


def _made(name: str, bands: int) -> nn.Module:
    """The network of a library with random weights, as it gives features."""
    if not name.startswith("tu-"):
        net: nn.Module = _smp().encoders.get_encoder(name, in_channels=bands, weights=None)
        return net
    made: nn.Module = _timm().create_model(
        _known(name), pretrained=False, features_only=True, in_chans=bands
    )
    return made


def _smp_stages(net: nn.Module) -> tuple[nn.Module, list[nn.Module], tuple[int, ...]]:
    """MiT's parts as a stem that does nothing and its stages."""
    stages: list[nn.Module] = []
    channels = []
    for number in range(1, 5):
        embed, blocks, norm = (
            net.get_submodule(f"{part}{number}") for part in ("patch_embed", "block", "norm")
        )
        stages.append(nn.Sequential(embed, *blocks.children(), nn.Sequential(norm)))
        channels.append(int(embed.get_submodule("proj").get_parameter("weight").shape[0]))
    return nn.Sequential(), stages, tuple(channels)


def _timm_stages(net: nn.Module) -> tuple[nn.Module, list[nn.Module], tuple[int, ...]]:
    """The parts of a chain of timm's as a stem and the stages of strides 4 to 32."""
    info: Any = net.feature_info  # where the chain gives features, and of how many channels
    ends = {one["module"].replace(".", "_"): one for one in info.get_dicts()}
    stem: list[nn.Module] = []
    stages: list[nn.Module] = []
    since: list[nn.Module] = []
    for name, part in net.named_children():
        since.append(part)
        if name not in ends:
            continue
        if ends[name]["reduction"] < 4:
            stem += since
        else:
            stages.append(nn.Sequential(*since))
        since = []
    channels = (int(one["num_chs"]) for one in ends.values() if one["reduction"] >= 4)
    return nn.Sequential(*stem), stages, tuple(channels)


def _draw_nothing(net: nn.Module) -> None:
    """Switch off what draws random numbers in training."""
    for layer in net.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
        elif hasattr(layer, "drop_prob"):  # timm's stochastic depth
            setattr(layer, "drop_prob", 0.0)  # noqa: B010, torch does not tell its type


def _start_from(net: nn.Module, tensors: Mapping[str, Tensor], bands: int) -> None:
    """Give a network the tensors of a file, in the names of its library.

    timm keeps "stages.0.weight" in files and calls it "stages_0.weight" where a network only gives
    features, so that dots and underscores are alike here. What is no part of the encoder (a
    classifier, say) is passed over, blocks that it has no place for are not.
    """
    own = net.state_dict()
    theirs = {_plain(name): name for name in tensors}
    first = next(name for name, value in own.items() if value.ndim == 4)
    state, wrong = {}, []
    for name, value in own.items():
        given = theirs.get(_plain(name))
        if given is None:
            wrong += [] if name.endswith("num_batches_tracked") else [f"{name} (missing)"]
            continue
        found = tensors[given]
        if name == first and found.ndim == 4 and found.shape[1] == 3 != bands:
            found = spread(found, bands)
        if found.shape != value.shape:
            sizes = f"{list(tensors[given].shape)} in the file, {list(value.shape)} in the network"
            wrong.append(f"{name} ({sizes})")
        state[name] = found
    wrong += [f"{name} (no place for it)" for name in _deeper(own, tensors)]
    if wrong:
        raise CheckpointError(
            f"expected the {len(own)} tensors of the encoder by their library's names; "
            f"{len(wrong)} do not fit, such as {', '.join(wrong[:3])}; check 'network.encoder' and "
            f"'bands'"
        )
    net.load_state_dict(own | state)


def _deeper(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """The tensors of blocks that the network has not, beside blocks that it has."""
    places = {_plain(name) for name in own}
    numbered = re.compile(r"(.*\.)\d+\.")
    beside = {_plain(found[1]) for name in own if (found := numbered.match(name))}
    for name in tensors:
        found = numbered.match(name)
        if found and _plain(found[1]) in beside and _plain(name) not in places:
            yield name


def _plain(name: str) -> str:
    return name.replace(".", "_")


def _known(name: str) -> str:
    """The name of an encoder in timm, without "tu-".

    Raises:
        ConfigError: where timm has none of that name, with those like it.
    """
    timm, wanted = _timm(), name.removeprefix("tu-")
    plain, _, tag = wanted.partition(".")
    if not timm.is_model(plain):
        known, what = timm.list_models(), f"no encoder {plain}"
    elif tag and wanted not in timm.list_pretrained(f"{plain}.*"):
        known, what = timm.list_pretrained(f"{plain}.*"), f"no weights {wanted}"
    else:
        return wanted
    near = difflib.get_close_matches(wanted, known, 3, 0.5)
    hint = f"; did you mean {' or '.join(f'tu-{one}' for one in near)}?" if near else ""
    raise ConfigError(f"network.encoder: timm {timm.__version__} has {what}{hint}")


def _timm() -> ModuleType:
    try:
        import timm  # 1.7 s to import on a slow core
    except ImportError as error:
        raise _missing("timm") from error
    module: ModuleType = timm
    return module


def _smp() -> ModuleType:
    try:
        import segmentation_models_pytorch as smp
    except ImportError as error:
        raise _missing("segmentation-models-pytorch") from error
    module: ModuleType = smp
    return module


def _missing(package: str) -> ConfigError:
    return ConfigError(
        f"network.encoder: this one comes from the package {package}, which is not installed; "
        f"pip install 'rsadapt[networks]', or choose one of this project's own, such as resnet18"
    )
