"""Augmentation of images of any number of bands, through albumentations."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network

import albumentations

Augmentation = Literal["dihedral", "flip"]


class Augmenter:
    """A pipeline of named augmentations whose result depends on its input and a seed only.

    * "dihedral": one of the eight flips and quarter turns of a square.
    * "flip": left and right change places in half of the samples, as scenes with an up and a down
      bear it.

    Invalid pixels stay 0 and turn with the image.

    Args:
        names: which augmentations, in order.
    """

    def __init__(self, names: list[Augmentation]) -> None:
        steps = {
            "dihedral": albumentations.D4(p=1),
            "flip": albumentations.HorizontalFlip(p=0.5),
        }
        self.pipeline = albumentations.Compose([steps[name] for name in names])

    def __call__(
        self,
        image: NDArray[np.float32],
        valid: NDArray[np.bool_],
        label: NDArray[np.int64] | None,
        *,
        seed: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64] | None]:
        """Augment one sample.

        Args:
            image: float32 [bands, height, width], 0 where invalid.
            valid: bool [height, width].
            label: int64 [height, width] or None.
            seed: decides every random choice.

        Returns:
            Image, validity and label of the same kinds; height and width may have changed places.
        """
        self.pipeline.set_random_seed(seed)
        masks = [valid.astype(np.uint8)] + ([] if label is None else [label.astype(np.uint8)])
        out: dict[str, Any] = self.pipeline(image=np.moveaxis(image, 0, -1), masks=masks)
        new_valid = out["masks"][0].astype(bool)
        new_image = np.ascontiguousarray(np.moveaxis(out["image"], -1, 0), dtype=np.float32)
        new_label = None if label is None else out["masks"][1].astype(np.int64)
        return new_image * new_valid, new_valid, new_label
