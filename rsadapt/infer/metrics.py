"""How good a map is: one confusion matrix, from which every figure derives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rsadapt.classes import IGNORE_INDEX, NODATA
from rsadapt.errors import ConfigError, DataError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTEST_RUN = 5
"""Mean length of runs of equal pixels from which on they, not pixels, are counted.

Of 2048 x 1024 pixels, runs of 5.4 were counted in 5.1 ms where pixels took 5.7, runs of 3.7 in 6.6.
"""

SAMPLED = 16
"""A first look at the length of runs takes this part of a map, from its middle."""

CHUNK = 1 << 16
"""Pixels counted at once, so that what they need stays in the processor's cache."""


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
        for ids, what in ((reference, "reference"), (predicted, "predicted")):
            if ids.dtype.kind not in "iu":
                raise DataError(f"{what} ids must be integers, found {ids.dtype}")
        if not (_fit_a_byte(reference) and _fit_a_byte(predicted)):
            self._refuse_no_class(reference, predicted)
        rows, columns, lengths = _runs(_flat_bytes(reference), _flat_bytes(predicted))
        pairs = _count_pairs(rows, columns, lengths, len(self.counts) + 1)
        if pairs is None:
            self._refuse_no_class(reference, predicted)
            # Where nothing is labelled, a prediction may be anything.
            columns = np.where(rows == IGNORE_INDEX, np.uint8(NODATA), columns)
            pairs = _count_pairs(rows, columns, lengths, len(self.counts) + 1)
            assert pairs is not None  # every id is a class now
        self.counts += pairs[1:, 1:]
        self.missed += int(pairs[1:, 0].sum())

    def _refuse_no_class(self, reference: NDArray[Any], predicted: NDArray[Any]) -> None:
        """Raise a DataError for ids that are no class, in what is labelled and what is mapped."""
        labelled = reference != IGNORE_INDEX
        mapped = labelled & (predicted != NODATA)
        for ids, what in ((reference[labelled], "reference"), (predicted[mapped], "predicted")):
            if ids.size and not 0 <= ids.min() <= ids.max() < len(self.counts):
                raise DataError(
                    f"{what} ids must lie in 0..{len(self.counts) - 1} (or be {IGNORE_INDEX}), "
                    f"found {ids.min()}..{ids.max()}; encode raw ids with the class table first"
                )

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


def _fit_a_byte(ids: NDArray[Any]) -> bool:
    return ids.dtype == np.uint8 or ids.size == 0 or bool(0 <= ids.min() <= ids.max() <= 255)


def _flat_bytes(ids: NDArray[Any]) -> NDArray[np.uint8]:
    return ids.astype(np.uint8, copy=False).reshape(-1)


def _runs(
    rows: NDArray[np.uint8], columns: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.intp] | None]:
    """Join neighbouring pixels that have the same pair of ids.

    Maps are patches: from one pixel to the next the pair seldom changes.

    Returns:
        Row and column of each run, and how many pixels long it is; or of each pixel and None, where
        runs are too short to gain anything.
    """
    middle = slice(rows.size // 2, rows.size // 2 + rows.size // SAMPLED)
    if _short(_ends(rows[middle], columns[middle])):
        return rows, columns, None
    ends = _ends(rows, columns)
    if _short(ends):
        return rows, columns, None
    places = np.flatnonzero(ends)
    return rows[places], columns[places], np.diff(places, prepend=-1)


def _ends(rows: NDArray[np.uint8], columns: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether a pixel is the last of a run of one pair of ids."""
    ends = np.ones(rows.size, np.bool_)
    np.not_equal(rows[1:], rows[:-1], out=ends[:-1])
    ends[:-1] |= columns[1:] != columns[:-1]
    return ends


def _short(ends: NDArray[np.bool_]) -> bool:
    """Whether runs are so short that pixels are counted faster."""
    return int(np.count_nonzero(ends)) * SHORTEST_RUN > ends.size


def _count_pairs(
    rows: NDArray[np.uint8],
    columns: NDArray[np.uint8],
    lengths: NDArray[np.intp] | None,
    side: int,
) -> NDArray[np.int64] | None:
    """Count how often each pair of row and column occurs.

    Args:
        rows: ids, 0..side - 2 or 255.
        columns: ids of the same size and range.
        lengths: how often each pair counts; once by default.
        side: 256 at most, so that a pair fits 16 bits.

    Returns:
        int64 [side, side], 255 first and then the others in order: 255 + 1 is 0 in uint8. None
        where there is another id.
    """
    # Adding to the bin that was added to just before takes nearly twice as long, as the processor
    # waits for it: neighbours are counted in tables of their own.
    tables = min(4, 2**16 // side**2)
    firsts = np.arange(tables, dtype=np.uint16) * np.uint16(side**2 % 2**16)
    size = min(rows.size, CHUNK)
    offsets = np.tile(firsts, size // tables + 1)[:size]
    places, others = np.empty(size, np.uint8), np.empty(size, np.uint8)
    pairs = np.empty(size, np.uint16)
    counts = np.zeros(tables * side**2, np.int64)
    for start in range(0, rows.size, CHUNK):
        part = slice(start, start + CHUNK)
        here = slice(0, rows[part].size)
        row = np.add(rows[part], np.uint8(1), out=places[here])
        column = np.add(columns[part], np.uint8(1), out=others[here])
        if max(row.max(), column.max()) >= side:
            return None
        bins = np.multiply(row, np.uint16(side), out=pairs[here])
        bins += column
        bins += offsets[here]
        weights = None if lengths is None else lengths[part]
        counts += np.bincount(bins, weights, minlength=counts.size).astype(np.int64)
    total: NDArray[np.int64] = counts.reshape(tables, side, side).sum(axis=0)
    return total


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
