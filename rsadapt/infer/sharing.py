"""Which other processes predict: workers of a cluster, workers started here, or one a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import torch

from rsadapt.errors import ConfigError

if TYPE_CHECKING:
    from rsadapt.infer.work import Pool


@dataclass(frozen=True)
class Sharing:
    """The processes that predict; one way at most, and this process alone where none is given.

    Attributes:
        cluster: address of a dask scheduler, whose workers do.
        workers: dask workers to start on this machine.
        devices: processes to start on this machine, one a GPU where the network is on GPUs.
    """

    cluster: str | None = None
    workers: int | None = None
    devices: int | None = None

    def __post_init__(self) -> None:
        given = [value for value in astuple(self) if value is not None]
        if len(given) > 1:
            raise ConfigError(
                "cluster, workers and devices are three ways to predict by other processes; give "
                "one of them"
            )
        if any(isinstance(value, int) and value < 1 for value in given):
            raise ConfigError(f"expected at least one process, found {given[0]}")

    @property
    def local(self) -> bool:
        """Whether this process predicts."""
        return self == Sharing()

    @contextmanager
    def pool(self, device: torch.device | str) -> Iterator[Pool | None]:
        """The processes; None where this one predicts.

        Args:
            device: where this process has the network.

        Raises:
            ConfigError: for more devices than there are, or without dask.distributed.
            WorkerError: for processes that cannot be reached or are lost.
        """
        from rsadapt.infer.cluster import connected, started
        from rsadapt.infer.devices import several

        if self.cluster is not None:
            with connected(self.cluster) as pool:
                yield pool
        elif self.workers is not None:
            with started(self.workers) as pool:
                yield pool
        elif self.devices is not None:
            with several(self.devices, device) as pool:
                yield pool
        else:
            yield None
