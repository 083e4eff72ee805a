"""How precisely is computed: what each setting means to Fabric, and to PyTorch's whole process."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from rsadapt import config
from rsadapt.errors import ConfigError

if TYPE_CHECKING:
    from lightning_fabric.plugins.precision import Precision

HALF: dict[str, torch.dtype] = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""What convolutions are computed in under autocast, where that is not the parameters' own type."""


def fabric_precision(settings: config.Configuration, device_type: str) -> Precision:
    """What Fabric computes with on a type of device, such as "cpu".

    Fabric is handed objects, since by name it would turn "16-mixed" into bfloat16 on the CPU.
    """
    from lightning_fabric.plugins.precision import DoublePrecision, MixedPrecision, Precision

    from rsadapt.adapt.scaling import ScaledHalf

    chosen = settings.device.precision
    if chosen == "64-true":
        return DoublePrecision()
    if chosen == "bf16-mixed":
        return MixedPrecision("bf16-mixed", device_type)
    if chosen == "16-mixed":
        return ScaledHalf(device_type)
    return Precision()


def inference(settings: config.Configuration) -> str:
    """The precision that is evaluated and predicted in: the run's, unless another is asked for."""
    return settings.prediction.precision or settings.device.precision


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Compute within as a precision says, by a network whose parameters have their own type.

    Training does the same through Fabric; batch-norm statistics, losses and up-sampling stay in
    float32.
    """
    dtype = HALF.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def check_precision(precision: str, device_type: str) -> None:
    """Refuse what a type of device cannot compute in.

    Raises:
        ConfigError: naming what it can.
    """
    if device_type == "mps" and precision in ("64-true", "16-mixed"):
        reason = "has no float64" if precision == "64-true" else "scales no gradients everywhere"
        raise ConfigError(
            f"device.precision is {precision}, and MPS {reason}; choose 32-true or bf16-mixed, or "
            f"device.accelerator: cpu"
        )
    if device_type == "cuda" and precision == "bf16-mixed" and not _has_bfloat16():
        raise ConfigError(
            "device.precision is bf16-mixed, and this GPU has no bfloat16; choose 16-mixed"
        )


def warn_of_precision(precision: str, device_type: str) -> None:
    """Warn of what a type of device can hardly compute in."""
    if device_type == "cpu" and precision == "16-mixed":
        warnings.warn(
            "16-mixed on the CPU: PyTorch has no fast float16 convolutions there; choose "
            "bf16-mixed or 32-true",
            stacklevel=3,
        )


def _has_bfloat16() -> bool:
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def set_process(settings: config.Configuration) -> None:
    """Set PyTorch's precision and threads in the whole process; what was set before is undone.

    That is the default type, in which Fabric hands outputs back; TF32, off unless asked for, in
    cuDNN's convolutions too, where PyTorch has it on; whether algorithms must repeat their results;
    and the CPU's threads, where the settings name a number.
    """
    chosen = settings.device
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    torch.set_default_dtype(torch.float64 if chosen.precision == "64-true" else torch.float32)
    _set_tf32(matmul=chosen.precision == "tf32", convolutions=chosen.precision == "tf32")
    if chosen.deterministic:  # cuBLAS reads it when a process first uses the GPU
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _set_deterministic(chosen.deterministic)


def set_for_training(settings: config.Configuration) -> None:
    """As `set_process`; cuDNN also tries which algorithm is fastest, since sizes stay the same."""
    set_process(settings)
    torch.backends.cudnn.benchmark = not settings.device.deterministic


@contextmanager
def process_kept() -> Iterator[None]:
    """Leave all that `set_process` sets as it was, whatever happens within."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    matmul, convolutions = _tf32()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        _set_tf32(matmul=matmul, convolutions=convolutions)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark


def _set_deterministic(wanted: bool) -> None:
    """Ask for algorithms that repeat their results; PyTorch warns where it has none."""
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    torch.backends.cudnn.benchmark = False


def _set_tf32(*, matmul: bool, convolutions: bool) -> None:
    """Switch TF32, by the flags that every PyTorch from 2.6 on has.

    From 2.9 on there are newer ones (`fp32_precision`), which these set too. Set alone, the newer
    make PyTorch raise wherever the older are still read, as Fabric and torch.compile do. Some
    versions warn of the older.
    """
    cudnn: Any = torch.backends.cudnn
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Please use the new API settings")
        torch.set_float32_matmul_precision("high" if matmul else "highest")
        cudnn.allow_tf32 = convolutions
    if hasattr(cudnn, "conv"):
        for kind in (cudnn.conv, cudnn.rnn):
            if (kind.fp32_precision == "tf32") != convolutions:  # by torch.backends.fp32_precision
                kind.fp32_precision = "tf32" if convolutions else "ieee"


def _tf32() -> tuple[bool, bool]:
    """Whether matrix products and cuDNN's convolutions may use TF32.

    The older flags cannot be read where somebody set the newer ones.
    """
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        return matmul.fp32_precision == "tf32", cudnn.conv.fp32_precision == "tf32"
    return matmul.allow_tf32, cudnn.allow_tf32
