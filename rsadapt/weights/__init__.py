"""Weight files and what becomes of them in a network."""

from rsadapt.weights.files import (
    named_tensors,
    read,
    read_weights,
    safetensors_facts,
    write_safetensors,
    write_weights,
)
from rsadapt.weights.networks import Fit, fit, load_all, published_tensors

__all__ = [
    "Fit",
    "fit",
    "load_all",
    "named_tensors",
    "published_tensors",
    "read",
    "read_weights",
    "safetensors_facts",
    "write_safetensors",
    "write_weights",
]
