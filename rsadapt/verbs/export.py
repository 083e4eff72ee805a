"""Export: a run's network as an ONNX file, which QGIS runs through the plugin Deepness."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsadapt import build
from rsadapt.adapt.batch_norm import Domain
from rsadapt.config import FolderSettings
from rsadapt.errors import ConfigError, MissingFileError, OutputExistsError
from rsadapt.geo.statistics import BandStatistics
from rsadapt.infer.answers import answers_of
from rsadapt.model import Facts, Model, load, network_of, probabilities
from rsadapt.run import digest, environment
from rsadapt.weights.onnx_file import (
    LARGEST_DIFFERENCE,
    Scaling,
    deepness_metadata,
    largest_difference,
    onnx_answers,
    onnx_network,
    require_onnx,
    write_onnx,
)

EIGHT_BITS = (0.0, 255.0)
"""The values that images of 8 bits have."""


@dataclass(frozen=True)
class ExportedNetwork:
    """What was written.

    Attributes:
        path: the ONNX file.
        metadata: all that it says of itself, by key.
        difference: the largest one in probability between what onnxruntime and the network answered
            to random images; None where onnxruntime is not installed.
    """

    path: Path
    metadata: dict[str, Any]
    difference: float | None


@build.process_kept()
def export(
    run: Path,
    out: Path,
    *,
    domain: Domain = "target",
    tile: int | None = None,
    overlap: int | None = None,
    resolution: float | None = None,
    input_range: tuple[float, float] | None = None,
    overwrite: bool = False,
) -> ExportedNetwork:
    """Write a run's network as an ONNX file that QGIS runs through the plugin Deepness.

    The network takes images of 8 bits divided by 255, float32 [N, bands, tile, tile] in 0..1, as
    Deepness feeds them, and returns probabilities [N, classes, tile, tile]: normalisation,
    up-sampling and softmax are part of it. Pixels of 0 in every band are taken as without data, as
    Deepness feeds them beyond a layer's edges. Metadata tells Deepness the classes, the size of a
    pixel and how to tile; under the key `rsadapt` it says where the network comes from. Before
    anything is written, onnxruntime, where it is installed, must answer random images as the
    network does.

    Args:
        run: a run's folder or checkpoint.
        out: the file, `.onnx`.
        domain: the region that images will be of: whose normalisation and batch-norm statistics
            are used.
        tile: pixels of a side of a tile, which is fixed; the run's `prediction.tile` by default.
        overlap: pixels that tiles share; the run's `prediction.overlap` by default. Deepness takes
            whole percents, of which one is chosen by which tiles begin with cells of the network.
        resolution: centimetres on the ground of a pixel that images are resampled to; what the
            domain was trained at by default.
        input_range: the values, in the units that the network was trained in, that 0 and 255 of the
            images stand for; needed where it was not trained on images of 8 bits.
        overwrite: replace a file that is there already.

    Raises:
        MissingFileError: for a run or a folder that is not there.
        CheckpointError: for a checkpoint that cannot be used; where onnxruntime's probabilities
            differ from the network's by more than 1e-4 and rounding does not explain it.
        ConfigError: where the package onnx is not installed, for another suffix, numbers that
            cannot be meant, or images of other than 8 bits without `input_range`.
        OutputExistsError: where `out` exists.
        ShapeError: for tiles too small for the network.
        DataError: where the file cannot be written.
    """
    _check_free(out, overwrite=overwrite)
    require_onnx()
    model = load(run)
    model.parts.network.cpu()
    facts = model.facts
    pixels = _tiling(facts, tile, overlap)
    scaling = _scaling(facts, domain, input_range, run)
    network = network_of(model.parts)
    with model.parts.statistics.evaluating(domain):
        file = onnx_network(network, scaling, tile=pixels[0])
    difference = _difference(model, domain, file, scaling, pixels[0])
    metadata = deepness_metadata(
        names=model.scheme.names,
        bands=len(facts.bands),
        tile=pixels[0],
        overlap=pixels[1],
        cell=network.encoder.period,
        resolution=_centimetres(facts, domain, resolution),
    )
    metadata["rsadapt"] = {
        **_origin(model, run, domain),
        "input_range": [scaling.low, scaling.high],
        "largest_difference": difference,
    }
    write_onnx(out, file, metadata)
    return ExportedNetwork(out, metadata, difference)


def _check_free(out: Path, *, overwrite: bool) -> None:
    if out.suffix != ".onnx":
        raise ConfigError(
            f"{out}: expected a name that ends in .onnx, found '{out.suffix}'; add it"
        )
    if not out.parent.is_dir():
        raise MissingFileError(f"{out.parent}: no such folder; make it first")
    if out.is_dir() or (out.exists() and not overwrite):
        raise OutputExistsError.left(out, choose="another name")


def _tiling(facts: Facts, tile: int | None, overlap: int | None) -> tuple[int, int]:
    """Pixels of a tile's side, and those that tiles share."""
    settings = facts.settings.prediction
    side = settings.tile if tile is None else tile
    shared = settings.overlap if overlap is None else overlap
    if not 0 <= shared < side:
        raise ConfigError(
            f"expected an overlap smaller than the tile, found {shared} and {side}; give both"
        )
    return side, shared


