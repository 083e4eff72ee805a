"""Panels as tasks of dask.distributed, on a cluster or on workers started here."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from rsadapt.errors import ConfigError, WorkerError
from rsadapt.infer.work import Pool, uninterrupted

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

RETRIES = 2
"""How often a panel is tried again that failed; those of a lost worker are so anyway, by default
until it was the third (distributed.scheduler.allowed-failures)."""

PATIENCE = 30
"""Seconds in which a scheduler must answer, and workers started here be there again."""


@contextmanager
def connected(address: str) -> Iterator[Pool]:
    """The workers of a scheduler.

    Args:
        address: of the scheduler, such as tcp://10.0.0.5:8786.

    Raises:
        ConfigError: where dask.distributed is not installed, or for what is no address.
        WorkerError: where no scheduler answers, it is lost, or a panel cost too many workers.
    """
    _check_installed()
    from distributed import Client
    from distributed.comm import resolve_address

    try:
        resolve_address(address)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{address}: expected the address of a dask scheduler, such as "
            f"tcp://10.0.0.5:8786 ({error})"
        ) from error
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except OSError as error:
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
            yield _pool(client)


@contextmanager
def started(workers: int) -> Iterator[Pool]:
    """So many workers on this machine, one thread each.

    Raises:
        ConfigError: where dask.distributed is not installed.
        WorkerError: where they cannot be started, or a panel cost too many of them.
    """
    _check_installed()
    from distributed import Client, LocalCluster

    try:
        with uninterrupted():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",  # any free port: by None it is 8787 all the same
                memory_limit=0,  # lanes bound it, and dask counts the libraries' own in
            )
    except (OSError, RuntimeError) as error:
        raise WorkerError(f"{workers} dask workers cannot be started here ({error})") from error
    with (
        cluster,
        Client(cluster, set_as_default=False) as client,
        _explained(cluster.scheduler_address),
    ):
        yield replace(_pool(client), check=_staffed(cluster))


def _pool(client: Client) -> Pool:
    return Pool(client.get_executor(retries=RETRIES, pure=False), len(client.nthreads()))


def _staffed(cluster: LocalCluster) -> Callable[[], None]:
    """What raises where all workers are lost: dask starts them anew, but not those lost at once."""
    last = time.monotonic()

    def check() -> None:
        nonlocal last
        if cluster.scheduler.workers:
            last = time.monotonic()
        elif time.monotonic() > last + PATIENCE:
            raise WorkerError(
                "no worker is left, as where memory is too small; finished panels are kept, and "
                "the same command goes on, perhaps with fewer --workers"
            )

    return check


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
