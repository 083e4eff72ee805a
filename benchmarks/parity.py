"""Whether this implementation computes what the published AdaptSegNet computed, case by case.

    python benchmarks/parity.py --cases tests/parity

Runs every case of a folder: networks and discriminator on given weights, images as they are loaded,
the first steps of training, and the metric. The folder holds the figures and `make_tensors.py`,
the rule for the weights behind them, which is executed. All settings are read from its files; one
that they leave out is the recipe's, `gta5-cityscapes`. The network, optimisers, method and loop are
those that `rsadapt train` builds from it. Everything is computed in float64.

A line a case: the largest relative error, what is allowed, pass or fail. Exits 1 if any fails.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rsadapt import build, config, weights
from rsadapt.adapt.figures import Said, apart
from rsadapt.adapt.trainer import Learner, train
from rsadapt.data.cityscapes import CITYSCAPES
from rsadapt.data.folder import FolderDataset, Frame
from rsadapt.data.frames import Frames, FrameSamples
from rsadapt.data.gta5 import GTA5
from rsadapt.data.images import read_labels
from rsadapt.geo.normalise import Normaliser
from rsadapt.infer.metrics import ConfusionMatrix
from rsadapt.nets.discriminator import Discriminator
from rsadapt.nets.naming import published_discriminator
from rsadapt.sample import Batch

Values = dict[str, Any]

RECIPE = "gta5-cityscapes"
SINGLE: Values = {"network.levels": 1}
VGG: Values = {"network.encoder": "vgg16", "network.levels": 1, "optimiser.updates": "once"}

LEVELS = ("main", "aux")

NETWORKS, LOSSES, NORMS, IOU = 1e-9, 1e-6, 1e-6, 1e-12
"""The largest relative errors allowed."""

GREY, MEAN_GREY = 0.51, 0.01
"""Grey levels that a loaded image may differ by at most, and on average."""

FIELDS = {
    "batch_size": "training.batch_size",
    "accumulate": "training.accumulate",
    "num_steps": "training.horizon",
    "power": "optimiser.power",
    "lr": "optimiser.rate",
    "lr_head_factor": "optimiser.head_factor",
    "momentum": "optimiser.momentum",
    "nesterov": "optimiser.nesterov",
    "weight_decay": "optimiser.weight_decay",
    "lr_discriminator": "method.discriminator_rate",
    "betas": "method.discriminator_betas",
    "gan": "method.objective",
}
"""Settings of a training case, and the recipe's fields that hold the same."""

FIGURES = {
    "l2": "norms of all tensors",
    "sum": "sums of all tensors, relative to their norms",
}
"""Figures of a tensor after training, and what their errors are of."""

Make = Callable[[str, tuple[int, ...]], NDArray[Any]]


@dataclass(frozen=True)
class Finding:
    """What a case came to.

    Attributes:
        case: its name.
        error: the largest error, relative unless `what` says otherwise.
        allowed: the largest error that passes.
        what: what the error is of.
    """

    case: str
    error: float
    allowed: float
    what: str

    @property
    def passed(self) -> bool:
        """Whether it passes; an error that is no number does not."""
        return self.error <= self.allowed


