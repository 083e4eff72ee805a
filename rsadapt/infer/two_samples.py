"""How well a small network tells two sets of tiles apart that it was not shown."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

LEAST = 4
"""Tiles of each set: two to learn from, two to be tested on."""

WIDTH = 16
"""Channels of the first of three layers; each halves, and the next has twice as many."""

PASSES, BATCH, RATE = 30, 16, 2e-3
"""How it learns, by Adam."""


def discriminability(ours: Tensor, theirs: Tensor, *, seed: int = 0) -> float | None:
    """The classifier two-sample test (Lopez-Paz and Oquab 2017): 0.5 if alike, 1 if ever apart.

    The network learns from the first half of each set and is tested on the second: tiles in the
    order of rows thereby come from other parts of a scene.

    Args:
        ours: float [N, bands, height, width], standardised.
        theirs: [M, bands, height, width]; of the longer set only as many count.
        seed: of weights and order; the caller's random numbers stay as they are.

    Returns:
        The share of test tiles that are judged right, both sets counting alike; None for fewer
        than 4 tiles of a set.
    """
    number = min(len(ours), len(theirs))
    if number < LEAST:
        return None
    both = torch.stack([_spread(ours, number), _spread(theirs, number)])
    half = number // 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _learned(*_labelled(both[:, :half]))
    images, wanted = _labelled(both[:, half:])
    with torch.no_grad():
        right = (network(images).squeeze(1) > 0) == (wanted > 0)
    return float(right.float().mean())


def _spread(tiles: Tensor, number: int) -> Tensor:
    """So many tiles, evenly from first to last."""
    return tiles[torch.arange(number) * len(tiles) // number]


def _labelled(both: Tensor) -> tuple[Tensor, Tensor]:
    """Tiles [2, N, ...] in a row, 0 for the first set and 1 for the second."""
    labels = torch.arange(2.0, dtype=both.dtype).repeat_interleave(both.shape[1])
    return both.flatten(0, 1), labels


def _learned(images: Tensor, wanted: Tensor) -> nn.Module:
    """A network that has learned to tell images by their labels."""
    channels = [images.shape[1], WIDTH, 2 * WIDTH, 4 * WIDTH]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    network = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 1)
    ).to(images.dtype)
    optimiser = Adam(network.parameters(), lr=RATE)
    for _ in range(PASSES):
        for places in torch.split(torch.randperm(len(images)), BATCH):
            optimiser.zero_grad()
            answers = network(images[places]).squeeze(1)
            loss = functional.binary_cross_entropy_with_logits(answers, wanted[places])
            torch.autograd.backward(loss)
            optimiser.step()
    return network
