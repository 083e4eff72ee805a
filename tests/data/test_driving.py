import numpy as np
import pytest

from rsadapt.classes import IGNORE_INDEX
from rsadapt.data.driving import DRIVING_TABLES

PUBLISHED = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


OFFICIAL = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
"""Colours by name in the order of train ids, as the data set's own label table has them."""


def test_names_and_colours_are_the_official_ones():
    table = DRIVING_TABLES["cityscapes-19"]
    assert list(zip(table.names, table.colours, strict=True)) == list(OFFICIAL.items())


def test_19_classes_are_encoded_as_published():
    raw = np.arange(256, dtype=np.uint8)
    expected = np.full(256, IGNORE_INDEX)
    expected[PUBLISHED] = np.arange(19)
    assert np.array_equal(DRIVING_TABLES["cityscapes-19"].encode(raw), expected)


@pytest.mark.parametrize("name", DRIVING_TABLES)
def test_every_8_bit_id_is_known_once(name):
    table = DRIVING_TABLES[name]
    assert sorted([*table.codes, *table.ignored]) == list(range(256))
    assert len(table) == int(name.rpartition("-")[2])


def test_smaller_tables_keep_order_ids_and_colours():
    full, smaller = DRIVING_TABLES["cityscapes-19"], DRIVING_TABLES["cityscapes-13"]
    rows = list(zip(full.names, full.ids, full.colours, strict=True))
    kept = list(zip(smaller.names, smaller.ids, smaller.colours, strict=True))
    assert [row for row in rows if row in kept] == kept
