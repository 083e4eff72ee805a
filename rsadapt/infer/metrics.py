"""How good a map is: one confusion matrix, from which every figure derives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rsadapt.classes import IGNORE_INDEX, NODATA
from rsadapt.errors import ConfigError, DataError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ConfusionMatrix:
    """Pixels counted by reference class and predicted class.

    A figure whose denominator is zero is NaN, and means leave NaN out. Pixels that the map leaves
    empty are no prediction: they stand in `missed` and in no figure.

    Args:
        num_classes: how many classes there are, 1 to 255.

    Attributes:
        counts: int64 [classes, classes], rows reference, columns predicted.
        missed: pixels whose reference is a class and whose map is nodata.

    Raises:
        ConfigError: for a number of classes outside 1 to 255.
    """

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes <= IGNORE_INDEX:
            raise ConfigError(f"expected 1 to {IGNORE_INDEX} classes, found {num_classes}")
        self.counts: NDArray[np.int64] = np.zeros((num_classes, num_classes), np.int64)
        self.missed = 0

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        total = ConfusionMatrix(len(self.counts))
        total.merge(self)
        total.merge(other)
        return total

    def merge(self, other: ConfusionMatrix) -> None:
        """Add another matrix's pixels to this one's.

        Raises:
            ShapeError: for another number of classes.
        """
        if other.counts.shape != self.counts.shape:
            raise ShapeError(
                f"cannot merge a confusion matrix of {len(other.counts)} classes into one of "
                f"{len(self.counts)}; count both with one class table"
            )
        self.counts += other.counts
        self.missed += other.missed

    def update(self, reference: NDArray[Any], predicted: NDArray[Any]) -> None:
        """Count pixels.

        Args:
            reference: train ids, any integer dtype and shape; 255 is unlabelled and left out.
            predicted: train ids of the same shape; 255 is nodata and counted as missed.

        Raises:
            ShapeError: for arrays of different shape.
            DataError: for floating-point arrays or for ids that are no class.
        """
        if reference.shape != predicted.shape:
            raise ShapeError(
                f"reference and predicted must have one shape, found {reference.shape} and "
                f"{predicted.shape}"
            )
        labelled = reference != IGNORE_INDEX
        rows = self._train_ids(reference[labelled], "reference")
        mapped = predicted[labelled] != NODATA
        columns = self._train_ids(predicted[labelled][mapped], "predicted")
        classes = len(self.counts)
        pairs = np.bincount(rows[mapped] * classes + columns, minlength=classes**2)
        self.counts += pairs.reshape(classes, classes)
        self.missed += int(np.count_nonzero(~mapped))

    def _train_ids(self, ids: NDArray[Any], what: str) -> NDArray[np.int64]:
        """Return ids as int64, refusing what is no train id."""
        if ids.dtype.kind not in "iu":
            raise DataError(f"{what} ids must be integers, found {ids.dtype}")
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self.counts):
            raise DataError(
                f"{what} ids must lie in 0..{len(self.counts) - 1} (or be {IGNORE_INDEX}), found "
                f"{ids.min()}..{ids.max()}; encode raw ids with the class table first"
            )
        return ids.astype(np.int64)

    @property
    def support(self) -> NDArray[np.int64]:
        """Counted pixels of each class in the reference, int64 [classes]."""
        support: NDArray[np.int64] = self.counts.sum(axis=1)
        return support

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union, float64 [classes]; NaN if neither present nor predicted.

        Source: Everingham et al. 2010, "The PASCAL Visual Object Classes Challenge",
        segmentation accuracy: hits / (hits + misses + false alarms).
        """
        return _ratio(self._hits, self.support + self._predicted - self._hits)

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1 score, float64 [classes]; NaN if neither present nor predicted.

        Source: van Rijsbergen 1979, "Information Retrieval", chapter 7: the harmonic mean of
        user's and producer's accuracy.
        """
        return _ratio(2 * self._hits, self.support + self._predicted)

    @property
    def users_accuracy(self) -> NDArray[np.float64]:
        """User's accuracy (precision), float64 [classes]; NaN if never predicted.

        Source: Congalton 1991, "A review of assessing the accuracy of classifications".
        """
        return _ratio(self._hits, self._predicted)

    @property
    def producers_accuracy(self) -> NDArray[np.float64]:
        """Producer's accuracy (recall), float64 [classes]; NaN if never in the reference.

        Source: Congalton 1991, "A review of assessing the accuracy of classifications".
        """
        return _ratio(self._hits, self.support)

    @property
    def miou(self) -> float:
        """Mean IoU of the classes that have one."""
        return _mean(self.iou)

    @property
    def mean_f1(self) -> float:
        """Mean F1 of the classes that have one."""
        return _mean(self.f1)

    @property
    def overall_accuracy(self) -> float:
        """Share of the counted pixels whose class is right; NaN where none is counted."""
        return float(_ratio(self._hits.sum(), self.counts.sum()))

    @property
    def kappa(self) -> float:
        """Cohen's kappa; NaN where agreement by chance is certain or nothing is counted.

        Source: Cohen 1960, "A coefficient of agreement for nominal scales", equation 1.
        """
        pixels = self.counts.sum()
        chance = float(_ratio(self.support, pixels) @ _ratio(self._predicted, pixels))
        return float(_ratio(self.overall_accuracy - chance, 1 - chance))

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return every figure as plain numbers, ready for JSON; NaN is None.

        Args:
            names: the classes' names, in the order of their train ids.

        Returns:
            "classes" (figures by name), "totals", "counts" with its "axes", and "left_out": the
            names of the classes without an IoU, which the means leave out.

        Raises:
            ShapeError: for another number of names than classes.
        """
        if len(names) != len(self.counts):
            raise ShapeError(f"expected {len(self.counts)} class names, found {len(names)}")
        by_class = ("iou", "f1", "users_accuracy", "producers_accuracy")
        columns = {figure: getattr(self, figure).tolist() for figure in by_class}
        overall = ("miou", "mean_f1", "overall_accuracy", "kappa")
        return {
            "classes": {
                name: {figure: _or_none(column[index]) for figure, column in columns.items()}
                | {"support": int(self.support[index])}
                for index, name in enumerate(names)
            },
            "totals": {figure: _or_none(getattr(self, figure)) for figure in overall}
            | {"pixels": int(self.counts.sum()), "missed": self.missed},
            "counts": self.counts.tolist(),
            "axes": "rows reference, columns predicted",
            "left_out": [name for name, iou in zip(names, self.iou, strict=True) if np.isnan(iou)],
        }

    @property
    def _hits(self) -> NDArray[np.int64]:
        return self.counts.diagonal()

    @property
    def _predicted(self) -> NDArray[np.int64]:
        predicted: NDArray[np.int64] = self.counts.sum(axis=0)
        return predicted


def _ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    """Divide, NaN where the whole is zero."""
    part, whole = np.broadcast_arrays(part, whole)
    quotient = np.full(part.shape, np.nan)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean without NaN; NaN where nothing is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
