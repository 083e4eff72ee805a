"""What tests/test_several.py runs in two processes that train together."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from rsadapt import config
from rsadapt.adapt import ranks
from rsadapt.adapt.figures import fetch
from rsadapt.cli import main
from rsadapt.errors import InterruptedTrainingError
from rsadapt.training import train_run


def exchange(folder):
    """What becomes of gradients, masks and weights that differ between two processes."""
    mine = float(ranks.rank() + 1)  # 1 and 2
    both, one, none = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    both.grad = torch.full((2,), mine)
    if ranks.first():
        one.grad = torch.ones(2)
    running = torch.full((3,), mine, dtype=torch.float64)
    ranks.average([both, one, none], [running, torch.tensor(7)])
    weights = torch.full((2,), mine)
    ranks.share([weights])
    mask = torch.tensor([True, not ranks.first(), not ranks.first()])  # 1 and 3
    sums = torch.tensor([4 * mine, 8 * mine])
    means = [ranks.mean_over_ranks(each, mask.sum(), of=mask) for each in sums]
    found = {
        "both": both.grad,
        "one": one.grad,
        "none": none.grad,
        "running": running,
        "weights": weights,
        "means": fetch(dict(zip("ab", means, strict=True))),
        "any": (ranks.any_of(ranks.first()), ranks.any_of(False)),
        "first": ranks.first_does(lambda: f"from {ranks.rank()}"),
    }
    torch.save(found, folder / f"exchanged-{ranks.rank()}.pt")


def stop_the_second(run):
    """Send SIGTERM to the second process once a step is logged."""

    def watch():
        while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").read_text():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    if not ranks.first():
        threading.Thread(target=watch).start()


def train_all(folder):
    """Train every configuration in a folder, and one of them once more in two parts."""
    for file in sorted(folder.glob("*.yaml")):
        settings = config.parse(yaml.safe_load(file.read_text()), where=file)
        train_run(settings, folder / file.stem)
        if file.stem == "own":
            stop_the_second(folder / "parts")
            with pytest.raises(InterruptedTrainingError, match="stopped at step"):
                train_run(settings, folder / "parts")
            train_run(settings, folder / "parts", resume=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with ranks.together():
        exchange(Path(sys.argv[1]))
        train_all(Path(sys.argv[1]))
    sys.argv = ["rsadapt", "train", "nowhere"]
    main()
