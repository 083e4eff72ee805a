"""Cross-City (NTHU): streets of four cities (Chen et al. 2017, "No More Discrimination")."""

from rsadapt.data.driving import CITYSCAPES_IDS, DRIVING_TABLES
from rsadapt.data.folder import Files, FolderDataset, Split


def _city(name: str) -> FolderDataset:
    return FolderDataset(
        title=f"Cross-City {name}",
        folder=f"NTHU_Datasets/{name}",
        layout={
            "train": Split(Files("Images/Train", (".jpg", ".png")), None, 3200),
            "test": Split(
                Files("Images/Test", (".jpg", ".png")), Files("Labels/Test", ("_eval.png",)), 100
            ),
        },
        ids={cls: CITYSCAPES_IDS[cls] for cls in DRIVING_TABLES["cityscapes-13"].names},
        download=(
            f"the data set of yihsinchen.github.io/segmentation_adaptation, on request, which "
            f"unpacks as NTHU_Datasets with a folder for each city: {name} holds Images/Train, "
            f"Images/Test and Labels/Test"
        ),
    )


CROSS_CITY = {name: _city(name) for name in ("Rome", "Rio", "Tokyo", "Taipei")}
"""A data set for each city. Labels hold Cityscapes label ids, of which 13 classes are annotated."""
