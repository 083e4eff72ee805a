"""Panels dealt out to processes of this machine: one a GPU, or several on the CPU."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.queues import Queue

import torch

from rsadapt.errors import ConfigError, WorkerError
from rsadapt.infer.work import Pool, uninterrupted

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Which GPUs a process sees: https://docs.nvidia.com/cuda/cuda-programming-guide."""


@contextmanager
def several(number: int, device: torch.device | str) -> Iterator[Pool]:
    """So many processes; they end with this one, however it ends.

    Args:
        number: of processes.
        device: where this process has the network. Of GPUs each process sees one, as the first.

    Raises:
        ConfigError: for more processes than there are GPUs.
        WorkerError: where a process was killed.
    """
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    visible = context.Queue()
    for name in _visible(number, device):
        visible.put(name)
    try:
        with ProcessPoolExecutor(
            number, mp_context=context, initializer=_begin, initargs=(visible,)
        ) as executor:
            with uninterrupted():  # all are started by this, before they are wanted
                for _ in range(number):
                    executor.submit(os.getpid)
            yield Pool(executor, number)
    except BrokenProcessPool as error:
        raise WorkerError(
            "one of the processes that predict was killed, as where memory is too small; finished "
            "panels are kept, and the same command goes on, perhaps with fewer --devices"
        ) from error
    finally:
        visible.close()


def _visible(number: int, device: torch.device | str) -> list[str | None]:
    """What each process sees of the GPUs; None where they are not what it computes on."""
    kind = torch.device(device).type
    if kind == "cpu":
        return [None] * number
    there = torch.cuda.device_count() if kind == "cuda" else 1
    if number > there:
        raise ConfigError(
            f"expected at most {there} devices, those of kind {kind} on this machine, found "
            f"{number}"
        )
    named = os.environ.get(VISIBLE)
    names = [str(each) for each in range(there)] if named is None else named.split(",")
    return [name.strip() for name in names[:number]] if kind == "cuda" else [None] * number


def _begin(visible: Queue[str | None]) -> None:
    """Set up a process: it sees its GPU alone, and ends with its parent and not before."""
    name = visible.get()
    if name is not None:
        os.environ[VISIBLE] = name
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
