"""What a training step costs beside a plain one: time, peak memory, and that results are equal.

    python benchmarks/training_step.py                      # all of it, some minutes
    python benchmarks/training_step.py --case resnet18 256 4 --turns 9
    python benchmarks/training_step.py --case resnet18 64 2 --turns 1      # a try

The plain step is written here, as the published training loop is ordered: eager, float32,
contiguous, every loss from full-size logits, target maps judged for the network and again for the
discriminators. It has the layers and weights of rsadapt's step, which is measured with its default
settings, and with `training.recompute`. Steps are timed by turns in one process, those that
recompute in another, whose heap they change; peak memory is taken of each way in a process of its
own, above what it holds once everything is imported. Losses and weights are compared after three
steps in float64. Images and labels are random. Results: results/training_step.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from timing import interleaved, machine
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from rsadapt import build, config
from rsadapt.adapt.feed import Feed
from rsadapt.adapt.trainer import Learner, _step
from rsadapt.sample import Batch

RESULTS = Path(__file__).parent / "results" / "training_step.json"

Values = dict[str, Any]
Step = Callable[[], dict[str, Tensor]]

BANDS, CLASSES = 4, 6
CASES = [("resnet18", 256, 4), ("resnet18", 320, 2), ("resnet50", 256, 2)]
WAYS: dict[str, Values] = {
    "plain": {"device.channels_last": False},
    "rsadapt": {},
    "recompute": {"training.recompute": True},
}
TARGETS = {"time": 0.85, "memory": 0.75}


def main() -> None:
    """Measure the cases asked for, print them and write them down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", nargs=3, action="append", metavar=("ENCODER", "TILE", "BATCH"))
    parser.add_argument("--turns", type=int, default=5, help="measured, after one that is not")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*(pin_memory|bottlenecks).*")
    cases = [(name, int(tile), int(size)) for name, tile, size in options.case or CASES]
    record = {"targets": TARGETS, "equal": {}, "cases": {}}
    for encoder in dict.fromkeys(encoder for encoder, _, _ in cases):
        record["equal"][encoder] = found = alone(differences, encoder)
        print(f"{encoder}, float64, three steps: {found}", flush=True)
    for case in cases:
        name = "{}, {} pixels, batch of {}".format(*case)
        record["cases"][name] = found = measure(case, options.turns)
        print(f"{name}: {json.dumps(found, indent=1)}", flush=True)
    record["load"] = (
        f"{os.getloadavg()[0]:.1f} processes ready to run at the end, this one included"
    )
    record["machine"] = machine("torch", "torchvision", "lightning-fabric")
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {RESULTS}")


def measure(case: tuple[str, int, int], turns: int) -> Values:
    """Times, memory and a profile of a case, with the ratios to the plain step."""
    times = alone(timed, ("plain", "rsadapt"), case, turns)
    times |= alone(timed, ("recompute",), case, turns)  # which changes the heap of its process
    memory = {way: alone(peak, way, case) for way in WAYS}
    plain, base = times["plain"]["median"], memory["plain"]
    return {
        "seconds": times,
        "time of plain's": {w: round(t["median"] / plain, 3) for w, t in times.items()},
        "megabytes": memory,
        "memory of plain's": {
            way: {key: round(found[key] / base[key], 3) for key in base}
            for way, found in memory.items()
        },
        "share of rsadapt's step": alone(shares, "rsadapt", case),
    }


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a new process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def timed(ways: tuple[str, ...], case: tuple[str, int, int], turns: int) -> dict[str, Values]:
    """Seconds of a step each way, by turns."""
    steps = {way: prepare(way, case)[0] for way in ways}
    found = interleaved(steps, repeats=turns, warm_up=1)
    return {
        way: {
            "median": round(spread.median / 1e3, 3),
            "from 10 to 90 %": [round(spread.low / 1e3, 3), round(spread.high / 1e3, 3)],
        }
        for way, spread in found.items()
    }


def peak(way: str, case: tuple[str, int, int]) -> Values:
    """Peak resident size during two steps, of this process and above what it began with."""
    before = resident("VmRSS")
    step, _ = prepare(way, case)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    for _ in range(2):
        step()
    most = resident("VmHWM")
    return {"process": round(most / 1e6), "networks and step": round((most - before) / 1e6)}


def resident(field: str) -> int:
    """Bytes of this process: "VmRSS" now, "VmHWM" at most so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in status if line.startswith(f"{field}:")]
    return 1024 * int(line.split()[1])


def shares(way: str, case: tuple[str, int, int]) -> dict[str, float]:
    """The operations that most of a step's time goes to, and their shares of it."""
    step, _ = prepare(way, case)
    step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    times = {event.key: event.self_cpu_time_total for event in found.key_averages()}
    total = sum(times.values())
    most = sorted(times.items(), key=lambda item: -item[1])[:8]
    return {name.removeprefix("aten::"): round(time / total, 3) for name, time in most}


