"""Batch norm by the batches of all processes of a run together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rsadapt.adapt import ranks
from rsadapt.errors import ConfigError


class RankBatchNorm(nn.SyncBatchNorm):
    """PyTorch's, which runs on GPUs alone, and the same on the CPU.

    There each process gives its mean and variance [channels]: equal shares of all, as every process
    of a run has as many images of one size. Mean and variance of all follow from those (Chan et al.
    1979, equation 2.1), in two exchanges, so that no large squares cancel.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Normalise [N, channels, H, W]."""
        if image.device.type != "cpu" or not self.training or ranks.count() == 1:
            return super().forward(image)
        axes = [axis for axis in range(image.ndim) if axis != 1]
        variance, mean = torch.var_mean(image, axes, correction=0)
        middle = _mean(mean)
        spread = _mean(variance + (mean - middle).square())
        self._move(middle.detach(), spread.detach(), image.numel() // len(mean) * ranks.count())
        scale = torch.rsqrt(spread + self.eps)
        shift = -middle * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        shape = [1, -1] + [1] * (image.ndim - 2)
        return image * scale.view(shape) + shift.view(shape)

    @torch.no_grad()
    def _move(self, mean: Tensor, variance: Tensor, number: int) -> None:
        """Move the running statistics as PyTorch does: the variance is the unbiased one."""
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise TypeError("expected running statistics with a momentum")
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        unbiased = variance.to(self.running_var) * number / max(number - 1, 1)
        self.running_var.lerp_(unbiased, self.momentum)


def synchronised(network: nn.Module) -> nn.Module:
    """Let every batch norm of a network, in place, go by the batches of all processes.

    Raises:
        ConfigError: for batch norm of a kind of its own, such as timm's that also bends values.
    """
    for name, child in network.named_children():
        if not isinstance(child, nn.BatchNorm2d):
            synchronised(child)
            continue
        if type(child) is not nn.BatchNorm2d:
            raise ConfigError(
                f"network.batch_norm_sync: the batch norm of this encoder does more than normalise "
                f"({type(child).__name__}); leave it out"
            )
        layer = RankBatchNorm(child.num_features)
        vars(layer).update(vars(child))  # the same parameters, buffers and mode
        setattr(network, name, layer)
    return network


class _Mean(torch.autograd.Function):
    """The mean over processes; each one's loss has its part in the gradient."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:
        return ranks.total(mine.clone()).div_(ranks.count())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return ranks.total(gradients[0].clone()).div_(ranks.count())


def _mean(mine: Tensor) -> Tensor:
    mean: Tensor = _Mean.apply(mine)
    return mean
