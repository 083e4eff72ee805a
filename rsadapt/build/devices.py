"""Which device computes: that of the settings, or for a trained network what there is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch

from rsadapt import config
from rsadapt.build.precision import check_precision
from rsadapt.errors import ConfigError


@dataclass(frozen=True)
class Use:
    """Where a trained network is used, which need not be where it was trained.

    Attributes:
        accelerator: "auto", "cpu", "cuda" or "mps"; None for its run's, where the machine has it.
        threads: of the CPU; None for as many as its run had.
    """

    accelerator: str | None = None
    threads: int | None = None

    def settle(self, settings: config.Configuration) -> config.Configuration:
        """The settings of a run as its network is used; warns where its device is not there.

        Raises:
            ConfigError: for less than a thread.
        """
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads: expected at least 1, found {self.threads}")
        trained = settings.device
        accelerator = self.accelerator or trained.accelerator
        if self.accelerator is None and accelerator not in ("auto", *_there()):
            warnings.warn(
                f"was trained on {accelerator}, which this machine lacks; uses {_there()[0]}",
                stacklevel=3,
            )
            accelerator = "auto"
        threads = self.threads or trained.threads
        used = trained.model_copy(update={"accelerator": accelerator, "threads": threads})
        return settings.model_copy(update={"device": used})


def device(settings: config.Configuration) -> torch.device:
    """Where a trained network is used.

    Raises:
        ConfigError: see `device_type`.
    """
    return torch.device(device_type(settings))


def device_type(settings: config.Configuration) -> str:
    """The type of device that settings choose, such as "cpu".

    Raises:
        ConfigError: for an accelerator that this machine has not, or that cannot compute as
            precisely as the settings say.
    """
    wanted, there = settings.device.accelerator, _there()
    if wanted != "auto" and wanted not in there:
        raise ConfigError(
            f"device.accelerator is {wanted}, and this machine has {' and '.join(there)}; "
            f"choose one of those, or auto"
        )
    chosen = there[0] if wanted == "auto" else wanted
    check_precision(settings.device.precision, chosen)
    return chosen


def _there() -> list[str]:
    """The accelerators of this machine, the one to prefer first."""
    found = (
        ("cuda", torch.cuda.is_available()),
        ("mps", torch.backends.mps.is_available()),
        ("cpu", True),
    )
    return [name for name, there in found if there]
