"""A network as an ONNX file: images of 8 bits in, class probabilities out, nothing left to do."""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rsadapt.errors import CheckpointError, ConfigError, DataError
from rsadapt.nets.deeplab import DeepLab

OPSET = 17
"""Of ONNX 1.12. The QGIS plugin Deepness installs onnxruntime 1.12 to 1.17, of which the oldest
knows no later one."""

INPUT, OUTPUT = "image", "probabilities"

LARGEST_DIFFERENCE = 1e-4
"""In probability, between what the file answers and what the network does."""

ROUNDING = 4
"""How much larger than the network's own error of rounding to float32 a difference may be instead,
up to `LARGEST_ROUNDING`: that of a ResNet-101 that trained for a few steps may be 2e-3."""

LARGEST_ROUNDING = 1e-2
"""In probability."""


@dataclass(frozen=True)
class Scaling:
    """How images are brought from what they are fed as to what the network learnt from.

    Attributes:
        low: the value, in the raster's units, of what is fed as 0.
        high: that of what is fed as 1.
        mean: what is then taken from each band.
        std: what each band is then divided by.
    """

    low: float
    high: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


def require_onnx() -> None:
    """Make sure that ONNX files can be written.

    Raises:
        ConfigError: where the package for it is not installed.
    """
    if not _installed("onnx"):
        raise ConfigError(
            "ONNX files need the package onnx, which is not installed; pip install 'rsadapt[onnx]'"
        )


