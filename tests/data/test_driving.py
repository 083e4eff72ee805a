import numpy as np
import pytest

from rsadapt.classes import IGNORE_INDEX
from rsadapt.data.driving import DRIVING_TABLES

PUBLISHED = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


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
