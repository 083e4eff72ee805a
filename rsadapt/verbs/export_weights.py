"""Export weights: write a run's network as a bare weight file that other programs load."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rsadapt import build
from rsadapt.model import load, network_of
from rsadapt.weights import published_tensors, write_weights

Names = Literal["own", "published"]


@build.process_kept()
def export_weights(run: Path, out: Path, *, names: Names = "published") -> Path:
    """Write the tensors of a run's segmentation network.

    Batch-norm statistics are those of the source, or of both domains, as the run keeps them; a
    target's own statistics (policy "per_domain") have no place in a bare file.

    Args:
        run: a run's folder or checkpoint.
        out: a new file, `.pth`, `.pt` or `.safetensors`.
        names: "published" as in AdaptSegNet's checkpoints, or the project's "own".

    Returns:
        `out`.

    Raises:
        MissingFileError: for a run that is not there.
        CheckpointError: for one that cannot be used, another suffix, or a network that has no
            published names.
        OutputExistsError: where `out` exists.
    """
    model = load(run)
    network = network_of(model.parts)
    tensors = network.state_dict() if names == "own" else published_tensors(network)
    write_weights(out, tensors, model.facts.told(model.step))
    return out
