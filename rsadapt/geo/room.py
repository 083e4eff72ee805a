"""Large arrays that are kept for long, outside the heap that other memory comes and goes in."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def room(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros in pages of its own, which the system gets back once it is dropped.

    In the heap it would lie between what a network allocates and frees for every batch, and such
    holes are not always filled again: a prediction of 8,192 x 12,000 pixels kept 80 MB of them.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.ndarray(shape, dtype, buffer=mmap.mmap(-1, max(1, size)))
