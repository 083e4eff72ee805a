"""Signs that training on two domains goes wrong, in a window of the lines of its log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import fmean
from typing import Any

from rsadapt.adapt.adversarial import Objective

Line = Mapping[str, Any]
"""A line of the log: "step", "losses" and "figures", as a run's metrics have them."""

LEAST_LINES = 20
"""Lines of a window at least: the mean of so many batches is worth a judgement."""

MOST_STEPS = 1000
"""Steps of a window at most: of the published 150,000 few are lost before a sign is told."""

SHARE_OF_RUN = 0.1
"""Steps of a window, as a share of the run, where that is less: short runs are scheduled short."""

CHANCE: dict[Objective, float] = {"bce": math.log(2), "least_squares": 0.25}
"""What a discriminator's loss is, mean of both domains, with the best answer that does not look."""

UNLEARNED = 0.01
"""Below chance; for cross-entropy, in nats, that is to judge 57 % of cells right (2 d^2 = 0.01)."""

SATURATED_ACCURACY = 0.99
SATURATED_LOSS: dict[Objective, float] = {"bce": 0.05, "least_squares": 0.01}
"""With both, the domains do not overlap for a discriminator, and its gradients say little of how to
come nearer (Arjovsky and Bottou 2017, theorem 2.4 and 2.6)."""

EXPLODED = 10.0
"""For cross-entropy, odds of e^10 against the source; squared, an answer 3 beyond the labels."""

EXPECTED_SHARE = 0.01
"""Of a class: twenty batches may miss a rarer one by chance."""

VANISHED = 0.01
"""Of the share that is expected of a class, what is left of it."""

WEIGHTS = ("adversarial", "entropy", "pseudo", "taught", "masked")
"""Losses of the target by the name that they have in the log and their weights in the settings."""

SETTLING = 4
"""Windows, with the last, after which a segmentation loss should have begun to fall, and classes
no longer come and go."""

EARLIER = 5
"""Windows before the last, the first of the run left out, that tell what share a class had."""

NOT_FALLEN = 0.98
"""Of the first window's segmentation loss; less than 2 % is within the spread of batches."""


@dataclass(frozen=True)
class Sign:
    """One thing that goes wrong.

    Attributes:
        name: of the sign and of what it is about; told once.
        text: what was seen, and the cure.
    """

    name: str
    text: str


def window(lines: Sequence[Line], *, steps: int) -> int:
    """How many of the last lines make a window; 0 while the log does not reach back so far.

    Args:
        lines: of the log, by step.
        steps: of the whole run.
    """
    begin = lines[-1]["step"] - min(MOST_STEPS, SHARE_OF_RUN * steps)
    inside = sum(1 for _ in takewhile(lambda line: line["step"] > begin, reversed(lines)))
    size = max(LEAST_LINES, inside)
    return size if len(lines) >= size and lines[0]["step"] <= begin else 0


def signs(
    lines: Sequence[Line], *, steps: int, classes: Sequence[str], objective: Objective = "bce"
) -> list[Sign]:
    """Every sign that shows in the last lines, from the second window of a run on.

    Args:
        lines: of the log, by step.
        steps: of the whole run.
        classes: their names, in the order of shares.
        objective: what the discriminators learn, if there are any.
    """
    size = window(lines, steps=steps)
    if not size or len(lines) < 2 * size:  # all begin at chance, and classes come and go at first
        return []
    last = lines[-size:]
    levels = sum(name.startswith("discriminator_") for name in last[-1]["losses"])
    found: list[Sign | None] = [segmentation_not_falling(lines, size, classes=len(classes))]
    for level in range(1, levels + 1):
        found += [
            discriminator_saturated(last, level, objective=objective),
            discriminator_stuck(last, level, objective=objective),
            adversarial_exploded(last, level),
        ]
    found += classes_vanished(lines, size, classes=classes)
    return [sign for sign in found if sign is not None]


