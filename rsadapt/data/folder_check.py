"""What is there of a data set and what is wrong with it, told without raising."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsadapt.data.folder import FolderDataset, Split
from rsadapt.data.images import read_image, read_labels
from rsadapt.errors import RsadaptError
from rsadapt.progress import Progress, watched

Size = tuple[int, int]


@dataclass(frozen=True)
class SplitReport:
    """What was found of a split.

    Attributes:
        split: its name.
        found: images.
        official: how many there should be, where that is known.
        without_label: ids of images that lack their labels.
        without_image: ids of labels that lack their image.
        damaged: what is wrong, by file, with files that cannot be used.
        sizes: number of images by (height, width); empty where none was decoded.
        unlike: labels of another size than their image, which loading at one size makes harmless.
    """

    split: str
    found: int
    official: int | None
    without_label: tuple[str, ...]
    without_image: tuple[str, ...]
    damaged: Mapping[Path, str]
    sizes: Mapping[Size, int]
    unlike: int

    @property
    def odd_sizes(self) -> int:
        """Images of another size than most."""
        return sum(self.sizes.values()) - max(self.sizes.values(), default=0)

    @property
    def complete(self) -> bool:
        """Whether all frames are there, in pairs and sound as far as they were looked at."""
        counted = self.found == self.official if self.official else self.found > 0
        return counted and not (self.without_label or self.without_image or self.damaged)


@dataclass(frozen=True)
class DatasetReport:
    """What was found of a data set.

    Attributes:
        title: the data set.
        root: its folder.
        splits: those that were looked at.
        decoded: whether every file was decoded.
        download: what to get from where.
    """

    title: str
    root: Path
    splits: tuple[SplitReport, ...]
    decoded: bool
    download: str

    @property
    def complete(self) -> bool:
        """Whether every split that was looked at is complete."""
        return all(split.complete for split in self.splits)


def check_dataset(
    dataset: FolderDataset,
    root: Path | str,
    splits: Sequence[str] | None = None,
    progress: Progress | None = None,
    *,
    decode: bool = True,
) -> DatasetReport:
    """Count and pair the files of a data set, and decode each of them.

    Args:
        dataset: which.
        root: its folder.
        splits: names of splits; by default all but optional ones that are not there at all.
        progress: told of every frame that is decoded.
        decode: False only counts and pairs, in seconds.

    Raises:
        ConfigError: for a split that the data set does not have.
        DataError: for a folder that cannot be listed; never for the files in it.
    """
    root = Path(root)
    names = splits if splits is not None else _usual(dataset, root)
    reports = tuple(
        _check_split(dataset, root, name, progress if decode else None, decode) for name in names
    )
    return DatasetReport(dataset.title, root, reports, decode, dataset.download)


def _usual(dataset: FolderDataset, root: Path) -> list[str]:
    return [
        name
        for name, split in dataset.layout.items()
        if not split.optional or (root / split.images.folder).is_dir()
    ]


def _check_split(
    dataset: FolderDataset, root: Path, name: str, progress: Progress | None, decode: bool
) -> SplitReport:
    split: Split = dataset.split(name)
    images = split.images.find(root)
    labels = None if split.labels is None else split.labels.find(root)
    sizes: Counter[Size] = Counter()
    damaged: dict[Path, str] = {}
    unlike = 0
    for key in watched(list(images) if decode else [], f"check {dataset.title} {name}", progress):
        image = _size(images[key], None, damaged)
        label = labels.get(key) if labels else None
        ids = None if label is None else _size(label, dataset, damaged)
        sizes.update([image] if image else [])
        unlike += image is not None and ids is not None and image != ids
    return SplitReport(
        split=name,
        found=len(images),
        official=split.count,
        without_label=tuple(key for key in images if labels is not None and key not in labels),
        without_image=tuple(key for key in labels or {} if key not in images),
        damaged=damaged,
        sizes=dict(sizes),
        unlike=unlike,
    )


def _size(path: Path, labels_of: FolderDataset | None, damaged: dict[Path, str]) -> Size | None:
    """Height and width of a file, or None where it is put among the damaged."""
    try:
        if labels_of is None:
            height, width = read_image(path).shape[:2]
        else:
            height, width = read_labels(path, labels_of.label_channel).shape
    except RsadaptError as error:
        damaged[path] = str(error)
        return None
    return height, width
