"""Appearance adaptation of FCAN: an image is changed until a frozen network sees another style."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam

Layers = Callable[[Tensor], list[Tensor]]
"""Images [N, bands, H, W] to the features [N, channels, h, w] of layers, the deepest last."""


SHIFT, STEP = 8, 27
"""Pixels a side of the cells that images are rolled within (encoders stride 4 or 8), and how many
of a cell's 64 places lie from one step to the next: no divisor of 64, so that all take turns."""


@dataclass(frozen=True)
class Appearance:
    """How images take on a style (Zhang et al. 2018, "Fully convolutional adaptation networks").

    Each layer's Gram matrix comes near the target's, while the deepest layer's features stay near
    what they were; an image is found by gradient descent (Adam) that starts from itself. Both
    losses are taken relative to what they compare with, so that weights mean the same whatever the
    network: that is a choice of this project, where the paper weights layers by hand.

    Attributes:
        style: weight of the mean over layers of the relative distance of Gram matrices.
        content: weight of the relative distance of the deepest features.
        iterations: steps of the descent; 0 leaves images as they are.
        rate: of Adam, in standard deviations of a band.
    """

    style: float = 1.0
    content: float = 1.0
    iterations: int = 100
    rate: float = 0.02

    def repaint(self, images: Tensor, layers: Layers, wanted: Sequence[Tensor]) -> Tensor:
        """Images with the same content in another style, each by itself.

        Args:
            images: float [N, bands, H, W], standardised; 0 in every band where invalid.
            layers: the frozen network's.
            wanted: the Gram matrix [channels, channels] of each layer.

        Returns:
            Of the same shape, 0 where invalid.
        """
        with torch.inference_mode(False), torch.enable_grad():
            start = images.clone()
            seen = seen_pixels(start)
            found = start.clone().requires_grad_()
            optimiser = Adam([found], lr=self.rate)
            for number in range(self.iterations):
                moved, there, before = (moved_by(each, number) for each in (found, seen, start))
                with torch.no_grad():
                    content = layers(before)[-1]
                features = layers(moved * there)
                loss = self.style * style_loss(features, there, wanted)
                loss = loss + self.content * content_loss(features[-1], content, there)
                (found.grad,) = torch.autograd.grad(loss, [found])
                optimiser.step()
            return found.detach() * seen


def moved_by(images: Tensor, number: int) -> Tensor:
    """Images rolled by other pixels at each step of a descent, all of a cell in `SHIFT` ** 2 steps.

    Layers that stride see some pixels of a cell more than others, and would print their lattice.
    """
    rows, cols = divmod(number * STEP % SHIFT**2, SHIFT)
    return images.roll((rows, cols), (-2, -1))


def seen_pixels(images: Tensor) -> Tensor:
    """1 where standardised images [N, bands, H, W] count, 0 where every band is 0; [N, 1, H, W]."""
    return (images != 0).any(1, keepdim=True).to(images.dtype)


def gram_matrices(features: Tensor, seen: Tensor) -> Tensor:
    """The mean over cells of the products of every two channels (Gatys et al. 2016, equation 3).

    Args:
        features: float [N, channels, h, w].
        seen: [N, 1, H, W], 1 where a pixel counts; a cell counts by the share of its pixels.

    Returns:
        [N, channels, channels]; 0 for an image of which nothing counts.
    """
    weight = cell_weights(features, seen)
    total = weight.sum((1, 2, 3)).clamp(min=torch.finfo(weight.dtype).tiny)
    products = torch.einsum("nihw,njhw->nij", features * weight, features)
    return products / total[:, None, None]


def cell_weights(features: Tensor, seen: Tensor) -> Tensor:
    """The share of pixels that count under each cell; [N, 1, h, w]."""
    rows, cols = features.shape[-2:]
    return functional.adaptive_avg_pool2d(seen.to(features.dtype), (rows, cols))


def style_loss(features: Sequence[Tensor], seen: Tensor, wanted: Sequence[Tensor]) -> Tensor:
    """The squared distance of Gram matrices over that of the wanted from 0; the layers' mean.

    Summed over images, so that each one's gradient is its own.
    """
    distances = []
    for level, gram in zip(features, wanted, strict=True):
        least = torch.finfo(gram.dtype).tiny
        apart = (gram_matrices(level, seen) - gram).square().sum((1, 2))
        distances.append((apart / gram.square().sum().clamp(min=least)).sum())
    return torch.stack(distances).mean()


def content_loss(features: Tensor, wanted: Tensor, seen: Tensor) -> Tensor:
    """The squared distance of features over that of the wanted from 0, summed over images."""
    weight = cell_weights(features, seen)
    least = torch.finfo(features.dtype).tiny
    apart = ((features - wanted).square() * weight).sum((1, 2, 3))
    return (apart / (wanted.square() * weight).sum((1, 2, 3)).clamp(min=least)).sum()


def mean_gram_matrices(images: Iterable[Tensor], layers: Layers) -> list[Tensor]:
    """The Gram matrix of each layer over all that counts of some images [N, bands, H, W].

    Raises:
        ValueError: for no images.
    """
    sums: list[Tensor] = []
    total = 0.0
    with torch.no_grad():
        for batch in images:
            seen = seen_pixels(batch)
            share = seen.mean((1, 2, 3))
            found = [
                torch.einsum("n,nij->ij", share, gram_matrices(level, seen))
                for level in layers(batch)
            ]
            sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
            total += float(share.sum())
    if not total:
        raise ValueError("a style is taken of at least one image with a valid pixel")
    return [gram / total for gram in sums]
