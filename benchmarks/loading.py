"""How fast a driving frame is loaded: from its files, from the prepared cache, and as a baseline.

    python benchmarks/loading.py

A frame of the size of GTA5's (1914 x 1052, of natural statistics) becomes an image and labels of
1280 x 720, on one thread. The baseline does the same work with Pillow and NumPy as published code
does. All three must give the same numbers, or nothing is reported. Files are in the page cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from timing import Spread, interleaved, machine

from rsadapt.data.driving import CITYSCAPES_IDS, DRIVING_TABLES
from rsadapt.data.frames import Frames, FrameSamples
from rsadapt.data.gta5 import GTA5
from rsadapt.data.images import read_image, read_labels, write_png
from rsadapt.data.prepared import prepare
from rsadapt.geo.normalise import Normaliser

RESULTS = Path(__file__).parent / "results" / "loading.json"
STORED = (1052, 1914)
WANTED = (720, 1280)
MEAN = (104.00698793, 116.66876762, 122.67891434)
REPEATS = 30
SCHEME = DRIVING_TABLES["cityscapes-19"]
IDS = [label_id for (label_id,) in CITYSCAPES_IDS.values()]

Loaded = tuple[NDArray[Any], NDArray[Any]]


def main() -> None:
    """Measure, check that all ways agree, print a table and write the results."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        image, labels = draw(root)
        ways = loaders(root, image, labels)
        check(ways)
        times = interleaved({**ways, **parts(image, labels)}, repeats=REPEATS)
        record = describe(times, image.stat().st_size, labels.stat().st_size)
    print(markdown(record))
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {RESULTS}")


def draw(root: Path) -> tuple[Path, Path]:
    """Write one frame in GTA5's layout; its image takes about 4 MB, as GTA5's do."""
    random = np.random.default_rng(0)
    light, height = clouds(random, 1.2), clouds(random, 1.8)
    colour = [10 * clouds(random, 1.2) + 1.5 * random.standard_normal(STORED) for _ in range(3)]
    pixels = np.stack([110 + 40 * light + band for band in colour], axis=-1).clip(0, 255)
    classes = np.digitize(height, np.linspace(-2, 2, len(IDS) - 1))
    image, labels = root / "images" / "00001.png", root / "labels" / "00001.png"
    write_png(image, pixels.astype(np.uint8))
    write_png(labels, np.array(IDS, np.uint8)[classes])
    return image, labels


def clouds(random: np.random.Generator, slope: float) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency, as in photographs; deviation 1."""
    rows, cols = np.fft.fftfreq(STORED[0]), np.fft.rfftfreq(STORED[1])
    frequency = np.hypot(rows[:, np.newaxis], cols)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.standard_normal(STORED)) / frequency**slope
    field = np.fft.irfft2(spectrum, STORED)
    return field / field.std()


def loaders(root: Path, image: Path, labels: Path) -> dict[str, Callable[[], Loaded]]:
    """The three ways that are compared."""
    frames = Frames("source", tuple(GTA5.frames(root, "all")), GTA5, WANTED, (3, 2, 1))
    prepared = prepare(frames, SCHEME, root / "prepared")
    normalise = Normaliser(MEAN, (1.0, 1.0, 1.0))
    files = FrameSamples(frames, seed=None, normalise=normalise, scheme=SCHEME)
    cache = FrameSamples(frames, seed=None, normalise=normalise, scheme=SCHEME, prepared=prepared)
    return {
        "baseline": lambda: baseline(image, labels),
        "files": lambda: arrays(files),
        "prepared": lambda: arrays(cache),
    }


def baseline(image: Path, labels: Path) -> Loaded:
    """Pillow's decode and resize, a mask for each id on float32 labels, a float32 BGR image."""
    size = WANTED[::-1]
    colour = Image.open(image).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    raw = Image.open(labels).resize(size, Image.Resampling.NEAREST)
    raw_ids = np.asarray(raw, np.float32)
    train_ids = np.full(raw_ids.shape, 255, np.float32)
    for train_id, label_id in enumerate(IDS):
        train_ids[raw_ids == label_id] = train_id
    pixels = np.asarray(colour, np.float32)[:, :, ::-1] - np.array(MEAN, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), train_ids


def arrays(samples: FrameSamples) -> Loaded:
    """Image and labels of the one frame."""
    sample = samples[0]
    label = np.empty(0) if sample.label is None else sample.label.numpy()
    return sample.image.numpy(), label


def parts(image: Path, labels: Path) -> dict[str, Callable[[], object]]:
    """What a faster program cannot leave out: decoding and Pillow's resize."""
    size = WANTED[::-1]
    colour, raw = Image.fromarray(read_image(image)), Image.fromarray(read_labels(labels))
    return {
        "decode, Pillow": lambda: (
            Image.open(image).convert("RGB").load(),
            Image.open(labels).load(),
        ),
        "decode, rsadapt": lambda: (read_image(image), read_labels(labels)),
        "resize, Pillow": lambda: (
            colour.resize(size, Image.Resampling.BICUBIC),
            raw.resize(size, Image.Resampling.NEAREST),
        ),
    }


def check(ways: dict[str, Callable[[], Loaded]]) -> None:
    """Refuse to compare what does not give the same numbers.

    Raises:
        SystemExit: where an image or a label differs from the baseline's.
    """
    image, label = ways["baseline"]()
    for name, way in ways.items():
        other_image, other_label = way()
        if not (np.array_equal(image, other_image) and np.array_equal(label, other_label)):
            raise SystemExit(f"{name}: image or labels differ from the baseline's")


def describe(times: dict[str, Spread], image_bytes: int, label_bytes: int) -> dict[str, Any]:
    """Everything a reader needs to judge the figures."""
    median = {name: spread.median for name, spread in times.items()}
    resize = median["resize, Pillow"]
    return {
        "command": "python benchmarks/loading.py",
        "frame": {"stored": STORED, "wanted": WANTED, "bytes": [image_bytes, label_bytes]},
        "times": f"milliseconds; median, 10th and 90th percentile of {REPEATS}, by turns",
        "threads": 1,
        "milliseconds": {name: asdict(spread) for name, spread in times.items()},
        "times as fast": {
            name: round(median["baseline"] / median[name], 2) for name in ("files", "prepared")
        },
        "share of decoding and resizing": {
            "baseline": round((median["decode, Pillow"] + resize) / median["baseline"], 3),
            "files": round((median["decode, rsadapt"] + resize) / median["files"], 3),
        },
        "machine": machine("rsadapt", "numpy", "pillow", "rasterio", "torch"),
    }


def markdown(record: dict[str, Any]) -> str:
    """The record as a Markdown table, with what bounds it."""
    lines = ["| way | time (10th to 90th percentile) | times as fast |", "| --- | ---: | ---: |"]
    for name, spread in record["milliseconds"].items():
        ratio = record["times as fast"].get(name)
        lines.append(f"| {name} | {Spread(**spread)} | {f'{ratio:.1f}' if ratio else ''} |")
    share = record["share of decoding and resizing"]
    lines.append(
        f"\nDecoding and Pillow's resize are {share['baseline']:.0%} of the baseline and "
        f"{share['files']:.0%} of loading from files: they bound it."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
