"""Panels as tasks of dask.distributed, on a cluster or on workers started here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rsadapt.errors import ConfigError, WorkerError

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 2
"""How often a panel is tried again that failed; those of a lost worker are so anyway, by default
until it was the third (distributed.scheduler.allowed-failures)."""

PATIENCE = 30
"""Seconds in which a scheduler must answer."""


@contextmanager
def connected(address: str) -> Iterator[Executor]:
    """The workers of a scheduler, as what gives them work.

    Args:
        address: of the scheduler, such as tcp://10.0.0.5:8786.

    Raises:
        ConfigError: where dask.distributed is not installed, or for what is no address.
        WorkerError: where no scheduler answers, it is lost, or a panel cost too many workers.
    """
    _check_installed()
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise WorkerError(
            f"{address}: expected a dask scheduler to answer within {PATIENCE} s, found none "
            f"({error or type(error).__name__}); start one (dask scheduler), and name its address"
        ) from error
    with client:
        if not client.nthreads():
            warnings.warn(
                f"the scheduler at {address} has no workers yet; waiting for the first "
                f"(dask worker {address})",
                stacklevel=3,
            )
        with _explained(address):
            yield _executor(client)


@contextmanager
def started(workers: int) -> Iterator[Executor]:
    """So many workers on this machine, one thread each, as what gives them work.

    Raises:
        ConfigError: where dask.distributed is not installed.
        WorkerError: where they cannot be started, or a panel cost too many of them.
    """
    _check_installed()
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=0,  # lanes bound it, and dask counts the libraries' own in
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
        _explained(cluster.scheduler_address),
    ):
        yield _executor(client)


def _executor(client: Client) -> Executor:
    executor: Executor = client.get_executor(retries=RETRIES, pure=False)
    return executor


def _check_installed() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "workers are those of dask.distributed, which is not installed here; install it "
            "(pip install 'rsadapt[cluster]'), or predict without --cluster and --workers"
        ) from error


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Say what it means where dask gives up."""
    from distributed import KilledWorker

    try:
        yield
    except CancelledError as error:
        raise WorkerError(
            f"{address}: the scheduler was lost; finished panels are kept, and the same command "
            f"goes on once there is one"
        ) from error
    except KilledWorker as error:
        raise WorkerError(
            f"{address}: a panel was given up after {error.allowed_failures + 1} workers were lost "
            f"at it, as where their memory is too small; finished panels are kept, and the same "
            f"command goes on"
        ) from error
