"""Synscapes: ray-traced street scenes, each of its own world (Wrenninge and Unger 2018)."""

from rsadapt.data.driving import CITYSCAPES_IDS
from rsadapt.data.folder import Files, FolderDataset, Split

SYNSCAPES = FolderDataset(
    title="Synscapes",
    folder="Synscapes",
    layout={"all": Split(Files("img/rgb", (".png",)), Files("img/class", (".png",)), 25000)},
    ids=CITYSCAPES_IDS,
    download=(
        "the archive from synscapes.on.liu.se, which unpacks as Synscapes with img/rgb and "
        "img/class"
    ),
)
"""Frames are 1440 x 720, as the labels; the site describes layout and ids ("the class annotations
follow the Cityscapes convention") on its page on features."""