def differences(encoder: str) -> dict[str, float]:
    """Of each way from plain in float64: of losses and tensors, relative to the largest value."""
    found = {}
    for way in WAYS:
        step, learner = prepare(way, (encoder, 64, 2), precision="64-true")
        losses = [step() for _ in range(3)]
        tensors = {f"{name} {n}": loss for n, s in enumerate(losses) for name, loss in s.items()}
        for name, module in {"network": learner.parts.network, **learner.parts.others}.items():
            tensors |= {f"{name} {key}": value for key, value in module.state_dict().items()}
        found[way] = tensors
    plain = found.pop("plain")
    return {
        way: max(
            float((value - plain[key]).abs().max() / plain[key].abs().max().clamp(min=1e-300))
            for key, value in tensors.items()
        )
        for way, tensors in found.items()
    }


def prepare(
    way: str, case: tuple[str, int, int], precision: str = "32-true"
) -> tuple[Step, Learner]:
    """A step on random images that one way takes, and what learns by it."""
    encoder, tile, size = case
    values = {
        "classes": [
            {"name": f"class {n}", "id": n, "colour": f"#0000{n:02x}"}
            for n in range(1, CLASSES + 1)
        ],
        "source": {"scenes": ["none"], "labels": ["none"]},
        "target": {"scenes": ["none"]},
        "network": {"encoder": encoder},
        "method": {"name": "output_space"},
        "training": {"tile": tile, "batch_size": size},
        "device": {"precision": precision, "accelerator": "cpu"},
    }
    learner = build.learner(config.parse(config.change(values, WAYS[way]), where=way), BANDS)
    learner.set_up()
    source, target = batch(tile, size, labelled=True), batch(tile, size, labelled=False)
    if way == "plain":
        return lambda: plain_step(learner, source, target), learner
    feed = Feed(repeat(source), repeat(target), device=learner.fabric.device, pairs=0)
    return lambda: _step(learner, 1, feed), learner


def batch(tile: int, size: int, *, labelled: bool) -> Batch:
    """A random batch, wholly valid, a tenth of it unlabelled, of the default precision."""
    draw = torch.Generator().manual_seed(int(labelled))
    shape = (size, tile, tile)
    image = torch.randn(size, BANDS, tile, tile, generator=draw)
    label = torch.randint(0, CLASSES, shape, generator=draw)
    label[torch.rand(shape, generator=draw) < 0.1] = 255
    return Batch(image, torch.ones(shape, dtype=torch.bool), label if labelled else None)


# The plain step, of layers and optimisers alone


def plain_step(learner: Learner, source: Batch, target: Batch) -> dict[str, Tensor]:
    """One step as the published loop takes it."""
    network, method = learner.parts.network.module, learner.method
    judges = [judge.module for judge in learner.parts.others.values()]
    for module in (network, *judges):
        module.train()
    for optimiser in learner.optimisers.values():
        optimiser.zero_grad()
    size = source.image.shape[-2:]

    for judge in judges:
        judge.requires_grad_(False)
    source_logits = [upsample(x, size) for x in predict(network, source.image)]
    seg = [functional.cross_entropy(x, source.labels(), ignore_index=255) for x in source_logits]
    sum(w * loss for w, loss in zip(method.segmentation, seg, strict=True)).backward()

    target_logits = [upsample(x, size) for x in predict(network, target.image)]
    answers = [j.layers(x.softmax(1)) for j, x in zip(judges, target_logits, strict=True)]
    adv = [against(x, 0.0) for x in answers]
    sum(w * loss for w, loss in zip(method.adversarial, adv, strict=True)).backward()

    for judge in judges:
        judge.requires_grad_(True)
    disc = []
    for judge, ours, theirs in zip(judges, source_logits, target_logits, strict=True):
        one = against(judge.layers(ours.detach().softmax(1)), 0.0) / 2
        one.backward()
        other = against(judge.layers(theirs.detach().softmax(1)), 1.0) / 2
        other.backward()
        disc.append(one + other)
    for optimiser in learner.optimisers.values():
        optimiser.step()
    named = {"segmentation": seg, "adversarial": adv, "discriminator": disc}
    return {
        f"{name}_{level}": loss.detach()
        for name, losses in named.items()
        for level, loss in enumerate(losses, start=1)
    }


def predict(network: nn.Module, image: Tensor) -> list[Tensor]:
    """Logits in cells, one a level."""
    value, levels = network.encoder.stem(image), []
    for stage in network.encoder.stages:
        value = stage(value)
        levels.append(value)
    return [
        sum(branch(value) for branch in head.branches)
        for head, value in zip(network.classifiers, levels[-2:], strict=True)
    ]


def upsample(logits: Tensor, size: torch.Size) -> Tensor:
    """From cells of stride 8, centred on its first pixel, to pixels."""
    padded = functional.pad(logits, (0, 1, 0, 1), mode="replicate")
    reach = [8 * cells + 1 for cells in logits.shape[-2:]]
    full = functional.interpolate(padded, reach, mode="bilinear", align_corners=True)
    return full[..., : size[0], : size[1]]


def against(answer: Tensor, label: float) -> Tensor:
    """Binary cross-entropy of a discriminator's output and a domain's label."""
    wanted = torch.full_like(answer, label)
    return functional.binary_cross_entropy_with_logits(answer, wanted)


if __name__ == "__main__":
    main()
