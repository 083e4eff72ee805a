"""GTA5: frames of a video game with labels (Richter et al. 2016, "Playing for Data")."""

from rsadapt.data.driving import CITYSCAPES_IDS
from rsadapt.data.folder import Files, FolderDataset, Split

GTA5 = FolderDataset(
    title="GTA5",
    folder="GTA5",
    layout={"all": Split(Files("images", (".png",)), Files("labels", (".png",)), 24966)},
    ids=CITYSCAPES_IDS,
    download=(
        "01_images.zip to 10_images.zip and 01_labels.zip to 10_labels.zip from "
        "download.visinf.tu-darmstadt.de/data/from_games, all unpacked into one folder, so that "
        "it holds images/00001.png and labels/00001.png"
    ),
)
"""Most frames are 1914 x 1052; labels are palette images of Cityscapes label ids, a few of another
size than their image."""