@dataclass(frozen=True)
class Cases:
    """A folder of cases.

    Attributes:
        folder: see ../shared/parity or tests/parity.
    """

    folder: Path

    def make(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The tensor of a name and shape, by the folder's own rule."""
        return torch.from_numpy(np.array(self._rule(name, shape)))

    @cached_property
    def _rule(self) -> Make:
        file = self.folder / "make_tensors.py"
        spec = importlib.util.spec_from_file_location("make_tensors", file)
        if spec is None or spec.loader is None:
            raise SystemExit(f"{file}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        rule: Make = module.weights
        return rule

    def json(self, name: str) -> Any:
        """What a JSON file holds."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """What an NPZ file holds."""
        with np.load(self.folder / name) as found:
            return dict(found)

    def listed(self, name: str) -> list[str]:
        """The lines of a list of images."""
        text = (self.folder / "images" / name).read_text(encoding="utf-8")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def source(self) -> list[Frame]:
        """The GTA5 frames, in the order of their list."""
        root = self.folder / "images" / "GTA5"
        return [
            Frame(name, root / "images" / name, root / "labels" / name)
            for name in self.listed("gta5_train.txt")
        ]

    def target(self) -> list[Frame]:
        """The Cityscapes training frames, in the order of their list, without labels."""
        root = self.folder / "images" / "Cityscapes" / "leftImg8bit" / "train"
        return [Frame(name, root / name, None) for name in self.listed("cityscapes_train.txt")]


# Networks


def networks(cases: Cases) -> Iterator[Finding]:
    """Every network's levels and the discriminator, in evaluation mode."""
    arrays = cases.arrays("networks.npz")
    parts = [key.rpartition("_") for key in arrays]
    kinds = list(dict.fromkeys(kind for kind, _, level in parts if kind and level in LEVELS))
    for kind in kinds:
        yield from _attempt(f"networks {kind}", _network(cases, kind, arrays))
    compared = {f"{kind}_{level}" for kind in kinds for level in LEVELS}
    for key in arrays.keys() - compared - {"image", "probabilities", "discriminator"}:
        yield Finding(f"networks {key}", float("inf"), 0.0, "not understood, compared with nothing")
    if "discriminator" in arrays:
        seen = torch.from_numpy(arrays["probabilities"]).double()
        judge = Discriminator(seen.shape[1])
        fill_discriminator(judge, cases, "")
        with torch.inference_mode():
            found = judge(seen).numpy()
        error = _relative(found, arrays["discriminator"])
        yield Finding("networks discriminator", error, NETWORKS, "logits")


def _network(cases: Cases, kind: str, arrays: dict[str, NDArray[Any]]) -> Iterator[Finding]:
    """The levels of one of the published networks.

    Whether a single-level ResNet sums two branches of its pyramid or all four is told neither by
    its tensors nor by the files; the reading that fits is named.
    """
    names = _names(cases, kind)
    image = torch.from_numpy(arrays["image"]).double()
    levels = {level: arrays[f"{kind}_{level}"] for level in LEVELS if f"{kind}_{level}" in arrays}
    readings: list[config.Pyramid] = ["first_two"]
    if any(name.startswith("features.") for name in names):
        changes = VGG
    elif any(name.startswith("layer6.") for name in names):
        changes = {}
    else:
        changes = SINGLE
        readings.append("all")
    classes = next(iter(levels.values())).shape[1]
    found: dict[str, list[float]] = {}
    for reading in readings:
        chosen = settings(changes | {"network.pyramid": reading}, classes=classes)
        answers = _answer(cases, chosen, names, image)
        found[reading] = [
            _relative(answers[-1 if level == "main" else 0].numpy(), expected)
            for level, expected in levels.items()
        ]
        if max(found[reading]) <= NETWORKS:
            break
    reading = min(found, key=lambda reading: max(found[reading]))
    for level, error in zip(levels, found[reading], strict=True):
        yield Finding(f"networks {kind}_{level}", error, NETWORKS, f"logits, pyramid {reading}")


def _names(cases: Cases, kind: str) -> list[str]:
    """The tensors of a kind of network, whose names are the same for any number of classes."""
    names = cases.json("tensor_names.json")
    found: list[str] | None = names.get(kind) or names.get(kind.rstrip("0123456789"))
    if found is None:
        raise ValueError(
            f"{cases.folder / 'tensor_names.json'}: expected the tensor names of {kind!r}, which "
            f"networks.npz has outputs of; found those of {', '.join(names)}"
        )
    return found


def _answer(
    cases: Cases, chosen: config.Configuration, names: list[str], image: Tensor
) -> list[Tensor]:
    """The logits of a network of given weights, a tensor a level."""
    network = build.network(chosen, image.shape[1])
    found = list(weights.published_tensors(network))
    if found != names:
        odd = sorted(set(found) ^ set(names))[:3] or "their order"
        raise ValueError(f"tensor names differ from the published ones: {odd}")
    fill_network(network, cases)
    network.eval()
    with torch.inference_mode():
        levels: list[Tensor] = network(image)
    return levels


def settings(changes: Values, classes: int = 19) -> config.Configuration:
    """The recipe's configuration, changed, in float64 on the CPU."""
    values = config.load_yaml(config.recipe(RECIPE))
    if classes != len(build.class_scheme(config.parse(values, where=RECIPE))):
        values["class_table"] = None
        values["classes"] = [
            {"name": f"class {number}", "id": number, "colour": "#000000"}
            for number in range(classes)
        ]
    double = {"device.precision": "64-true", "device.accelerator": "cpu", "training.workers": 0}
    if changes.get("network.levels") == 1:
        double |= {"method.segmentation": [1.0], "method.adversarial": [0.001]}
    return config.parse(config.change(values, double | changes), where=RECIPE)


def fill_network(network: nn.Module, cases: Cases) -> None:
    """Give a network the tensors that the folder's rule makes for the published names."""
    published = weights.published_tensors(network)
    made = {name: cases.make(name, tuple(value.shape)) for name, value in published.items()}
    fit = weights.fit(network, made, where=cases.folder / "make_tensors.py")
    if fit.left_out or fit.fresh:
        raise ValueError(f"not every tensor was loaded: {fit.describe()}")


def fill_discriminator(judge: nn.Module, cases: Cases, prefix: str) -> None:
    """Give a discriminator the tensors of its published names behind a prefix."""
    judge.load_state_dict(
        {
            name: cases.make(prefix + published_discriminator(name), tuple(value.shape))
            for name, value in judge.state_dict().items()
        }
    )


# Loading


def loading(cases: Cases) -> Iterator[Finding]:
    """The first frame of each domain, resized and standardised, at the sizes of the arrays."""
    arrays = cases.arrays("loading.npz")
    changed = settings({})
    for key, frame, data in (
        ("gta", cases.source()[0], GTA5),
        ("cityscapes", cases.target()[0], CITYSCAPES),
    ):
        if f"{key}_image" not in arrays:
            continue
        expected = arrays[f"{key}_image"]
        label = arrays.get(f"{key}_label")
        sample = samples(changed, [frame], data, expected.shape[-2:], labelled=label is not None)[0]
        difference = np.abs(sample.image.numpy().astype(float) - expected)
        yield Finding(f"loading {key}_image", float(difference.max()), GREY, "grey level")
        mean = float(difference.mean())
        yield Finding(f"loading {key}_image", mean, MEAN_GREY, "grey level on average")
        if label is not None and sample.label is not None:
            wrong = np.count_nonzero(sample.label.numpy() != label)
            yield Finding(f"loading {key}_label", float(wrong), 0.0, "pixels of another class")


def samples(
    changed: config.Configuration,
    frames: list[Frame],
    data: FolderDataset,
    size: tuple[int, ...],
    *,
    labelled: bool,
) -> FrameSamples:
    """Frames in list order, as the recipe loads them."""
    height, width = size
    imagery = Frames(
        name="source" if labelled else "target",
        dataset=data,
        frames=tuple(frames),
        size=(height, width),
        bands=tuple(changed.bands or ()),
    )
    given = changed.normalisation
    if given is None:
        raise ValueError(f"the recipe {RECIPE} gives no numbers to standardise images with")
    return FrameSamples(
        imagery,
        seed=None,
        normalise=Normaliser(tuple(given.mean), tuple(given.std)),
        scheme=build.class_scheme(changed) if labelled else None,
    )


# Training


def training(cases: Cases) -> Iterator[Finding]:
    """The losses of the first steps of every training case, and all tensors after them."""
    for name, case in cases.json("training.json").items():
        yield from _attempt(f"training {name}", _training_case(cases, name, case))


def _training_case(cases: Cases, name: str, case: Values) -> Iterator[Finding]:
    given = dict(case["settings"])
    sizes = {key: given.pop(f"{key}_size") for key in ("source", "target")}
    changed = settings(_changes(given, name=name, steps=len(case["steps"])))
    learner = build.learner(changed, 3)
    network = learner.parts.network
    judges = list(learner.parts.others.values())
    fill_network(network, cases)
    for number, judge in enumerate(judges, start=1):
        fill_discriminator(judge, cases, f"D{number}.")
    logged = run(learner, changed, cases, sizes)
    found = {key: [step[key] for step in logged] for key in logged[0]}
    expected = {key: [step[key] for step in case["steps"]] for key in case["steps"][0]}
    error = float(np.max([_elementwise(found[key], expected[key]) for key in expected]))
    yield Finding(f"training {name}", error, LOSSES, f"losses of {len(logged)} steps")
    tensors = {"network": weights.published_tensors(network)}
    for key, judge in zip(("discriminator_aux", "discriminator_main"), judges, strict=True):
        state = judge.state_dict()
        tensors[key] = {published_discriminator(part): state[part] for part in state}
    for figure, what in FIGURES.items():
        errors = _tensor_errors(tensors, case["final"], figure)
        if errors:
            yield Finding(f"training {name}", float(np.max(errors)), NORMS, what)


def _changes(given: Values, *, name: str, steps: int) -> Values:
    """A case's settings as changes of the recipe, which decides what the case leaves out.

    None may be left over but the case's name.
    """
    left = {key: _whole(value) for key, value in given.items()}
    if left.get("name") == name:
        del left["name"]
    changes = {field: left.pop(key) for key, field in FIELDS.items() if key in left}
    if "repeated_updates" in left:
        changes["optimiser.updates"] = "repeated" if left.pop("repeated_updates") else "once"
    recipe = settings({}).method
    for kind, short in (("segmentation", "seg"), ("adversarial", "adv")):
        changes[f"method.{kind}"] = [
            left.pop(f"lambda_{short}_{level}", weight)
            for level, weight in zip(("aux", "main"), getattr(recipe, kind), strict=True)
        ]
    if left:
        raise ValueError(f"settings that are not understood: {', '.join(left)}")
    return changes | {"training.steps": steps, "training.log_every": 1}


def _whole(value: Any) -> Any:
    """A whole number as such, which fields of either kind take; all else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def run(
    learner: Learner, changed: config.Configuration, cases: Cases, sizes: dict[str, list[int]]
) -> list[dict[str, float]]:
    """Train as `rsadapt train` does; the losses of every step under their published names."""
    learner.set_up()
    logged = []

    def log(_: int, said: Said) -> None:
        losses, _figures = apart(said)
        logged.append({_published_loss(name): value for name, value in losses.items()})

    def batches(frames: list[Frame], data: FolderDataset, domain: str) -> Iterator[Batch]:
        width, height = sizes[domain]
        loaded = samples(changed, frames, data, (height, width), labelled=domain == "source")
        return build.batches(changed, loaded, 0, learner.fabric)

    train(
        learner,
        schedule=build.schedule(changed),
        start=0,
        source=batches(cases.source(), GTA5, "source"),
        target=batches(cases.target(), CITYSCAPES, "target"),
        log=log,
        validate=lambda _: None,
        save=lambda _: None,
    )
    return logged


def _published_loss(name: str) -> str:
    """The published name of one of our losses: "segmentation_1" is "seg_aux"."""
    kind, _, level = name.rpartition("_")
    short = {"segmentation": "seg", "adversarial": "adv", "discriminator": "disc"}[kind]
    return f"{short}_{('aux', 'main')[int(level) - 1]}"


def _tensor_errors(
    found: dict[str, dict[str, Tensor]], expected: dict[str, dict[str, Values]], figure: str
) -> list[float]:
    """The errors of one figure, "l2" or "sum", of the tensors that have it, relative to norms."""
    errors = []
    for part, tensors in expected.items():
        for name, figures in tensors.items():
            if figure in figures:
                value = found[part][name].double()
                reached = float(value.norm() if figure == "l2" else value.sum())
                errors.append(abs(reached - figures[figure]) / (figures["l2"] or 1.0))
    return errors


# Metric


def metric(cases: Cases) -> Iterator[Finding]:
    """IoU of the predictions against the validation labels, from one confusion matrix."""
    expected = cases.json("metric.json")
    scheme = build.class_scheme(settings({}))
    matrix = ConfusionMatrix(len(scheme))
    images = cases.folder / "images"
    for label, image in zip(cases.listed("label.txt"), cases.listed("val.txt"), strict=True):
        reference = read_labels(images / "Cityscapes" / "gtFine" / "val" / label)
        predicted = read_labels(images / "predictions" / Path(image).name)
        matrix.update(scheme.encode(reference, where=label), predicted)
    error = _elementwise(list(matrix.iou), [np.nan if x is None else x for x in expected["iou"]])
    error = max(error, _elementwise([matrix.miou], [expected["miou"]]))
    yield Finding("metric", error, IOU, "IoU by class and their mean")


# Errors: the largest of several is NumPy's, which lets no NaN by, unlike Python's


def _relative(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference relative to the largest absolute value."""
    if found.shape != expected.shape:
        raise ValueError(f"the shape is {found.shape}, expected {expected.shape}")
    return float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))


