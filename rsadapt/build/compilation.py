"""Networks that PyTorch compiles for the machine at hand."""

from __future__ import annotations

import shutil

from torch import nn

from rsadapt.errors import ConfigError

COMPILERS = ("c++", "g++", "clang++")


def compiled(module: nn.Module) -> None:
    """Let a network be compiled when it first runs; the module and its names stay.

    Raises:
        ConfigError: where there is no C++ compiler, which CPU and GPU need alike.
    """
    if not any(shutil.which(name) for name in COMPILERS):
        raise ConfigError(
            f"device.compile: expected a C++ compiler, found none of {', '.join(COMPILERS)}; "
            f"install one, or choose device.compile: false"
        )
    from torch._functorch import config

    config.donated_buffer = False  # a discriminator's pass is differentiated twice
    module.compile(dynamic=False)