def onnx_network(network: DeepLab, scaling: Scaling, *, tile: int) -> bytes:
    """Write a network, as it is evaluated, as an ONNX graph.

    The graph takes images, float32 [N, bands, tile, tile] in 0..1, any number of them at once, and
    returns probabilities, float32 [N, classes, tile, tile]. Scaling, up-sampling and softmax are
    part of it. Pixels of 0 in every band are without data, as prediction sees them: the mean of
    each band. Deepness feeds such pixels beyond a layer's edges.

    Args:
        network: on any device, in any mode and precision; its batch-norm layers hold the
            statistics to be used. It is left as it is.
        scaling: see there.
        tile: pixels of a side of the images.

    Returns:
        The file's content.

    Raises:
        ShapeError: for tiles too small for the network.
    """
    import onnx

    whole = _WithScaling(network, scaling, tile).eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The older exporter warns that it is that, and of checks of shapes that it does not record.
        # The newer one (dynamo=True) needs two more packages and writes version 10 of the format,
        # which onnxruntime 1.17 refuses.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            whole,
            (torch.zeros(1, network.bands, tile, tile),),
            file,  # type: ignore[arg-type] # the newer one alone wants a path
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        )
    model = onnx.load_from_string(file.getvalue())
    sizes = model.graph.output[0].type.tensor_type.shape.dim[1:]
    for place, size in zip(sizes, (network.classes, tile, tile), strict=True):
        place.dim_value = size  # which the exporter does not work out, and Deepness asks for
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def onnx_answers(file: bytes, images: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Let onnxruntime run a graph on the CPU; None where it is not installed.

    Args:
        file: a content that `onnx_network` returned.
        images: float32 [N, bands, tile, tile] in 0..1.

    Returns:
        float32 [N, classes, tile, tile].
    """
    if not _installed("onnxruntime"):
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (answers,) = session.run([OUTPUT], {INPUT: images})
    found: NDArray[np.float32] = answers
    return found


def largest_difference(
    found: NDArray[np.float32], expected: Tensor, exact: Callable[[], Tensor]
) -> float:
    """The largest difference between a graph's probabilities and the network's.

    Args:
        found: what the graph answers.
        expected: what the network answers in float32, of the same shape.
        exact: what it answers in float64; asked for where the difference is large, to tell an error
            from rounding.

    Raises:
        CheckpointError: where it is larger than `LARGEST_DIFFERENCE` and than `ROUNDING` explains,
            or there are other values than numbers.
    """
    largest = float(np.abs(found - expected.numpy()).max())
    if largest <= LARGEST_DIFFERENCE:
        return largest
    rounding = float((expected - exact()).abs().max())
    if not largest <= min(ROUNDING * rounding, LARGEST_ROUNDING):  # nor where either is no number
        raise CheckpointError(
            f"expected onnxruntime to answer as the network does, found probabilities that differ "
            f"by {largest:.2g}, more than {LARGEST_DIFFERENCE:g} and than rounding explains "
            f"({rounding:.2g}); no file is written: check that the weights are finite numbers, or "
            f"report this with the versions of torch and onnxruntime"
        )
    return largest


def write_onnx(path: Path, file: bytes, metadata: Mapping[str, Any]) -> None:
    """Write a graph with metadata to a file, under another name until it is whole.

    Args:
        path: the file, in place of what is there.
        file: a content that `onnx_network` returned.
        metadata: values by key, which become texts of JSON.

    Raises:
        DataError: where it cannot be written.
    """
    import onnx

    model = onnx.load_from_string(file)
    for key, value in metadata.items():
        text = json.dumps(value, ensure_ascii=False)
        model.metadata_props.add(key=key, value=text)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as opened:
            opened.write(model.SerializeToString())
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error}); check that the folder may be written to and "
            f"that the disk has room"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def deepness_metadata(
    *,
    names: Sequence[str],
    bands: int,
    tile: int,
    overlap: int,
    cell: int,
    resolution: float | None,
) -> dict[str, Any]:
    """What the QGIS plugin Deepness reads, by its keys.

    Deepness takes the overlap in whole percent of a tile: see `overlap_percent`. A threshold of 0
    and segments of 0 pixels keep it from giving pixels to the first class that no class has a large
    probability of, and from smoothing outlines.

    Args:
        names: of the classes, in the network's order.
        bands: of an image.
        tile: pixels of a side of the images.
        overlap: pixels that neighbouring tiles share.
        cell: pixels of a cell of the network.
        resolution: centimetres of a pixel on the ground, where known.
    """
    metadata = {
        "model_type": "Segmentor",
        "class_names": {str(place): name for place, name in enumerate(names)},
        "tile_size": tile,  # read by its code
        "tiles_size": tile,  # named by its documentation
        "tiles_overlap": overlap_percent(tile, overlap, cell),
        "standardization_mean": [0.0] * bands,
        "standardization_std": [1.0] * bands,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    if resolution is not None:
        metadata["resolution"] = resolution
    return metadata


def overlap_percent(tile: int, overlap: int, cell: int) -> int:
    """The overlap in whole percent of a tile, of which Deepness takes the whole pixels.

    It is the lowest, from what is less than one percent too low on, by which tiles begin with
    cells: a place on the ground then lies in cells alike whatever the tile, as in prediction, and
    no border shows. Where there is none, it is that below the overlap.

    Args:
        tile: pixels of a side of a tile.
        overlap: pixels that neighbouring tiles should share.
        cell: pixels of a cell of the network.
    """
    below = 100 * overlap // tile
    steps = {percent: tile - tile * percent // 100 for percent in range(below, 100)}
    return next((percent for percent, step in steps.items() if step % cell == 0), below)


class _WithScaling(nn.Module):
    """A copy of a network in float32, between scaling and probabilities."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: DeepLab, scaling: Scaling, tile: int) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu().float()
        self.low, self.span = scaling.low, scaling.high - scaling.low
        self.size = tile, tile
        for name, values in (("mean", scaling.mean), ("std", scaling.std)):
            per_band = torch.tensor(values, dtype=torch.float32)
            self.register_buffer(name, per_band[:, None, None])

    def forward(self, fed: Tensor) -> Tensor:
        """Turn images [N, bands, tile, tile] into probabilities [N, classes, tile, tile]."""
        image = (fed * self.span + (self.low - self.mean)) / self.std
        image = image * (fed.abs().amax(1, keepdim=True) > 0)
        return self.network.upsample(self.network(image)[-1], self.size).softmax(1)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
