"""Cityscapes: streets of 50 cities with fine labels (Cordts et al. 2016)."""

from rsadapt.data.driving import CITYSCAPES_IDS
from rsadapt.data.folder import Files, FolderDataset, Split


def _images(split: str) -> Files:
    return Files(f"leftImg8bit/{split}", ("_leftImg8bit.png",))


def _labels(split: str) -> Files:
    return Files(f"gtFine/{split}", ("_gtFine_labelIds.png",))


CITYSCAPES = FolderDataset(
    title="Cityscapes",
    folder="Cityscapes",
    layout={
        "train": Split(_images("train"), _labels("train"), 2975),
        "val": Split(_images("val"), _labels("val"), 500),
        "test": Split(_images("test"), None, 1525),  # its label files are dummies without a class
        "train_extra": Split(_images("train_extra"), None, 19998, optional=True),  # coarse labels
    },
    ids=CITYSCAPES_IDS,
    download=(
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip (for 'train_extra' also "
        "leftImg8bit_trainextra.zip) from www.cityscapes-dataset.com, after registration, all "
        "unpacked into one folder, so that it holds leftImg8bit and gtFine"
    ),
)
"""Frames are 2048 x 1024, in a folder for each city; ids are those of the `labelIds` files."""
