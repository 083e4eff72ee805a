"""Which processes this one trains with, as torchrun or SLURM's srun started them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Started:
    """This process's place among those that train one run together.

    Attributes:
        rank: its number among all, 0 for the first, which alone writes.
        count: how many there are, on all machines.
        local_rank: its number among those of its machine.
        local_count: how many its machine has.
        launcher: what started them; None for a process of its own.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    launcher: str | None = None


def started(environment: Mapping[str, str] = os.environ) -> Started:
    """Read from the environment what torchrun or srun wrote there.

    An `sbatch` script that calls rsadapt without `srun` starts one process, however many tasks were
    asked for: it is the step that counts them, not the job.
    """

    def number(name: str) -> int:
        return int(environment[name])

    if {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"} <= environment.keys():
        found = Started(
            number("RANK"),
            number("WORLD_SIZE"),
            number("LOCAL_RANK"),
            number("LOCAL_WORLD_SIZE"),
            "torchrun",
        )
    elif {"SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"} <= environment.keys():
        count = number("SLURM_STEP_NUM_TASKS")
        machines = int(environment.get("SLURM_STEP_NUM_NODES", "1"))
        found = Started(
            number("SLURM_PROCID"), count, number("SLURM_LOCALID"), count // machines, "SLURM"
        )
    else:
        return Started()
    return found if found.count > 1 else Started()
