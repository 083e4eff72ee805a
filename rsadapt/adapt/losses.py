"""Losses and maps of predictions; invalid and unlabelled pixels count nowhere.

A network answers in cells; losses and discriminators want pixels, 64 times as many. Cells stay
cells until pixels are needed, which are made of few samples at once, or kept once and no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from rsadapt.adapt.ranks import mean_over_ranks

IGNORE_INDEX = 255

PIECE = 2**23
"""Values of [samples, classes, H, W] that are made at once: 32 MiB in float32."""


def segmentation_loss(
    logits: Tensor,
    label: Tensor,
    upsample: Callable[[Tensor], Tensor] | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy over labelled pixels, of all processes; 0 where none is labelled.

    Args:
        logits: float [N, classes, H, W], or [N, classes, h, w] where `upsample` is given.
        label: int64 [N, H, W], `IGNORE_INDEX` where unlabelled or invalid.
        upsample: brings logits of any number of samples to H x W.
        weight: float [N, H, W] that each pixel's term is multiplied by; the mean stays one over all
            labelled pixels, so that little weight makes a small loss.
    """

    def total(part: Tensor, samples: slice) -> Tensor:
        pixels = part if upsample is None else upsample(part)
        reduction = "sum" if weight is None else "none"
        terms = functional.cross_entropy(
            pixels, label[samples], ignore_index=IGNORE_INDEX, reduction=reduction
        )
        return terms if weight is None else (weight[samples] * terms).sum()

    values = logits.shape[1] * label[0].numel()
    summed = sum_over_samples(logits, total, at_once=max(1, PIECE // values))
    return mean_over_ranks(summed, (label != IGNORE_INDEX).sum(), of=label)


def entropy_loss(
    logits: Tensor,
    valid: Tensor,
    upsample: Callable[[Tensor], Tensor] | None = None,
    penalty: Callable[[Tensor], Tensor] = lambda entropy: entropy,
) -> Tensor:
    """Mean penalty on the entropy of predictions over valid pixels of all processes; 0 of none.

    Args:
        logits: float [N, classes, H, W], or [N, classes, h, w] where `upsample` is given.
        valid: bool [N, H, W].
        upsample: brings logits of any number of samples to H x W.
        penalty: on entropies [n, H, W], each 0..1, see `relative_entropy`.
    """

    def total(part: Tensor, samples: slice) -> Tensor:
        pixels = part if upsample is None else upsample(part)
        return (penalty(relative_entropy(pixels)) * valid[samples]).sum()

    values = logits.shape[1] * valid[0].numel()
    summed = sum_over_samples(logits, total, at_once=max(1, PIECE // values))
    return mean_over_ranks(summed, valid.sum(), of=valid)


def relative_entropy(logits: Tensor) -> Tensor:
    """Entropy of each prediction, relative to that of knowing nothing, which is ln classes.

    Args:
        logits: float [N, classes, H, W], of two classes or more.

    Returns:
        [N, H, W], 0..1.
    """
    information = logits.log_softmax(1)
    return -(information.exp() * information).sum(1) / math.log(logits.shape[1])


def sum_over_samples(
    cells: Tensor, term: Callable[[Tensor, slice], Tensor], *, at_once: int
) -> Tensor:
    """The sum of a term over samples, of which few are looked at at once.

    The gradient is taken together with the value, so that nothing that the term makes of a sample
    outlives it; it can be differentiated once.

    Args:
        cells: [N, ...], what is differentiated.
        term: takes some samples of `cells` and which ones they are, and gives their sum.
        at_once: how many samples.
    """
    summed: Tensor = _SumOverSamples.apply(cells, term, at_once)
    return summed


class _SumOverSamples(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, cells: Tensor, term: Callable[[Tensor, slice], Tensor], at_once: int
    ) -> Tensor:
        total = cells.new_zeros(())
        slopes: list[Tensor] = []
        for first in range(0, len(cells), at_once):
            samples = slice(first, first + at_once)
            part = cells[samples].detach().requires_grad_(ctx.needs_input_grad[0])
            with torch.set_grad_enabled(part.requires_grad):
                value = term(part, samples)
            if part.requires_grad:
                slopes += torch.autograd.grad(value, part)
            total += value.detach()
        if slopes:
            ctx.save_for_backward(torch.cat(slopes))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return slope * slopes, None, None


def probability_maps(logits: Tensor, valid: Tensor) -> Tensor:
    """Class probabilities [N, classes, H, W], 0 at invalid pixels, for a discriminator to judge.

    They can be differentiated once.

    Args:
        logits: float [N, classes, H, W].
        valid: bool [N, H, W].
    """
    maps: Tensor = _ProbabilityMaps.apply(logits, valid)
    return maps


class _ProbabilityMaps(torch.autograd.Function):
    """The masked probabilities are all that the slope needs: one full-size tensor, not two."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, valid: Tensor) -> Tensor:
        maps = logits.softmax(1).mul_(valid.unsqueeze(1))
        ctx.save_for_backward(maps)
        return maps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        (maps,) = ctx.saved_tensors
        slope = slope * maps
        return slope.addcmul_(maps, slope.sum(1, keepdim=True), value=-1), None


def self_information_maps(logits: Tensor, valid: Tensor) -> Tensor:
    """Weighted self-information -p ln p / ln classes of each class, 0 at invalid pixels.

    That is the map I of Vu et al. 2019 (ADVENT, section 3.2), whose sum over classes is the
    relative entropy. The published code adds 1e-30 to p, that its logarithm be finite; here a log
    softmax is so of itself. It can be differentiated once.

    Args:
        logits: float [N, classes, H, W], of two classes or more.
        valid: bool [N, H, W].
    """
    maps: Tensor = _SelfInformationMaps.apply(logits, valid)
    return maps


class _SelfInformationMaps(torch.autograd.Function):
    """The log-probabilities are all that the slope needs: one full-size tensor, not three."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, valid: Tensor) -> Tensor:
        information = logits.log_softmax(1)
        ctx.save_for_backward(information, valid)
        maps = information.exp().mul_(information)
        return maps.mul_(valid.unsqueeze(1)).mul_(-1 / math.log(logits.shape[1]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        information, valid = ctx.saved_tensors
        scale = -1 / math.log(information.shape[1])
        maps = information.exp()
        slope = (information + 1).mul_(maps).mul_(slope).mul_(valid.unsqueeze(1)).mul_(scale)
        return slope.addcmul_(maps, slope.sum(1, keepdim=True), value=-1), None
