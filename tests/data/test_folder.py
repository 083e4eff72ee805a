"""Folder data sets: files found, paired by name, and missed by name."""

import os
import shutil

import numpy as np
import pytest

from rsadapt.classes import IGNORE_INDEX, ClassScheme
from rsadapt.data.driving import DRIVING_TABLES
from rsadapt.data.folder import Files, FolderDataset, Split, dataset_scheme, listed
from rsadapt.errors import ConfigError, DataError, MissingFileError

TWO = FolderDataset(
    title="Two",
    folder="two",
    layout={
        "train": Split(Files("images/train", (".png",)), Files("ids/train", ("_ids.png",)), 5),
        "test": Split(Files("images/test", (".png", ".jpg")), None, None),
    },
    ids={"road": (3, 4), "sky": (1,), "wall": (9,)},
    download="two.zip from nowhere",
)
SCHEME = ClassScheme(("sky", "road"), ((23,), (7,)), ((0, 0, 9), (9, 0, 9)), (255,))
TRAIN = {1: 0, 3: 1, 4: 1}


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.fixture
def root(tmp_path):
    """Empty files: a data set only says where they are."""
    for number in range(5):
        name = f"town{number % 2}/{number}"
        touch(tmp_path / f"images/train/{name}.png")
        touch(tmp_path / f"ids/train/{name}_ids.png")
        touch(tmp_path / f"images/test/{number}.png")
    return tmp_path


def test_frames_are_paired_and_sorted_by_name(root):
    frames = TWO.frames(root, "train")
    assert [frame.name for frame in frames] == ["0", "1", "2", "3", "4"]
    for frame in frames:
        assert frame.label.name == f"{frame.name}_ids.png"
        assert frame.label.parent.name == frame.image.parent.name


@pytest.mark.parametrize(("split", "labels"), [("test", True), ("train", False)])
def test_frames_without_labels(root, split, labels):
    frames = TWO.frames(root, split, labels=labels)
    assert len(frames) == 5
    assert all(frame.label is None for frame in frames)


def test_files_that_macs_leave_behind_are_no_frames(root):
    (root / "images/test/._0.png").write_bytes(b"resource fork")
    assert len(TWO.frames(root, "test")) == 5


def test_linked_folders_are_followed_and_a_link_back_is_not(root, tmp_path):
    shutil.move(root / "images/train/town1", tmp_path / "disk")
    (root / "images/train/town1").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/again").symlink_to(root / "images/train")
    (root / "images/train/up").symlink_to(root)
    frames = TWO.frames(root, "train")
    assert [frame.name for frame in frames] == ["0", "1", "2", "3", "4"]
    assert frames[1].image == root / "images/train/town1/1.png"


def test_folder_that_cannot_be_listed_is_named(root, monkeypatch):
    def refuse(_folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"images/train: .*cannot be listed \(Permission denied\)"):
        TWO.frames(root, "train")


def test_missing_folder_says_what_to_download(tmp_path):
    with pytest.raises(MissingFileError, match=r"images/train/\*\.png.*two\.zip from nowhere"):
        TWO.frames(tmp_path, "train")


def test_missing_labels_are_named_and_counted(root):
    for number in (1, 3):
        (root / f"ids/train/town1/{number}_ids.png").unlink()
    with pytest.raises(DataError, match=r"for 2 of 5 images: town1/1, town1/3;"):
        TWO.frames(root, "train")


def test_unknown_split_is_refused(root):
    with pytest.raises(ConfigError, match=r"Two has the splits train, test, not 'val'"):
        TWO.frames(root, "val")


def test_dataset_scheme_has_own_ids_for_the_same_classes():
    scheme = dataset_scheme(SCHEME, TWO)
    assert (scheme.names, scheme.colours) == (SCHEME.names, SCHEME.colours)
    raw = np.arange(256)
    expected = [TRAIN.get(value, IGNORE_INDEX) for value in raw]
    assert scheme.encode(raw).tolist() == expected


def test_class_that_a_data_set_lacks_is_refused():
    with pytest.raises(ConfigError, match=r"Two has no class sidewalk, building.*it has road, sky"):
        dataset_scheme(DRIVING_TABLES["cityscapes-19"], TWO)


def test_file_of_two_endings_counts_once_and_the_first_by_name(root):
    touch(root / "images/test/0.jpg")
    touch(root / "images/test/notes.txt")
    frames = TWO.frames(root, "test")
    assert [frame.image.name for frame in frames] == [
        "0.jpg",
        "1.png",
        "2.png",
        "3.png",
        "4.png",
    ]


def test_long_lists_are_cut():
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg")) == "a, b, c, d, e, ..."
