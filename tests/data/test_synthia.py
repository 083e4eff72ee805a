import cv2
import numpy as np
import pytest

from rsadapt.classes import IGNORE_INDEX
from rsadapt.data.driving import DRIVING_TABLES
from rsadapt.data.frames import FramePixels, Frames
from rsadapt.data.images import write_png
from rsadapt.data.synthia import SYNTHIA
from rsadapt.errors import ConfigError

PUBLISHED_16 = {3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 1: 9, 10: 10, 17: 11, 8: 12}
PUBLISHED_16 |= {19: 13, 12: 14, 11: 15}
"""Train ids of the 16 classes in the order of Cityscapes, by SYNTHIA's ids."""


@pytest.fixture
def frames(tmp_path):
    write_png(tmp_path / "RGB/0000000.png", np.zeros((1, 23, 3), np.uint8))
    (tmp_path / "GT/LABELS").mkdir(parents=True)
    label = np.zeros((1, 23, 3), np.uint16)
    label[0, :, 0], label[0, :, 1] = np.arange(23), 1000 + np.arange(23)
    cv2.imwrite(str(tmp_path / "GT/LABELS/0000000.png"), label[..., ::-1])
    return Frames("source", tuple(SYNTHIA.frames(tmp_path, "all")), SYNTHIA, (1, 23))


def test_classes_are_in_the_first_16_bit_channel(frames):
    label = FramePixels(frames, DRIVING_TABLES["cityscapes-16"]).label(0)
    expected = [PUBLISHED_16.get(value, IGNORE_INDEX) for value in range(23)]
    assert label[0].tolist() == expected


def test_table_with_classes_that_synthia_lacks_is_refused(frames):
    with pytest.raises(ConfigError, match="SYNTHIA has no class terrain, truck, train"):
        FramePixels(frames, DRIVING_TABLES["cityscapes-19"])


def test_13_classes_are_there():
    assert set(DRIVING_TABLES["cityscapes-13"].names) < set(SYNTHIA.ids)
