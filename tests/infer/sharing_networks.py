"""A network that the tests of other processes load there: by name, as pickle needs it."""

import os
import signal
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from rsadapt.geo.normalise import Normaliser
from rsadapt.infer.pipeline import Network


@dataclass(frozen=True)
class Convolution:
    """Loads three classes of two bands that depend on their surroundings, so that blending decides.

    Attributes:
        log: file to which each process adds its number when it loads the network.
        pause: seconds that a batch takes at least.
        deadly: folder of which each process takes a file away that kills itself for it.
    """

    log: Path
    pause: float = 0.0
    deadly: Path | None = None

    def __call__(self):
        return _load(self)


@cache
def _load(what):
    with what.log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    weight = torch.randn((3, 2, 5, 5), generator=torch.Generator().manual_seed(3)) / 4

    def predict(images):
        time.sleep(what.pause)
        for order in what.deadly.iterdir() if what.deadly else ():
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.nn.functional.conv2d(images, weight, padding=2).softmax(1)

    return Network(predict, Normaliser((100.0, 100.0), (50.0, 50.0)), (1, 2), 3, batch_size=2)


@dataclass(frozen=True)
class Missing:
    """Finds no file."""

    def __call__(self):
        raise FileNotFoundError("/far/checkpoint.pt")
