"""Weight files: bare named tensors, read without running code, written whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from rsadapt.adapt import checkpoint
from rsadapt.errors import CheckpointError, MissingFileError, OutputExistsError
from rsadapt.whole import written_whole

Tensors = dict[str, Tensor]

WRAPPERS = ("state_dict", "model", "network")
"""Where files of more than tensors keep them; "network" is this project's own."""


def read(path: Path) -> dict[str, Any]:
    """Read all that a weight file holds, onto the CPU; no code in it is ever run.

    Args:
        path: a `.safetensors` file, or else one that PyTorch wrote: of today or of 2018, bare
            tensors or with more around them, such as a checkpoint of this project.

    Raises:
        MissingFileError: where there is none.
        CheckpointError: for a damaged file, or one that would run code.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return checkpoint.load(path)


def named_tensors(state: Mapping[Any, Any], where: Path) -> Tensors:
    """The network's tensors in what `read` gave.

    Raises:
        CheckpointError: where there is anything among them but named tensors, or none.
    """
    inner = next((state[key] for key in WRAPPERS if isinstance(state.get(key), dict)), state)
    for name, value in inner.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{where}: expected named tensors, found a {type(value).__name__} called {name!r}; "
                f"save the network's state alone, or under 'state_dict'"
            )
    if not inner:
        raise CheckpointError(f"{where}: expected named tensors, found none")
    return {name: value.detach() for name, value in inner.items()}


def read_weights(path: Path) -> Tensors:
    """Read the named tensors of a weight file.

    Raises:
        MissingFileError, CheckpointError: see `read` and `named_tensors`.
    """
    return named_tensors(read(path), path)


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None
) -> None:
    """Write named tensors to a new file, under another name until it is whole.

    Args:
        path: the file, `.pth`, `.pt` or `.safetensors`.
        tensors: in the order to be kept (`.safetensors` files keep an order of their own).
        facts: what a `.safetensors` file says besides.

    Raises:
        OutputExistsError: where `path` exists.
        MissingFileError: where its folder does not.
        CheckpointError: for another suffix.
    """
    if path.exists():
        raise OutputExistsError(f"{path}: exists already; choose another name")
    if not path.parent.is_dir():
        raise MissingFileError(f"{path.parent}: no such folder; make it first")
    if path.suffix in (".pth", ".pt"):
        checkpoint.save(path, _plain(tensors))
    elif path.suffix == ".safetensors":
        write_safetensors(path, tensors, facts)
    else:
        raise CheckpointError(
            f"{path}: expected a name that ends in .pth, .pt or .safetensors, found "
            f"{path.suffix or 'no suffix'!r}"
        )


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None
) -> None:
    """Write named tensors to a `.safetensors` file, whole, in place of one that is there.

    Args:
        path: the file.
        tensors: by name.
        facts: what else to say of them, read back by `safetensors_facts`.
    """
    from safetensors.torch import save_file

    with written_whole(path) as part:
        save_file(_plain(tensors), part, metadata={"format": "pt", **(facts or {})})


def safetensors_facts(path: Path) -> dict[str, str]:
    """What a `.safetensors` file says beside its tensors, of which none is read.

    Raises:
        MissingFileError: where there is none.
        CheckpointError: for a damaged file.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise MissingFileError(f"{path}: no weight file here")
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged or no weights ({error}); copy it again") from error


def _plain(tensors: Mapping[str, Tensor]) -> Tensors:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise MissingFileError(f"{path}: no weight file here")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged or no weights ({error}); copy it again") from error
