"""The processes that train one run together: what they agree on, and how a lost one is noticed.

In a run of one process every function here is the identity, and costs nothing.

Gradients are not exchanged inside `backward`, as `DistributedDataParallel` does it: an adversarial
step calls it several times, over networks that are frozen for a while and heads that get no
gradient, and only the last call would have to exchange. Each process gathers its own gradients over
all of a step, and `average` brings them together once, right before the optimisers use them. That
waits where DDP would exchange beside the computation; in return a step is free to be what it is.

What only the host needs (whether to stop, who has a gradient, what the first process found) is
exchanged in the memory of the CPU, so that no GPU is waited for.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from rsadapt.errors import ConfigError, LostProcessError, RsadaptError
from rsadapt.processes import started

if TYPE_CHECKING:
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

T = TypeVar("T")

PATIENCE = timedelta(hours=6)
"""How long a process waits for another: as long as one may score, or take statistics, alone. One
that is killed is noticed at once, as its connections close; only a machine that vanishes is not."""

_counted: MutableMapping[Tensor, dict[tuple[int, ...], Tensor]] = WeakTensorKeyDictionary()
"""What all processes counted in the masks of the batches at hand, by mask and shape."""


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is."""
    return dist.get_rank() if dist.is_initialized() else 0


def first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


# Coming together


def environment() -> ClusterEnvironment:
    """What started the processes, as Fabric knows it."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    return SLURMEnvironment() if started().launcher == "SLURM" else TorchElasticEnvironment()


def strategy() -> DDPStrategy:
    """How Fabric sees the processes: it places networks, and wraps none."""
    from lightning_fabric.strategies.ddp import DDPStrategy

    class Unwrapped(DDPStrategy):
        def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
            return module

    return Unwrapped(cluster_environment=environment())


def join() -> None:
    """Meet the processes that torchrun or SLURM started beside this one, if any, once.

    Raises:
        ConfigError: where they cannot be met.
    """
    place = started()
    if place.count == 1 or dist.is_initialized():
        return
    found = environment()
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = found.main_address, str(found.main_port)
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            timeout=PATIENCE,
            rank=place.rank,
            world_size=place.count,
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"expected {place.count} processes to meet at {found.main_address}, port "
            f"{found.main_port}, as {place.launcher} says, and they did not "
            f"({str(error).splitlines()[0]}); start all of them with one command"
        ) from error


@contextmanager
def together() -> Iterator[None]:
    """Join the other processes; what goes wrong, in one or in all, is told by one alone.

    The others leave quietly with the same exit code. Warnings are those of the first.
    """
    join()
    if count() == 1:
        yield
        return
    with warnings.catch_warnings():
        if not first():
            warnings.simplefilter("ignore")
        try:
            yield
        except (RsadaptError, OSError, KeyboardInterrupt) as error:
            if _speaks():
                raise
            raise SystemExit(getattr(error, "exit_code", 1)) from None


def _speaks() -> bool:
    """Whether no other process has told of a failure yet, as the store counts that all share.

    Where it is gone with the first process, the second speaks: twice is better than never.
    """
    try:
        told = dist.distributed_c10d._get_default_store().add("rsadapt told", 1)
    except RuntimeError:
        return rank() == 1
    return bool(told == 1)


@contextmanager
def _heard() -> Iterator[None]:
    """Say in words what an exchange means that fails."""
    try:
        yield
    except RuntimeError as error:
        hours = PATIENCE.total_seconds() / 3600
        silent = "timed out" in str(error).lower()
        what = f"did not answer for {hours:g} hours" if silent else "ended"
        raise LostProcessError(f"another process of this run {what}") from error


# What the host needs


def any_of(mine: bool) -> bool:
    """Whether it is so in any process; all wait for one another."""
    if count() == 1:
        return mine
    return bool(_greatest(torch.tensor([mine], dtype=torch.uint8)))


def wait() -> None:
    """Go on when all have come here."""
    any_of(False)


def first_does(work: Callable[[], T]) -> T:
    """What `work` returns in the first process; the others wait for it and take it over.

    Where it fails there, the first tells of it and leaves, and the others with it.

    Raises:
        LostProcessError: where the first process ended.
    """
    if count() == 1:
        return work()
    found: list[Any] = [work() if first() else None]
    with _heard():
        dist.broadcast_object_list(found, 0)
    result: T = found[0]
    return result


def _greatest(values: Tensor) -> Tensor:
    with _heard():
        dist.all_reduce(values, dist.ReduceOp.MAX)
    return values


# What devices compute


def total(mine: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    if count() > 1:
        with _heard():
            dist.all_reduce(mine)
    return mine


def mean_over_ranks(
    mine: Tensor, number: Tensor, *, of: Tensor, at: tuple[int, ...] = ()
) -> Tensor:
    """What to differentiate and to log in place of a mean over what all processes have.

    That is the process's own sum over the number of all, times the number of processes: its mean
    over the processes is the mean, and so are its gradients' (see `average`). 0 where there are
    none.

    Args:
        mine: this process's sum, a scalar.
        number: what a mean of its own would divide it by: how many there are, or their weight.
        of: the mask that they were counted in. What is counted in one mask at one size is one
            number, and is exchanged once, however many losses ask for it.
        at: the size that the mask was brought to, where that is another.
    """
    if count() > 1:
        mine, number = mine * count(), _everyones(number, of, at)
    least = torch.finfo(number.dtype).tiny if number.is_floating_point() else 1
    return mine / number.clamp(min=least)


def _everyones(number: Tensor, of: Tensor, at: tuple[int, ...]) -> Tensor:
    known = _counted.get(of)
    if known is None:
        known = _counted[of] = {}
    if at not in known:
        short = number.dtype in (torch.float16, torch.bfloat16)
        known[at] = total(number.detach().float() if short else number.detach().clone())
    return known[at]


def average(parameters: Iterable[Tensor], others: Iterable[Tensor] = ()) -> None:
    """Set gradients, and other tensors, to their mean over all processes: one exchange a dtype.

    For that they are copied together, which takes as much memory as they do. A parameter without
    gradient in every process stays without; one that has it in some counts as zero in the others.

    Args:
        parameters: whose gradients; the same in every process, in one order.
        others: such as running statistics.
    """
    if count() == 1:
        return
    parameters = list(parameters)
    having = _greatest(torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8))
    tensors = [tensor for tensor in others if tensor.is_floating_point()]
    for parameter, has in zip(parameters, having.tolist(), strict=True):
        if has:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            tensors.append(parameter.grad)
    for same in _alike(tensors):
        flat = total(torch.cat([tensor.reshape(-1) for tensor in same])).div_(count())
        _spread(flat, same)


def share(tensors: Iterable[Tensor]) -> None:
    """Give every process the first one's values."""
    if count() == 1:
        return
    for same in _alike(tensors):
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in same])
        with _heard():
            dist.broadcast(flat, 0)
        _spread(flat, same)


