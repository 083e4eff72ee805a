"""The weights that an encoder starts from: a file's that the user names, or its library's."""

from __future__ import annotations

from pathlib import Path

from rsadapt import config, weights
from rsadapt.errors import CheckpointError, MissingFileError
from rsadapt.nets.library import Download, LibraryEncoder, download

FILE = "model.safetensors"
"""What the Hugging Face hub calls weights that hold no code; others are not asked for."""


def library_encoder(
    chosen: config.NetworkSettings, anchor: config.Anchor, bands: int
) -> LibraryEncoder:
    """An encoder of segmentation-models-pytorch or timm, with the weights that it starts from.

    Raises:
        ConfigError: where its library is not installed, does not know it, or has no weights of it.
        MissingFileError: for weights that can neither be read nor downloaded.
        CheckpointError: for a file that is damaged, does not fit or could run code.
    """
    file = _file(chosen) if chosen.pretrained else None
    tensors = None if file is None else weights.read_weights(file)
    try:
        return LibraryEncoder(
            chosen.encoder,
            bands=bands,
            anchor=anchor,
            native=chosen.decoder == "mlp",
            tensors=tensors,
        )
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error


def initial_words(chosen: config.NetworkSettings) -> str:
    """What an encoder starts from where nothing else is named, for reports."""
    if isinstance(chosen.pretrained, str):
        return f"encoder from {Path(chosen.pretrained).name}"
    if not chosen.pretrained:
        return "random"
    if config.encoder_family(chosen.encoder) is None:
        return "ImageNet (torchvision)"
    return f"pretrained ({download(chosen.encoder).repository})"


def _file(chosen: config.NetworkSettings) -> Path:
    """The file that is named, or the library's in the hub's cache, downloaded where it is not."""
    if isinstance(chosen.pretrained, str):
        return Path(chosen.pretrained)
    place = download(chosen.encoder)
    from huggingface_hub import constants, hf_hub_download  # is there where the library is
    from huggingface_hub.errors import LocalEntryNotFoundError

    def found(*, here: bool) -> Path:
        return Path(
            hf_hub_download(place.repository, FILE, revision=place.revision, local_files_only=here)
        )

    try:
        return found(here=True)
    except LocalEntryNotFoundError:
        pass
    try:
        return found(here=False)
    except Exception as error:  # the hub's own, the network's and the disk's have no common base
        raise _unreachable(chosen.encoder, place, constants.HF_HUB_CACHE, error) from error


def _unreachable(encoder: str, place: Download, cache: str, error: Exception) -> MissingFileError:
    address = f"https://huggingface.co/{place.repository}/resolve/{place.revision or 'main'}/{FILE}"
    reason = str(error).strip().partition("\n")[0]
    return MissingFileError(
        f"network.pretrained: expected the weights {place.repository} of {encoder} in {cache}, "
        f"could neither read nor download them ({reason}); copy {address} to this machine and "
        f"name that file by network.pretrained, or choose false"
    )
