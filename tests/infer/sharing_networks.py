"""Networks that the tests of other processes load there: by name, as pickle needs it."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from rsadapt.geo.normalise import Normaliser
from rsadapt.infer.pipeline import Network

NORMALISE = Normaliser((100.0, 100.0), (50.0, 50.0))


def convolution():
    """A small network that sees its surroundings, so that blending decides."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn((3, 2, 5, 5), generator=generator) / 4
    return lambda images: torch.nn.functional.conv2d(images, weight, padding=2).softmax(1)


@dataclass(frozen=True)
class Convolution:
    """Loads it.

    Attributes:
        log: file to which each process writes its number when it loads; none if empty.
        pause: seconds a batch takes at least.
        dies: file that the first process to find it removes before it kills itself; none if empty.
    """

    log: str = ""
    pause: float = 0.0
    dies: str = ""

    def __call__(self):
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{os.getpid()}\n")
        predict = convolution()

        def slowly(images):
            time.sleep(self.pause)
            if self.dies:
                try:
                    Path(self.dies).unlink()
                except FileNotFoundError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            return predict(images)

        return Network(slowly, NORMALISE, (1, 2), 3, batch_size=2)
