"""The classes of driving scenes: names, Cityscapes label ids and official colours."""

from __future__ import annotations

from rsadapt.classes import ClassScheme, Colour
from rsadapt.data.folder import other_ids

CITYSCAPES_CLASSES: dict[str, tuple[int, Colour]] = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
"""Label id and colour of the 19 classes that Cityscapes evaluates (Cordts et al. 2016, and the
published label table of the data set), in the order of their train ids."""

CITYSCAPES_IDS = {name: (label_id,) for name, (label_id, _) in CITYSCAPES_CLASSES.items()}
"""Label ids by class name, as data sets that follow Cityscapes use them."""


def driving_table(*without: str) -> ClassScheme:
    """The Cityscapes classes without some; what else an 8-bit label may hold is unlabelled."""
    kept = {name: row for name, row in CITYSCAPES_CLASSES.items() if name not in without}
    ids = tuple((label_id,) for label_id, _ in kept.values())
    return ClassScheme(
        names=tuple(kept),
        ids=ids,
        colours=tuple(colour for _, colour in kept.values()),
        ignored=other_ids(ids),
    )


DRIVING_TABLES: dict[str, ClassScheme] = {
    "cityscapes-19": driving_table(),
    "cityscapes-16": driving_table("terrain", "truck", "train"),
    "cityscapes-13": driving_table("terrain", "truck", "train", "wall", "fence", "pole"),
}
"""The tables that results are published in: GTA5 by 19 classes, SYNTHIA by 16 and 13, Cross-City by
13 (Tsai et al. 2018, arXiv 1802.10349)."""