def _elementwise(found: list[float], expected: list[float]) -> float:
    """The largest relative difference of two lists; what is no number must be so in both."""
    ours, theirs = np.array(found, float), np.array(expected, float)
    if ours.shape != theirs.shape or (np.isnan(ours) != np.isnan(theirs)).any():
        return float("inf")
    known = ~np.isnan(theirs)
    scale = np.where(theirs[known] == 0, 1.0, np.abs(theirs[known]))
    return float((np.abs(ours[known] - theirs[known]) / scale).max(initial=0.0))


# Report


def _attempt(name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Findings, and one that fails where they cannot be had; the reason goes to stderr."""
    try:
        yield from findings
    except Exception as error:
        if not isinstance(error, ValueError | FileNotFoundError):
            traceback.print_exc()
        print(f"{name}: {error}", file=sys.stderr)
        yield Finding(name, float("inf"), 0.0, "could not be run")


GROUPS: dict[str, tuple[str, Callable[[Cases], Iterator[Finding]]]] = {
    "networks": ("networks.npz", networks),
    "loading": ("loading.npz", loading),
    "training": ("training.json", training),
    "metric": ("metric.json", metric),
}
"""Each group of cases with the file that holds it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases, print a line for each, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, help="folder of the cases")
    parser.add_argument("--only", choices=GROUPS, nargs="+", help="these groups, all by default")
    options = parser.parse_args(arguments)
    build.set_process(settings({}))  # float64, in the networks that no learner is built of too
    cases, failed, ran = Cases(options.cases), 0, 0
    print(f"{'case':44}{'error':>12}{'allowed':>10}         of what")
    clock = time.perf_counter()
    for group, (file, check) in GROUPS.items():
        if options.only and group not in options.only:
            continue
        if not (options.cases / file).is_file():
            print(f"{group:44}{'-':>12}{'-':>10}  none    there is no {file}")
            continue
        for finding in _attempt(group, check(cases)):
            ran += 1
            failed += not finding.passed
            verdict = "pass" if finding.passed else "FAIL"
            figures = f"{finding.error:12.1e}{finding.allowed:10.0e}"
            print(f"{finding.case:44}{figures}  {verdict}    {finding.what}", flush=True)
    print(f"{ran} cases, {failed} failed, {time.perf_counter() - clock:.0f} s")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
