"""The published benchmarks: which recipe, which rows, and how each row differs from the recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rsadapt import config
from rsadapt.study import Row

Values = dict[str, Any]
Variant = Literal["published", "paper"]

AS_IN_THE_PAPER: Values = {
    "network.pyramid": "all",
    "method.domain_labels": "paper",
    "method.discriminator_output": "upsampled",
    "optimiser.nesterov": True,
    "optimiser.updates": "once",
}
"""Where the paper's description differs from the published code that its figures came from."""

IMAGENET: Values = {
    "network.pretrained": True,
    "network.layout": "torchvision",
    "bands": [1, 2, 3],
    "normalise_by": "given",
    "normalisation": {
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
    },
}
"""What torchvision's ImageNet weights expect: red, green, blue, less its documented means, over its
documented deviations, here in grey levels."""

LEAST_SQUARES_FACTOR = 10.0
"""The published weight of the adversarial loss with least squares, over that with cross-entropy."""


@dataclass(frozen=True)
class Benchmark:
    """A published comparison.

    Attributes:
        title: what it is called.
        recipe: the configuration that its multi-level row trains.
        rows: gives all rows by name, from the recipe's values.
        default: the rows that are trained unless others are asked for.
    """

    title: str
    recipe: str
    rows: Callable[[Values], dict[str, Row]]
    default: tuple[str, ...]


def adaptation_rows(values: Values) -> dict[str, Row]:
    """The rows of the paper's tables: each is one run from the same initial weights.

    Args:
        values: the recipe, whose method is multi-level adaptation in output space.

    Returns:
        By name: "source-only", "feature", "single", "multi", "lsgan" (single level, least
        squares), "vgg" (single level on VGG-16) and "target-trained" (with the target's labels).
        All but "multi" train the main level alone.
    """
    method = values["method"]
    zeros = [0.0] * (len(method["segmentation"]) - 1)
    segmentation = [*zeros, method["segmentation"][-1]]
    main = method["adversarial"][-1]
    supervised = {"method": {"name": "source_only", "segmentation": segmentation}}
    single = {"method.segmentation": segmentation, "method.adversarial": [*zeros, main]}
    shared = {
        key: value for key, value in method.items() if key not in ("name", "discriminator_input")
    }
    rows = [
        Row("source-only", supervised),
        Row(
            "feature",
            {
                "method": shared
                | {
                    "name": "feature_space",
                    "segmentation": segmentation,
                    "adversarial": [*zeros, main],
                }
            },
        ),
        Row("single", single),
        Row("multi"),
        Row(
            "lsgan",
            single
            | {
                "method.adversarial": [*zeros, LEAST_SQUARES_FACTOR * main],
                "method.objective": "least_squares",
            },
        ),
        Row(
            "vgg",
            {
                "network.encoder": "vgg16",
                "network.levels": 1,
                "optimiser.updates": "once",
                "method.segmentation": segmentation[-1:],
                "method.adversarial": [main],
            },
        ),
        Row("target-trained", supervised | {"source": values["target"]}),
    ]
    return {row.name: row for row in rows}


def city_rows(values: Values) -> dict[str, Row]:
    """Source-only and multi-level rows of each city of Cross-City: "rome-multi" and so on."""
    rows = {}
    for city in ("Rome", "Rio", "Tokyo", "Taipei"):
        for name in ("source-only", "feature", "single", "multi"):
            row = adaptation_rows(values)[name]
            changes = row.changes | {"target.city": city}
            rows[f"{city.lower()}-{name}"] = Row(f"{city.lower()}-{name}", changes)
    return rows


_PAPER_ROWS = ("source-only", "feature", "single", "multi", "lsgan", "vgg")

BENCHMARKS = {
    "gta5-cityscapes": Benchmark(
        "GTA5 -> Cityscapes", "gta5-cityscapes", adaptation_rows, _PAPER_ROWS
    ),
    "synthia-cityscapes": Benchmark(
        "SYNTHIA -> Cityscapes",
        "synthia-cityscapes",
        adaptation_rows,
        ("source-only", "feature", "single", "multi", "vgg"),
    ),
    "cross-city": Benchmark(
        "Cityscapes -> Cross-City",
        "cross-city",
        city_rows,
        tuple(
            f"{city}-{name}"
            for city in ("rome", "rio", "tokyo", "taipei")
            for name in ("source-only", "multi")
        ),
    ),
}
"""By name, as `rsadapt benchmark` is asked for them."""


def benchmark_values(benchmark: Benchmark, variant: Variant) -> Values:
    """The recipe's values, as the published code trains or as the paper says."""
    values = config.load_yaml(config.recipe(benchmark.recipe))
    return config.change(values, AS_IN_THE_PAPER) if variant == "paper" else values


def initial_weights(init: str, row: Row, vgg_init: str | None) -> Values | None:
    """The fields that give a row its initial weights.

    Args:
        init: a weight file, "imagenet" (torchvision's) or "random".
        row: whose network decides which of both counts.
        vgg_init: the same for rows on VGG-16; `init` itself where that is no file.

    Returns:
        The fields; None for a row on VGG-16 where only a file for the others is given.
    """
    if row.changes.get("network.encoder") == "vgg16":
        if vgg_init is None and init not in ("imagenet", "random"):
            return None
        init = vgg_init or init
    if init == "random":
        return {}
    if init == "imagenet":
        return IMAGENET
    return {"init_from": str(Path(init).resolve())}