def discriminator_saturated(
    last: Sequence[Line], level: int, *, objective: Objective
) -> Sign | None:
    """Whether a discriminator tells the domains apart without fail."""
    accuracy, loss = _accuracy(last, level), _mean(last, "losses", f"discriminator_{level}")
    if accuracy < SATURATED_ACCURACY or loss > SATURATED_LOSS[objective]:
        return None
    return Sign(
        f"discriminator_{level} saturated",
        f"discriminator {level} judges {accuracy:.1%} of cells right, its loss is {loss:.2g}: the "
        f"adversarial loss says little of how to come nearer; lower method.discriminator_rate, or "
        f"raise method.adversarial",
    )


def discriminator_stuck(last: Sequence[Line], level: int, *, objective: Objective) -> Sign | None:
    """Whether a discriminator does no better than an answer that does not look."""
    loss = _mean(last, "losses", f"discriminator_{level}")
    if loss < CHANCE[objective] - UNLEARNED:
        return None
    return Sign(
        f"discriminator_{level} stuck",
        f"the loss of discriminator {level} stays at {loss:.3f}, and {CHANCE[objective]:.3f} is "
        f"chance: it learns nothing, or the domains look alike to it; raise "
        f"method.discriminator_rate, or lower method.adversarial, if the target is not yet mapped "
        f"well",
    )


def adversarial_exploded(last: Sequence[Line], level: int) -> Sign | None:
    """Whether an adversarial loss has left what a balanced game shows."""
    loss = _mean(last, "losses", f"adversarial_{level}")
    if loss < EXPLODED:
        return None
    return Sign(
        f"adversarial_{level} exploded",
        f"the adversarial loss of level {level} is {loss:.3g}, and above {EXPLODED:g} the game is "
        f"lost; lower method.discriminator_rate or optimiser.rate",
    )


def classes_vanished(lines: Sequence[Line], size: int, *, classes: Sequence[str]) -> list[Sign]:
    """The classes that the target's predictions lack, and the source's have or they had before."""
    last = lines[-size:]
    if "share_target" not in last[-1]["figures"]:
        return []
    weights = [name for name in WEIGHTS if f"{name}_1" in last[-1]["losses"]]
    lower = " or ".join(f"method.{name}" for name in weights) or "the weight of the target's losses"
    before = lines[size:-size] if len(lines) >= SETTLING * size else []
    found = []
    for number, name in enumerate(classes):
        left, source = _share(last, "share_target", number), _share(last, "share_source", number)
        earlier = _share(before[-EARLIER * size :], "share_target", number)
        expected = max(source, earlier)
        if expected < EXPECTED_SHARE or left > VANISHED * expected:
            continue
        where = "the source's" if source >= earlier else "them before"
        text = (
            f"class {name} is {left:.2%} of the target's predictions and {expected:.1%} of "
            f"{where}; unless it is as rare there, lower {lower}, or if that is low "
            f"see with rsadapt inspect how far apart the domains lie"
        )
        found.append(Sign(f"{name} vanished", text))
    return found


def segmentation_not_falling(lines: Sequence[Line], size: int, *, classes: int) -> Sign | None:
    """Whether the main level's loss is where it began, and not low, as of trained weights."""
    if len(lines) < SETTLING * size:
        return None
    names = [name for name in lines[-1]["losses"] if name.startswith("segmentation_")]
    if not names:
        return None
    name = max(names)
    first, last = (_mean(part, "losses", name) for part in (lines[:size], lines[-size:]))
    if last < NOT_FALLEN * first or last < math.log(classes) / 2:
        return None
    return Sign(
        "segmentation not falling",
        f"the segmentation loss is {last:.3g} and began at {first:.3g} ({math.log(classes):.3g} is "
        f"chance): raise optimiser.rate if it stays, lower it if it jumps, and see with "
        f"rsadapt inspect whether labels lie on their images",
    )


def _mean(lines: Sequence[Line], group: str, name: str) -> float:
    return fmean(line[group][name] for line in lines)


def _accuracy(lines: Sequence[Line], level: int) -> float:
    """Of both domains alike: what answers the same everywhere has one half."""
    names = [f"accuracy_{domain}_{level}" for domain in ("source", "target")]
    return fmean(_mean(lines, "figures", name) for name in names)


def _share(lines: Sequence[Line], name: str, number: int) -> float:
    return fmean(line["figures"][name][number] for line in lines) if lines else 0.0
