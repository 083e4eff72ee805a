"""A procedural pair of driving data sets: the same kind of streets, as a game and as a camera.

What stands where, what is seen of it and how that looks are apart on purpose, as land and look are
in the satellite world: `street_scene.py` of `street_shapes.py`, `street_view.py`, `street_look.py`,
and `street_domains.py` with the figures of both domains. In either the road lies below, the sky
above, cars stand on the road and pavements beside it: what adaptation in output space can lean on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsadapt.data.driving import driving_table
from rsadapt.data.images import write_png
from rsadapt.data.procedural.noise import generator
from rsadapt.data.procedural.street_domains import CAMERA, GAME, Domain
from rsadapt.data.procedural.street_look import paint
from rsadapt.data.procedural.street_scene import make_street
from rsadapt.data.procedural.street_shapes import LABEL_IDS
from rsadapt.data.procedural.street_view import look_at
from rsadapt.errors import ConfigError, OutputExistsError
from rsadapt.progress import Progress, watched

STREET_CLASSES = driving_table(
    "wall",
    "fence",
    "traffic light",
    "terrain",
    "rider",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""The nine classes of the street, with the label ids and colours of Cityscapes."""

MINIMUM_SIZE = 32
"""Least height and width of a frame in pixels; below it nothing can be made out."""

_CITIES = {"train": "kerbstadt", "val": "laternau"}  # no cities of Cityscapes, on purpose


def render(
    domain: Domain, seed: int, *, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one frame.

    Args:
        domain: `GAME`, `CAMERA` or one between them.
        seed: of street, camera and textures; the same seed gives the same frame.
        height: of the frame in pixels.
        width: of the frame in pixels.

    Returns:
        Red, green and blue [height, width, 3], and Cityscapes label ids [height, width].
    """
    street = make_street(domain.layout, seed)
    view = look_at(street, domain.camera, seed, height=height, width=width)
    return paint(view, street, domain.look, seed), LABEL_IDS[view.material]


@dataclass(frozen=True)
class Streets:
    """Where a pair of data sets was written.

    Attributes:
        folder: what holds both.
        gta5: the source in the layout of GTA5, all of it labelled.
        cityscapes: the target in the layout of Cityscapes. The labels of its training frames are
            for a network trained on the target, which shows what is attainable.
    """

    folder: Path
    gta5: Path
    cityscapes: Path


def write_streets(
    folder: Path,
    *,
    seed: int,
    source_frames: int = 200,
    target_frames: int = 200,
    validation_frames: int = 50,
    height: int = 128,
    width: int = 256,
    progress: Progress | None = None,
) -> Streets:
    """Draw both data sets and write them in the official layouts of GTA5 and Cityscapes.

    Args:
        folder: new or empty.
        seed: of all frames; the same seed gives the same files.
        source_frames: number of frames of the source.
        target_frames: of the target's training split.
        validation_frames: of the target's validation split.
        height: of a frame in pixels.
        width: of a frame in pixels.
        progress: is told of the frames written.

    Returns:
        The folders: `GTA5/images/00001.png` and `GTA5/labels/00001.png`,
        `Cityscapes/leftImg8bit/train/CITY/CITY_000000_000019_leftImg8bit.png` and
        `Cityscapes/gtFine/train/CITY/CITY_000000_000019_gtFine_labelIds.png`, likewise under `val`.

    Raises:
        OutputExistsError: where the folder holds anything, or is a file.
        ConfigError: for no frames, too small ones or a negative seed.
    """
    counts = (source_frames, target_frames, validation_frames)
    _check(seed=seed, counts=counts, height=height, width=width)
    streets = Streets(Path(folder), Path(folder) / "GTA5", Path(folder) / "Cityscapes")
    _check_free(streets.folder)
    frames = [
        *(_source_frame(streets.gta5, number) for number in range(source_frames)),
        *(_target_frame(streets.cityscapes, "train", number) for number in range(target_frames)),
        *(_target_frame(streets.cityscapes, "val", number) for number in range(validation_frames)),
    ]
    for frame in watched(frames, "street frames", progress):
        name = frame.image.relative_to(streets.folder).as_posix()
        number = int(generator(seed, name).integers(2**63))
        image, labels = render(frame.domain, number, height=height, width=width)
        write_png(frame.image, image)
        write_png(frame.label, labels)
    return streets


@dataclass(frozen=True)
class _Frame:
    """A frame to be drawn and its files."""

    domain: Domain
    image: Path
    label: Path


def _source_frame(gta5: Path, number: int) -> _Frame:
    name = f"{number + 1:05d}.png"
    return _Frame(GAME, gta5 / "images" / name, gta5 / "labels" / name)


def _target_frame(cityscapes: Path, split: str, number: int) -> _Frame:
    city = _CITIES[split]
    name = f"{city}_{number:06d}_000019"
    return _Frame(
        CAMERA,
        cityscapes / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png",
        cityscapes / "gtFine" / split / city / f"{name}_gtFine_labelIds.png",
    )


def _check_free(folder: Path) -> None:
    if folder.is_file():
        raise OutputExistsError(f"{folder} is a file; choose another folder")
    if folder.exists() and any(folder.iterdir()):
        raise OutputExistsError(f"{folder} holds files already; choose another folder")


def _check(*, seed: int, counts: tuple[int, ...], height: int, width: int) -> None:
    if seed < 0:
        raise ConfigError(f"a street world's seed is 0 or more, found {seed}")
    if min(counts) < 1:
        raise ConfigError(
            f"a street world needs a frame or more in each of its three parts, found {counts}"
        )
    if height < MINIMUM_SIZE or width < MINIMUM_SIZE:
        raise ConfigError(
            f"a street's frame needs {MINIMUM_SIZE} pixels a side, found {height} x {width}"
        )
