"""How fast a map is scored: label ids encoded and pixels counted, against masks and 64-bit counts.

    python benchmarks/evaluation.py

A pair of 2048 x 1024 pixels, of which about 70 per cent agree, is scored by turns in one run on
one thread (nothing here uses more). Both baselines take boolean masks and `bincount` over 64-bit
integers. `masks on bytes` does the least work that this allows: one mask for each class, with bytes
compared to bytes. `masks on 64 bits` has one for every label id, all read from an array, by which
NumPy 2 compares in 64 bits, and makes 64-bit integers of the labels. All must count alike, or
nothing is reported. Maps of networks are wrong in patches; mistakes strewn over single pixels are
the hard case, as hardly any pixel then equals its neighbour.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timing import Spread, interleaved, machine

from rsadapt.classes import IGNORE_INDEX
from rsadapt.data.driving import DRIVING_TABLES
from rsadapt.infer.metrics import ConfusionMatrix

RESULTS = Path(__file__).parent / "results" / "evaluation.json"
HEIGHT, WIDTH = 1024, 2048
REPEATS = 50
TABLE = DRIVING_TABLES["cityscapes-19"]
CLASSES = len(TABLE)
SCHEME = replace(TABLE, ignored=tuple(sorted(set(range(256)).difference(TABLE.codes))))
IDS_TO_TRAIN_IDS = np.array([(i, SCHEME.encode(np.array([i]))[0]) for i in range(34)], np.int64)
CASES = {"mistakes in patches": 32, "mistakes in single pixels": 1}
"""Sizes of mistakes in pixels."""

Ids = NDArray[np.uint8]
Counts = NDArray[np.int64]


def main() -> None:
    """Measure every case, print a table and write the results."""
    cases = {name: measured(*draw(size)) for name, size in CASES.items()}
    print(markdown(cases))
    record = {
        "command": "python benchmarks/evaluation.py",
        "pixels": [HEIGHT, WIDTH],
        "times": f"milliseconds; median, 10th and 90th percentile of {REPEATS}, by turns",
        "threads": 1,
        "cases": cases,
        "machine": machine("rsadapt", "numpy"),
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {RESULTS}")


def draw(mistake: int) -> tuple[Ids, Ids]:
    """Draw label ids 0..33 in patches of 64 pixels, and train ids of which 7 in 10 are right."""
    random = np.random.default_rng(0)
    labels = patches(random, 64, 34)
    right = SCHEME.encode(labels)
    right = np.where(right == IGNORE_INDEX, patches(random, 64, CLASSES), right)
    wrong = patches(random, mistake, 100) < 32  # of these, one in 19 is right by chance
    return labels, np.where(wrong, patches(random, mistake, CLASSES), right)


def patches(random: np.random.Generator, size: int, values: int) -> Ids:
    """Draw patches with wavy edges, uint8 [HEIGHT, WIDTH] of 0..values - 1."""
    cells = random.integers(0, values, (HEIGHT // size + 2, WIDTH // size + 2), np.uint8)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    waves = size / 8 * (1 + np.sin(columns / 23)), size / 8 * (1 + np.sin(rows / 19))
    drawn: Ids = cells[
        (rows + waves[0]).astype(int) // size, (columns + waves[1]).astype(int) // size
    ]
    return drawn


def masks_on_bytes(labels: Ids, predicted: Ids) -> Counts:
    """Score with a mask for each class, int64 [CLASSES, CLASSES]."""
    mapped = np.full(labels.shape, IGNORE_INDEX, np.uint8)
    for train_id, label_id in enumerate(SCHEME.codes):
        mapped[labels == label_id] = train_id
    valid = mapped != IGNORE_INDEX
    pairs = CLASSES * mapped[valid].astype(np.int64) + predicted[valid].astype(np.int64)
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def masks_on_64_bits(labels: Ids, predicted: Ids) -> Counts:
    """Score with a mask for every label id, from an array, int64 [CLASSES, CLASSES]."""
    mapped = labels.copy()
    for label_id, train_id in IDS_TO_TRAIN_IDS:
        mapped[labels == label_id] = train_id
    reference, answers = mapped.astype(np.int64).ravel(), predicted.ravel()
    valid = (reference >= 0) & (reference < CLASSES)
    pairs = CLASSES * reference[valid].astype(np.int64) + answers[valid]
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def scored(labels: Ids, predicted: Ids) -> Counts:
    """Score with rsadapt, int64 [CLASSES, CLASSES]."""
    matrix = ConfusionMatrix(CLASSES)
    matrix.update(SCHEME.encode(labels), predicted)
    return matrix.counts


def measured(labels: Ids, predicted: Ids) -> dict[str, Any]:
    """Time all ways on one pair, and the two parts of ours."""
    counts = scored(labels, predicted)
    for baseline in BASELINES.values():
        if not np.array_equal(baseline(labels, predicted), counts):
            raise SystemExit("the ways to score count differently: no times are reported")
    encoded = SCHEME.encode(labels)
    functions: dict[str, Callable[[], object]] = {
        **{name: partial(way, labels, predicted) for name, way in BASELINES.items()},
        "rsadapt": partial(scored, labels, predicted),
        "of it encode": partial(SCHEME.encode, labels),
        "of it update": partial(ConfusionMatrix(CLASSES).update, encoded, predicted),
    }
    times = interleaved(functions, repeats=REPEATS)
    labelled = encoded != IGNORE_INDEX
    return {
        "right": round(float((predicted == encoded)[labelled].mean()), 3),
        "labelled": round(float(labelled.mean()), 3),
        "milliseconds": {name: asdict(spread) for name, spread in times.items()},
        "times as fast as": {
            name: round(times[name].median / times["rsadapt"].median, 2) for name in BASELINES
        },
    }


def markdown(cases: dict[str, dict[str, Any]]) -> str:
    """Return the times of every case as a Markdown table."""
    lines = ["| case | way | time (10th to 90th percentile) | times as fast |"]
    lines.append("| --- | --- | ---: | ---: |")
    for case, figures in cases.items():
        for way, spread in figures["milliseconds"].items():
            ratio = figures["times as fast as"].get(way)
            cells = [case, way, str(Spread(**spread)), f"{ratio:.1f}" if ratio else ""]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


BASELINES = {"masks on bytes": masks_on_bytes, "masks on 64 bits": masks_on_64_bits}

if __name__ == "__main__":
    main()