def _scaling(facts: Facts, domain: Domain, given: tuple[float, float] | None, run: Path) -> Scaling:
    """How images are brought to what the network learnt from.

    Raises:
        ConfigError: for a range that cannot be meant; where none is given and the domain's images
            are not of 8 bits, or nobody knows.
    """
    normalise = facts.normalise[domain]
    if given is None:
        _check_eight_bits(facts, domain, run)
    low, high = EIGHT_BITS if given is None else given
    if not (np.isfinite([low, high]).all() and low < high):
        raise ConfigError(
            f"expected an input range of two numbers, the lower first, found {low:g} and {high:g}"
        )
    return Scaling(low, high, normalise.mean, normalise.std)


def _check_eight_bits(facts: Facts, domain: Domain, run: Path) -> None:
    if isinstance(facts.settings.target, FolderSettings):  # frames are images of 8 bits
        return
    found = facts.standard(domain)
    if found is not None and _eight_bits(found):
        return
    values = (
        "no statistics of them to tell by"
        if found is None
        else f"values from {min(found.minimum):g} to {max(found.maximum):g}"
        f"{'' if _whole(found) else ', not all of them integers'}"
    )
    raise ConfigError(
        f"{run}: QGIS's Deepness feeds images of 8 bits, and the {domain}'s were expected to be "
        f"that, found {values}; name the values that 0 and 255 stand for, --input-range LOW,HIGH, "
        f"and bring images to 8 bits by the same (gdal_translate -ot Byte -scale LOW HIGH 0 255); "
        f"for images of 8 bits they are 0,255"
    )


def _eight_bits(statistics: BandStatistics) -> bool:
    low, high = EIGHT_BITS
    inside = min(statistics.minimum) >= low and max(statistics.maximum) <= high
    return inside and _whole(statistics)


def _whole(statistics: BandStatistics) -> bool:
    """Whether values are integers: the bins of their histograms then end between two of them."""
    return all(histogram.edges[0] % 1 == 0.5 for histogram in statistics.histograms)


def _centimetres(facts: Facts, domain: Domain, given: float | None) -> float | None:
    """The side of a pixel on the ground; None, with a warning, where nobody knows."""
    if given is not None and not 0 < given < np.inf:
        raise ConfigError(f"expected a resolution above 0 centimetres a pixel, found {given:g}")
    metres = facts.ground_pixels.get(domain)
    if given is None and metres is None:
        warnings.warn(
            f"the run does not say how large a pixel of the {domain} is on the ground, so that "
            f"Deepness keeps the size that its panel shows; name it: --resolution CENTIMETRES",
            stacklevel=3,
        )
        return None
    return given if metres is None or given is not None else float(f"{100 * metres:.6g}")


def _difference(
    model: Model, domain: Domain, file: bytes, scaling: Scaling, tile: int
) -> float | None:
    """How far onnxruntime's answers to random images are from those of prediction."""
    fed = _random_images(scaling, tile)
    found = onnx_answers(file, (fed / 255).astype(np.float32))
    if found is None:
        warnings.warn(
            "onnxruntime is not installed, so that nothing was checked; pip install "
            "'rsadapt[onnx]' and export again",
            stacklevel=3,
        )
        return None
    values = scaling.low + (scaling.high - scaling.low) / 255 * fed
    normalise = model.facts.normalise[domain]
    valid = np.asarray(fed.any(axis=1))
    images = np.stack([normalise(*image) for image in zip(values, valid, strict=True)])

    def answers() -> Tensor:
        return answers_of(
            torch.from_numpy(images),
            predict=probabilities(model.parts, domain, "32-true"),  # as the file computes
            num_classes=len(model.scheme),
            size=(tile, tile),
        )

    def exact() -> Tensor:
        with model.parts.statistics.evaluating(domain):  # which then become float64, too
            model.parts.network.double()
            return answers()

    largest = largest_difference(found, answers(), exact)
    if largest > LARGEST_DIFFERENCE:
        warnings.warn(
            f"onnxruntime's probabilities differ from the network's by up to {largest:.2g}, since "
            f"float32 rounds both: its logits are large, as those of networks hardly trained are",
            stacklevel=3,
        )
    return largest


def _random_images(scaling: Scaling, tile: int) -> NDArray[np.uint8]:
    """Two images, uint8 [2, bands, tile, tile], as bright and rich in contrast as the domain's.

    One is noise of single pixels, the other of squares of 16.
    """
    random = np.random.default_rng(0)
    fine = random.standard_normal((len(scaling.mean), tile, tile))
    coarse = fine[:, ::16, ::16].repeat(16, 1).repeat(16, 2)[:, :tile, :tile]
    mean, std = (np.array(values)[:, None, None] for values in (scaling.mean, scaling.std))
    values = mean + std * np.stack([fine, coarse])
    fed = 255 * (values - scaling.low) / (scaling.high - scaling.low)
    return np.asarray(fed.round().clip(0, 255), np.uint8)


def _origin(model: Model, run: Path, domain: Domain) -> dict[str, Any]:
    """Where the network comes from, and what a user of the file must know, JSON-ready."""
    facts = model.facts
    made = environment()
    return {
        "run": str(run.resolve()),
        "checkpoint": digest(model.file),
        "step": model.step,
        "domain": domain,
        "bands": list(facts.bands_of(domain)),
        "classes": model.scheme.to_dict(),
        "trained": facts.record,
        "exported": {key: made[key] for key in ("started", "commit", "packages")},
    }
