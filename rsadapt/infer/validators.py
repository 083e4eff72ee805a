"""How good a network may be on imagery without labels: figures that only its answers give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rsadapt.errors import ShapeError
from rsadapt.infer.answers import answers_of
from rsadapt.sample import Batch

if TYPE_CHECKING:
    from rsadapt.infer.evaluate import Answers

BETTER = {"entropy": -1, "neighbourhood_density": 1, "information": 1, "agreement": 1}
"""Each validator, and whether more of it (1) or less (-1) should be better."""

DRAWN = 1024
"""Pixels whose answers neighbourhood density compares, each with each: 8 MB of similarities."""

TEMPERATURE = 0.05
"""Of neighbourhood density, as Saito et al. 2021 have it."""

UNIT = 2**24
"""Sums are counted in parts of one, float32's own steps, so that they are exact in any order."""

ROWS = 256
"""Rows of similarities that are there at once."""

_PIXELS, _AGREEING, _ENTROPY, _SHARES = range(4)


class Validators:
    """Answers counted; what several processes count adds up to what one would, digit by digit.

    Args:
        num_classes: of the network.
        samples: how many there are in all; each gives an equal share of the pixels drawn.
        drawn: pixels whose answers are compared with each other, about.

    Attributes:
        sums: int64 [3 + classes]: valid pixels, those whose class stays when the image is mirrored,
            and in parts of `UNIT` their entropies (nats) and the shares of each class.
        drawn: float32 [samples, pixels, classes], the answers of the pixels drawn; 0 where a sample
            is another process's, or has fewer pixels.
    """

    def __init__(self, num_classes: int, samples: int, drawn: int = DRAWN) -> None:
        self.sums = torch.zeros(_SHARES + num_classes, dtype=torch.int64)
        self.drawn = torch.zeros(samples, -(-drawn // max(samples, 1)), num_classes)

    def update(
        self, numbers: Sequence[int], logits: Tensor, mirrored: Tensor, valid: Tensor
    ) -> None:
        """Count the answers to samples.

        Args:
            numbers: of the samples, which decide the pixels drawn of each.
            logits: [N, classes, h, w].
            mirrored: the answers to the same images mirrored left to right, mirrored back.
            valid: bool [N, h, w], the pixels that count.

        Raises:
            ShapeError: where these do not fit together.
        """
        if logits.shape != mirrored.shape or valid.shape != (len(numbers), *logits.shape[2:]):
            raise ShapeError(
                f"expected answers of one shape and their validity, found {tuple(logits.shape)}, "
                f"{tuple(mirrored.shape)} and {tuple(valid.shape)} for {len(numbers)} samples"
            )
        for number, answer, other, usable in zip(numbers, logits, mirrored, valid, strict=True):
            shares = answer.permute(1, 2, 0)[usable].float().softmax(1)
            same = (answer.argmax(0) == other.argmax(0))[usable]
            entropy = torch.special.entr(shares).sum(1)
            self.sums[_PIXELS] += len(shares)
            self.sums[_AGREEING] += int(same.sum())
            self.sums[_ENTROPY] += int(_in_units(entropy).sum())
            self.sums[_SHARES:] += _in_units(shares).sum(0).cpu()
            chosen = _choose(number, len(shares), self.drawn.shape[1])
            self.drawn[number, : len(chosen)] = shares[chosen.to(shares.device)].cpu()

    def merge(self, total: Callable[[Tensor], Tensor]) -> None:
        """Take over what `total` makes of each tensor, such as its sum over all processes."""
        self.sums, self.drawn = total(self.sums), total(self.drawn)

    @property
    def entropy(self) -> float | None:
        """Mean entropy of a pixel's answer over ln(classes), 0..1; None where nothing is valid."""
        return _over(self._mean_entropy, self._most)

    @property
    def information(self) -> float | None:
        """Entropy of the mean answer less the mean entropy, over ln(classes), 0..1.

        Great where each answer is sure and all classes are answered. Source: Shi and Sha 2012,
        "Information-theoretical learning of discriminative clusters for unsupervised domain
        adaptation", equation 5.
        """
        mean, pixels = self._mean_entropy, int(self.sums[_PIXELS])
        if mean is None:
            return None
        shares = self.sums[_SHARES:].double() / (UNIT * pixels)
        return _over(float(-torch.special.xlogy(shares, shares).sum()) - mean, self._most)

    @property
    def agreement(self) -> float | None:
        """Share of pixels that get the same class when the image is mirrored left to right."""
        return _over(float(self.sums[_AGREEING]), float(self.sums[_PIXELS]))

    @property
    def neighbourhood_density(self) -> float | None:
        """Mean entropy (nats) of how a drawn pixel's answer resembles each other one's.

        Great where answers lie in dense clusters. Source: Saito et al. 2021, "Tune it the right
        way: unsupervised validation of domain adaptation via soft neighborhood density", equations
        3 and 4: cosine similarity of softmax answers, a softmax at `TEMPERATURE` over all others.
        """
        answers = self.drawn.flatten(0, 1)
        answers = torch.nn.functional.normalize(answers[answers.sum(1) > 0].double(), dim=1)
        if len(answers) < 2:
            return None
        total = 0.0
        for start in range(0, len(answers), ROWS):
            similar = answers[start : start + ROWS] @ answers.T / TEMPERATURE
            rows = torch.arange(len(similar))
            similar[rows, rows + start] = -torch.inf  # not to itself
            logs = similar.log_softmax(1)
            total -= float((logs.exp() * logs).nan_to_num().sum())
        return total / len(answers)

    def figures(self) -> dict[str, float | None]:
        """Each validator of `BETTER`, and how many "pixels" were looked at."""
        return {name: getattr(self, name) for name in BETTER} | {"pixels": int(self.sums[_PIXELS])}

    @property
    def _most(self) -> float:
        """The greatest entropy there can be, nats."""
        return math.log(len(self.sums) - _SHARES)

    @property
    def _mean_entropy(self) -> float | None:
        return _over(float(self.sums[_ENTROPY]) / UNIT, float(self.sums[_PIXELS]))


def look(
    validators: Validators,
    batches: Iterable[tuple[Sequence[int], Batch]],
    predict: Answers,
    *,
    device: torch.device | str,
) -> None:
    """Let a network answer batches, each as it is and mirrored, and count what it says.

    Args:
        validators: counts.
        batches: the numbers of their samples, and the samples; labels are not looked at.
        predict: images to logits of a size, on `device`.
        device: where the network is.

    Raises:
        ShapeError: where the network answers in another shape.
    """
    classes = validators.drawn.shape[2]
    for numbers, batch in batches:
        height, width = batch.image.shape[-2:]
        images, size = batch.image.to(device), (height, width)
        ask = partial(answers_of, num_classes=classes, size=size)
        logits = ask(images, predict=partial(predict, size=size))
        mirrored = ask(images.flip(-1), predict=partial(predict, size=size)).flip(-1)
        validators.update(numbers, logits, mirrored, batch.valid.to(device))


def _in_units(values: Tensor) -> Tensor:
    return (values.double() * UNIT).round().long()


def _choose(number: int, pixels: int, most: int) -> Tensor:
    """Which of a sample's pixels are drawn: at most so many, the same every time."""
    return torch.randperm(pixels, generator=torch.Generator().manual_seed(number))[:most]


def _over(value: float | None, by: float) -> float | None:
    return None if value is None or not by else value / by
