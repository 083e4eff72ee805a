import numpy as np

from rsadapt.data.cityscapes import CITYSCAPES
from rsadapt.data.images import write_png


def test_official_layout_is_found(tmp_path):
    for city, name in [("ulm", "ulm_000001_000019"), ("aachen", "aachen_000000_000019")]:
        image = tmp_path / f"leftImg8bit/train/{city}/{name}_leftImg8bit.png"
        label = tmp_path / f"gtFine/train/{city}/{name}_gtFine"
        write_png(image, np.zeros((2, 4, 3), np.uint8))
        for kind in ("labelIds", "instanceIds", "color"):
            write_png(label.with_name(f"{label.name}_{kind}.png"), np.zeros((2, 4), np.uint8))
    frames = CITYSCAPES.frames(tmp_path, "train")
    assert [frame.name for frame in frames] == ["aachen_000000_000019", "ulm_000001_000019"]
    assert frames[1].label.name == "ulm_000001_000019_gtFine_labelIds.png"


def test_dummy_labels_of_the_test_split_are_left_alone(tmp_path):
    image = "leftImg8bit/test/bonn/bonn_000000_000019_leftImg8bit.png"
    write_png(tmp_path / image, np.zeros((2, 4, 3), np.uint8))
    assert [frame.label for frame in CITYSCAPES.frames(tmp_path, "test")] == [None]


def test_official_counts():
    assert {name: split.count for name, split in CITYSCAPES.layout.items()} == {
        "train": 2975,
        "val": 500,
        "test": 1525,
        "train_extra": 19998,
    }
