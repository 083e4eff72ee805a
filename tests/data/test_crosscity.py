import numpy as np
import pytest
from PIL import Image

from rsadapt.data.crosscity import CROSS_CITY
from rsadapt.data.driving import DRIVING_TABLES
from rsadapt.data.folder import dataset_scheme
from rsadapt.data.images import write_png


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_official_layout_is_found(tmp_path, ending):
    for split in ("Train", "Test"):
        folder = tmp_path / "Images" / split
        folder.mkdir(parents=True)
        Image.new("RGB", (4, 2)).save(folder / f"pano_00368_0_0.{ending}")
    write_png(tmp_path / "Labels/Test/pano_00368_0_0_eval.png", np.zeros((2, 4), np.uint8))
    train, test = (CROSS_CITY["Rome"].frames(tmp_path, split) for split in ("train", "test"))
    assert (train[0].name, train[0].label) == ("pano_00368_0_0", None)
    assert test[0].label.name == "pano_00368_0_0_eval.png"


@pytest.mark.parametrize("city", CROSS_CITY.values(), ids=CROSS_CITY)
def test_13_classes_have_cityscapes_ids(city):
    table = DRIVING_TABLES["cityscapes-13"]
    assert dataset_scheme(table, city) == table
    assert {name: split.count for name, split in city.layout.items()} == {
        "train": 3200,
        "test": 100,
    }
