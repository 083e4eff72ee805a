from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsadapt.data.cityscapes import CITYSCAPES
from rsadapt.data.folder_check import check_dataset
from rsadapt.data.gta5 import GTA5
from rsadapt.data.images import write_png
from rsadapt.errors import ConfigError

FIVE = replace(GTA5, layout={"all": replace(GTA5.layout["all"], count=5)})


@pytest.fixture
def root(tmp_path):
    for number in range(1, 6):
        write_png(tmp_path / f"images/{number:05d}.png", np.zeros((4, 6, 3), np.uint8))
        write_png(tmp_path / f"labels/{number:05d}.png", np.zeros((4, 6), np.uint8))
    return tmp_path


def only(report):
    (split,) = report.splits
    return split


def test_sound_data_set_is_complete(root):
    calls = []
    report = check_dataset(FIVE, root, progress=lambda *call: calls.append(call))
    assert report.complete
    assert (only(report).found, only(report).sizes) == (5, {(4, 6): 5})
    assert calls[-1] == ("check GTA5 all", 5, 5)


@pytest.mark.parametrize("decode", [True, False])
def test_missing_and_lonely_files_are_named(root, decode):
    (root / "labels/00002.png").unlink()
    (root / "images/00004.png").unlink()
    report = check_dataset(FIVE, root, decode=decode)
    assert not report.complete
    assert only(report).without_label == ("00002",)
    assert only(report).without_image == ("00004",)
    assert (only(report).found, only(report).official) == (4, 5)


def test_damaged_files_are_named_with_the_reason(root):
    image, label = root / "images/00001.png", root / "labels/00003.png"
    image.write_bytes(image.read_bytes()[:-20])
    write_png(label, np.zeros((4, 6, 3), np.uint8))
    report = check_dataset(FIVE, root)
    assert set(only(report).damaged) == {image, label}
    assert "cut short" in only(report).damaged[image]
    assert not report.complete
    assert check_dataset(FIVE, root, decode=False).complete


def test_files_that_cannot_be_opened_are_told_and_the_others_checked(root, monkeypatch):
    read = Path.read_bytes

    def refuse_one(path):
        if path == root / "images/00002.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse_one)
    Image.new("RGB", (40, 40)).save(root / "images/00004.png", "BMP")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    report = only(check_dataset(FIVE, root))
    assert [path.name for path in report.damaged] == ["00002.png", "00004.png"]
    assert report.sizes == {(4, 6): 3}


def test_odd_sizes_are_counted_and_harmless(root):
    write_png(root / "images/00001.png", np.zeros((5, 6, 3), np.uint8))
    write_png(root / "labels/00002.png", np.zeros((5, 6), np.uint8))
    report = check_dataset(FIVE, root)
    assert (only(report).odd_sizes, only(report).unlike) == (1, 2)
    assert report.complete


def test_other_count_than_the_official_is_not_complete(root):
    assert not check_dataset(GTA5, root).complete


def test_nothing_there_is_told_and_not_raised(tmp_path):
    report = check_dataset(CITYSCAPES, tmp_path / "none")
    assert [(split.split, split.found) for split in report.splits] == [
        ("train", 0),
        ("val", 0),
        ("test", 0),
    ]
    assert not report.complete
    assert "leftImg8bit_trainvaltest.zip" in report.download


def test_optional_split_is_looked_at_where_it_is_there(tmp_path):
    (tmp_path / "leftImg8bit/train_extra").mkdir(parents=True)
    names = [split.split for split in check_dataset(CITYSCAPES, tmp_path).splits]
    assert "train_extra" in names


def test_unknown_split_is_refused(root):
    with pytest.raises(ConfigError, match="not 'val'"):
        check_dataset(FIVE, root, ["val"])
