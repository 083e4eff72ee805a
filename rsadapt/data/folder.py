"""Data sets of image folders: a data set only says where the files of an id are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsadapt.classes import ClassScheme
from rsadapt.errors import ConfigError, DataError, MissingFileError

SHOWN = 5
"""Files that a message names before it only counts them."""


@dataclass(frozen=True)
class Frame:
    """An image and its labels.

    Attributes:
        name: its file's name without what all names end in.
        image: the image file.
        label: the label file; None where the data set has none for the split.
    """

    name: str
    image: Path
    label: Path | None


@dataclass(frozen=True)
class Files:
    """Where files of a kind are: below a folder, with an ending.

    Attributes:
        folder: below the data set's folder, with `/` between names.
        endings: what their names may end in; where an id has two files, the first by name counts.
    """

    folder: str
    endings: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(f"{self.folder}/*{ending}" for ending in self.endings)

    def find(self, root: Path) -> dict[str, Path]:
        """Files by id: the path below the folder without its ending; none without a folder.

        Raises:
            DataError: for a folder that cannot be listed.
        """
        folder = root / self.folder
        found: dict[str, Path] = {}
        for path in sorted(_below(folder, folder.resolve().parents)):
            key = path.relative_to(folder).as_posix()
            ending = next((end for end in self.endings if key.endswith(end)), None)
            if ending is None or path.name.startswith("."):  # archives from Macs bring "._x.png"
                continue
            found.setdefault(key.removesuffix(ending), path)
        return found


@dataclass(frozen=True)
class Split:
    """A part of a data set.

    Attributes:
        images: where its images are.
        labels: where their labels are; None for a split without.
        count: the official number of frames, where there is one.
        optional: whether most users go without it.
    """

    images: Files
    labels: Files | None
    count: int | None
    optional: bool = False


@dataclass(frozen=True)
class FolderDataset:
    """What is peculiar to a data set; everything else is shared.

    Attributes:
        title: what it is called.
        folder: the usual name of its folder below a folder of data sets.
        layout: its splits by name.
        ids: the raw label ids of each class it has, by class name.
        download: what to get from where, and how to unpack it.
        label_channel: the channel of label files that holds ids, from 0; None where they have
            only one.
    """

    title: str
    folder: str
    layout: Mapping[str, Split]
    ids: Mapping[str, tuple[int, ...]]
    download: str
    label_channel: int | None = None

    def split(self, name: str) -> Split:
        """A split by name.

        Raises:
            ConfigError: for a name it does not have.
        """
        if name not in self.layout:
            raise ConfigError(f"{self.title} has the splits {', '.join(self.layout)}, not '{name}'")
        return self.layout[name]

    @property
    def labelled(self) -> list[str]:
        """Names of the splits that have labels."""
        return [name for name, split in self.layout.items() if split.labels is not None]

    def frames(self, root: Path, split: str, *, labels: bool = True) -> list[Frame]:
        """The frames of a split, sorted by name, as found in the folder.

        Args:
            root: the data set's own folder, such as `data/GTA5`.
            split: a key of `layout`.
            labels: False takes images alone, as a target needs no more to train on.

        Raises:
            ConfigError: for a split it does not have.
            MissingFileError: where no images, or none of the labels, are found.
            DataError: where some images have no labels.
        """
        part = self.split(split)
        images = self._found(part.images, root)
        found = self._found(part.labels, root) if labels and part.labels else None
        if found is not None and (missing := [key for key in images if key not in found]):
            raise DataError(
                f"{root}: {self.title} '{split}' has no labels ({part.labels}) for {len(missing)} "
                f"of {len(images)} images: {listed(missing)}; unpack the labels again: "
                f"{self.download}"
            )
        frames = [
            Frame(key.rpartition("/")[2], image, None if found is None else found[key])
            for key, image in images.items()
        ]
        return sorted(frames, key=lambda frame: frame.name)

    def _found(self, files: Files, root: Path) -> dict[str, Path]:
        found = files.find(root)
        if not found:
            raise MissingFileError(
                f"{root}: expected {self.title} with {files}, found none; it takes {self.download}"
            )
        return found


def _below(folder: Path, above: Sequence[Path]) -> Iterator[Path]:
    """Files in a folder and those within it, linked ones too; a link back up is left alone.

    Args:
        folder: need not be there.
        above: the folders on the way to it, without links.
    """
    here = folder.resolve()
    if here in above:
        return
    try:
        inside = list(os.scandir(folder)) if folder.is_dir() else []  # knows folders unasked
    except OSError as error:
        raise DataError(
            f"{folder}: expected a folder to look for images and labels in, found one that cannot "
            f"be listed ({error.strerror}); make it readable"
        ) from error
    for entry in inside:
        path = folder / entry.name
        if entry.is_dir():
            yield from _below(path, (*above, here))
        else:
            yield path


def listed(names: list[str]) -> str:
    """The first few names, and that there are more."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def dataset_scheme(scheme: ClassScheme, dataset: FolderDataset) -> ClassScheme:
    """The same classes by the data set's own label ids; all others up to 255 are unlabelled.

    Raises:
        ConfigError: for classes that the data set does not have.
    """
    absent = [name for name in scheme.names if name not in dataset.ids]
    if absent:
        raise ConfigError(
            f"{dataset.title} has no class {', '.join(absent)}; it has {', '.join(dataset.ids)}: "
            f"choose a class table of these"
        )
    ids = tuple(dataset.ids[name] for name in scheme.names)
    return ClassScheme(scheme.names, ids, scheme.colours, other_ids(ids))


def other_ids(ids: Iterable[Iterable[int]]) -> tuple[int, ...]:
    """What else an 8-bit label can hold than the ids of classes, which is unlabelled."""
    known = {value for row in ids for value in row}
    return tuple(value for value in range(256) if value not in known)
