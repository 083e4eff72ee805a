"""How much memory a training step will take, found without taking it."""

from __future__ import annotations

import warnings
import weakref
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rsadapt import config
from rsadapt.adapt.teacher import Teacher
from rsadapt.adapt.trainer import Learner
from rsadapt.build.learning import learner
from rsadapt.build.precision import process_kept
from rsadapt.sample import Batch

if TYPE_CHECKING:
    from torch._subclasses.fake_tensor import FakeTensorMode


@dataclass(frozen=True)
class MemoryEstimate:
    """The peak memory of a training step of one process, in bytes.

    Attributes:
        parameters: of all networks, a teacher too, with their batch-norm statistics.
        gradients: of all that a step trains.
        optimisers: what they remember of it.
        activations: the rest of the peak: both batches, what is kept to take gradients with, logits
            and maps at image size.
        total: their sum. It leaves out what PyTorch itself takes, the buffers that convolutions are
            computed in, and what an allocator holds back.
    """

    parameters: int
    gradients: int
    optimisers: int
    activations: int
    total: int


def estimate(settings: config.Configuration, bands: int) -> MemoryEstimate:
    """Estimate what a training step of a configuration takes.

    The method's own step runs on tensors that have a size and no content, whatever the method is;
    only the networks are really made. It runs as on the CPU: GPUs keep the same for the gradients.

    Args:
        settings: resolved configuration.
        bands: of an image.

    Raises:
        ConfigError: for what cannot be built.
    """
    with process_kept(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are about computing here, which does not happen
        return _of_step(learner(_measurable(settings), bands), settings, bands)


def _of_step(learns: Learner, settings: config.Configuration, bands: int) -> MemoryEstimate:
    from torch._subclasses.fake_tensor import FakeTensorMode  # slow to import

    learns.set_up()
    teachers = [kept.network for kept in learns.parts.memory.values() if isinstance(kept, Teacher)]
    networks = [learns.parts.network, *learns.parts.others.values(), *teachers]
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, Living() as living:
        for network in networks:
            _empty(network, mode)
        for _ in range(min(2, settings.training.accumulate)):  # a second pair finds gradients there
            take_step(learns, settings, bands)
    parameters = [p for network in networks for p in network.parameters()]
    buffers = [b for network in networks for b in network.buffers()]
    kept = sum(tensor.nbytes for tensor in (*parameters, *buffers))
    gradients = sum(p.nbytes for p in parameters if p.grad is not None)
    factors = {name: _remembered(each) for name, each in learns.optimisers.items()}
    optimisers = 0
    for name, network in {"network": learns.parts.network, **learns.parts.others}.items():
        trained = sum(p.nbytes for p in network.parameters() if p.grad is not None)
        optimisers += round(factors[name] * trained)
    activations = max(0, living.peak - kept - gradients)
    return MemoryEstimate(
        kept, gradients, optimisers, activations, kept + gradients + optimisers + activations
    )


def take_step(learns: Learner, settings: config.Configuration, bands: int) -> None:
    """Take the gradients of a pair of batches that have their sizes and any content."""
    learns.parts.done = learns.parts.steps - 1  # no method is in its first steps any more
    source, target = (batch(settings, bands, domain) for domain in ("source", "target"))
    learns.parts.train()
    learns.method.step(
        learns.parts,
        source,
        target if learns.method.uses_target else None,
        learns.fabric.backward,
    )


class Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, while it is entered, the bytes of tensors that PyTorch makes and has not freed.

    Attributes:
        now: bytes alive.
        peak: the most there were.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Count what an operation gives."""
        given = func(*args, **(kwargs or {}))
        for value in tree_leaves(given):
            if isinstance(value, Tensor):
                self._count(value)
        return given

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:  # a view, or changed in place
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def _measurable(settings: config.Configuration) -> config.Configuration:
    """The same, to be built fast and on any machine."""
    device = settings.device.model_copy(update={"accelerator": "cpu", "compile": False})
    network = settings.network.model_copy(update={"pretrained": False})
    return settings.model_copy(update={"device": device, "network": network})


def _empty(network: nn.Module, mode: FakeTensorMode) -> None:
    """Replace all that a network holds by tensors without content."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            empty = nn.Parameter(mode.from_tensor(parameter.data), parameter.requires_grad)
            setattr(module, name, empty)
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, mode.from_tensor(buffer))


def batch(settings: config.Configuration, bands: int, domain: str) -> Batch:
    """A batch of the size that training has, of plain values; the target's has no labels."""
    chosen = settings.source if domain == "source" else settings.target
    height = width = settings.training.tile
    if isinstance(chosen, config.FolderSettings):
        height, width = chosen.size.height, chosen.size.width
    shape = (settings.training.batch_size, height, width)
    return Batch(
        torch.zeros(shape[0], bands, height, width, dtype=torch.float32),
        torch.ones(shape, dtype=torch.bool),
        torch.zeros(shape, dtype=torch.int64) if domain == "source" else None,
    )


def _remembered(optimiser: Optimizer) -> float:
    """How much an optimiser remembers of a parameter, relative to the parameter itself.

    It is asked by letting it step on a small one in place of its own, which spoils it.
    """
    inner: Optimizer = getattr(optimiser, "optimizer", optimiser)
    small = nn.Parameter(torch.zeros(64, dtype=inner.param_groups[0]["params"][0].dtype))
    small.grad = torch.zeros_like(small)
    inner.state = defaultdict(dict)
    inner.param_groups = [{**inner.param_groups[0], "params": [small]}]
    inner.step()
    tensors = [value for value in inner.state[small].values() if isinstance(value, Tensor)]
    return sum(value.nbytes for value in tensors if value.shape == small.shape) / small.nbytes
