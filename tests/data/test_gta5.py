import numpy as np

from rsadapt.data.gta5 import GTA5
from rsadapt.data.images import write_png


def test_official_layout_is_found(tmp_path):
    for number in (2, 1):
        write_png(tmp_path / f"images/{number:05d}.png", np.zeros((2, 3, 3), np.uint8))
        write_png(tmp_path / f"labels/{number:05d}.png", np.zeros((2, 3), np.uint8))
    frames = GTA5.frames(tmp_path, "all")
    assert [frame.name for frame in frames] == ["00001", "00002"]
    assert frames[1].label == tmp_path / "labels/00002.png"


def test_official_count():
    assert {name: split.count for name, split in GTA5.layout.items()} == {"all": 24966}