def mean(mine: Tensor) -> Tensor:
    """The mean over all processes, element by element."""
    return mine if count() == 1 else total(mine.detach().clone()).div_(count())


def least(mine: Tensor) -> Tensor:
    """The least over all processes, element by element."""
    if count() == 1:
        return mine
    found = mine.clone()
    with _heard():
        dist.all_reduce(found, dist.ReduceOp.MIN)
    return found


def _alike(tensors: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """Tensors of one dtype on one device together."""
    groups: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    return groups.values()


@torch.no_grad()
def _spread(flat: Tensor, tensors: list[Tensor]) -> None:
    """Put what was strung together back to where it came from."""
    pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, piece in zip(tensors, pieces, strict=True):
        tensor.copy_(piece.view_as(tensor))


# What is lost with a process


@dataclass
class Reached:
    """How far a training came.

    Attributes:
        step: the step at hand, counted from 1.
        saved: the steps done when the state was saved last, 0 where it never was.
    """

    step: int
    saved: int


@contextmanager
def loss_told(reached: Reached) -> Iterator[Reached]:
    """Say where training was when a process was lost, and what is left of it."""
    try:
        yield reached
    except LostProcessError as lost:
        left = (
            f"the state of step {reached.saved} is saved" if reached.saved else "nothing is saved"
        )
        raise LostProcessError(f"{lost}, in step {reached.step}; {left}") from lost
