"""Colours of any bands changed, and images blurred, as tensors; invalid pixels stay 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def jittered(
    image: Tensor, valid: Tensor, *, strength: float, chance: float, random: torch.Generator
) -> Tensor:
    """Change contrast and brightness of each band by itself, drawn anew for each image.

    A band's distances from its mean are multiplied by 1 / (1 + strength) to 1 + strength, and up to
    `strength` of its standard deviations is added or taken away. Both are of the image's valid
    pixels, so that it is the same whatever the images are normalised by.

    Args:
        image: float [N, bands, H, W].
        valid: bool [N, H, W].
        strength: at least 0.
        chance: of an image to be changed at all.
        random: on the CPU.
    """
    number, bands = image.shape[:2]
    drawn = 2 * torch.rand((2, number, bands, 1, 1), generator=random) - 1
    changed = torch.rand((number, 1, 1, 1), generator=random) < chance
    factors, shifts = ((1 + strength) ** drawn[0]).to(image), (strength * drawn[1]).to(image)
    mean, deviation = _moments(image, valid)
    out = mean + factors * (image - mean) + shifts * deviation
    return torch.where(changed.to(image.device), out, image) * valid.unsqueeze(1)


def blurred(
    image: Tensor, valid: Tensor, *, most: float, chance: float, random: torch.Generator
) -> Tensor:
    """Blur by a Gaussian, cut off at three times the greatest deviation, among valid pixels alone.

    Args:
        image: float [N, bands, H, W].
        valid: bool [N, H, W].
        most: greatest standard deviation in pixels; each image's is drawn evenly from 0.
        chance: of an image to be blurred at all.
        random: on the CPU.
    """
    number, bands = image.shape[:2]
    deviation = most * torch.rand(number, generator=random)
    deviation = deviation * (torch.rand(number, generator=random) < chance)
    radius = math.ceil(3 * most)
    offsets = torch.arange(-radius, radius + 1) / deviation.clamp(min=1e-3).unsqueeze(1)
    taps = (-offsets.square() / 2).exp().to(image)  # [N, 2 radius + 1], 1 in the middle
    weight = valid.unsqueeze(1).to(image)
    stacked = torch.cat([image * weight, weight], 1)
    for axis in (2, 3):
        stacked = _convolved(stacked, taps, axis, radius)
    return torch.where(valid.unsqueeze(1), stacked[:, :bands] / stacked[:, bands:], 0)


def _moments(image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [N, bands, 1, 1] of valid pixels; 0 where there are none."""
    weight = valid.unsqueeze(1).to(image)
    number = weight.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (image * weight).sum((2, 3), keepdim=True) / number
    spread = ((image - mean) * weight).square().sum((2, 3), keepdim=True) / number
    return mean, spread.sqrt()


def _convolved(maps: Tensor, taps: Tensor, axis: int, radius: int) -> Tensor:
    """Convolve maps [N, channels, H, W] along an axis, each image by taps of its own."""
    number, channels, height, width = maps.shape
    shape = [number * channels, 1, 1, 1]
    shape[axis] = 2 * radius + 1
    kernels = taps.repeat_interleave(channels, 0).view(shape)
    padding = [radius if each == axis else 0 for each in (2, 3)]
    flat = maps.reshape(1, number * channels, height, width)
    out = functional.conv2d(flat, kernels, padding=padding, groups=number * channels)
    return out.view_as(maps)
