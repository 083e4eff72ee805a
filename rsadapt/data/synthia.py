"""SYNTHIA-RAND-CITYSCAPES: rendered street scenes with labels (Ros et al. 2016)."""

from rsadapt.data.folder import Files, FolderDataset, Split

SYNTHIA = FolderDataset(
    title="SYNTHIA",
    folder="RAND_CITYSCAPES",
    layout={"all": Split(Files("RGB", (".png",)), Files("GT/LABELS", (".png",)), 9400)},
    ids={
        "sky": (1,),
        "building": (2,),
        "road": (3,),
        "sidewalk": (4,),
        "fence": (5,),
        "vegetation": (6,),
        "pole": (7,),
        "car": (8,),
        "traffic sign": (9,),
        "person": (10,),
        "bicycle": (11,),
        "motorcycle": (12,),
        "traffic light": (15,),
        "rider": (17,),
        "bus": (19,),
        "wall": (21,),
    },
    label_channel=0,
    download=(
        "SYNTHIA_RAND_CITYSCAPES.rar (SYNTHIA-RAND-CITYSCAPES, CVPR16) from synthia-dataset.net, "
        "which unpacks as RAND_CITYSCAPES with RGB and GT/LABELS"
    ),
)
"""Frames are 1280 x 760; labels have 16 bits a channel: the class is in the first, the instance
in the second. Terrain (16), truck (18) and train (20) have an id and no pixel; parking slots (13),
road work (14) and lane marks (22) have no Cityscapes class and are unlabelled, as in published
results."""
