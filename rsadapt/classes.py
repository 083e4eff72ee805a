"""The class table: names, colours, raw label ids and train ids of the classes, in one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rsadapt.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORE_INDEX = 255
"""Train id of unlabelled pixels: valid imagery that supervised losses and metrics leave out."""

SHOWN = 20
"""The most ids that a message lists."""

NODATA = 255
"""Code of invalid pixels in every class map."""

CONFIDENCE_STEPS = 254
"""Confidence maps hold probability x 254 as uint8, which leaves 255 to nodata."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassScheme:
    """Which classes there are and how label rasters and maps encode them.

    A class's position is its train id. Labels on disk hold raw ids, of which a class may have
    several; the first is the code that maps carry, so that a map and its labels read alike.

    Attributes:
        names: one name a class.
        ids: the raw ids of each class.
        colours: red, green and blue of each class, 0..255.
        ignored: raw ids of unlabelled pixels.

    Raises:
        ConfigError: for lists of different length, a name or an id given twice, no class or more
            than 255 of them, or a map code outside 0..254.
    """

    names: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    colours: tuple[Colour, ...]
    ignored: tuple[int, ...] = (IGNORE_INDEX,)

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= IGNORE_INDEX:
            raise ConfigError(f"expected 1 to {IGNORE_INDEX} classes, found {len(self.names)}")
        if not len(self.names) == len(self.ids) == len(self.colours):
            raise ConfigError(
                f"a class table needs as many names, ids and colours as classes, found "
                f"{len(self.names)}, {len(self.ids)} and {len(self.colours)}"
            )
        if len(set(self.names)) < len(self.names):
            raise ConfigError(f"class names must differ, found {', '.join(self.names)}")
        seen: set[int] = set()
        for name, ids in zip(self.names, self.ids, strict=True):
            if not ids:
                raise ConfigError(f"class '{name}' has no label id; give it at least one")
            if not 0 <= ids[0] < NODATA:
                raise ConfigError(
                    f"class '{name}': the first id is the code in maps and must lie in "
                    f"0..{NODATA - 1}, found {ids[0]}"
                )
            for value in ids:
                if value in seen:
                    raise ConfigError(f"label id {value} stands in the class table twice")
                seen.add(value)
        both = sorted(seen.intersection(self.ignored))
        if both:
            raise ConfigError(f"label ids {both} are a class and ignored at once; choose one")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def codes(self) -> tuple[int, ...]:
        """The code of each class in maps: its first raw id."""
        return tuple(ids[0] for ids in self.ids)

    def encode(
        self,
        raw: NDArray[Any],
        valid: NDArray[np.bool_] | None = None,
        *,
        where: object = "the labels",
        unknown: Counter[Any] | None = None,
    ) -> NDArray[np.uint8]:
        """Turn raw ids into train ids.

        Args:
            raw: raw label ids, any integer dtype and shape.
            valid: where they are to be believed, of the same shape; everywhere by default.
            where: the file they come from, for the error.
            unknown: where ids that the table does not know are counted, instead of refused.

        Returns:
            Train ids of the same shape, `IGNORE_INDEX` for ignored ids and invalid pixels.

        Raises:
            DataError: for ids that the table does not know, listed with their counts.
        """
        train = {value: index for index, ids in enumerate(self.ids) for value in ids}
        train.update(dict.fromkeys(self.ignored, IGNORE_INDEX))
        none = len(self)  # no class has it; of 255 classes it is what ignored ids get, too
        train_ids = _look_up(raw, train, none)
        if valid is not None:
            train_ids[~valid] = IGNORE_INDEX
        lost = train_ids == none if valid is None else (train_ids == none) & valid
        if lost.any():
            found = _not_in(train, raw[lost])
            train_ids[lost] = IGNORE_INDEX
            if unknown is not None:
                unknown.update(found)
            elif found:
                raise DataError(f"{where}: {self.words_of_unknown(found)}")
        return train_ids

    def words_of_unknown(self, unknown: Counter[Any]) -> str:
        """What is wrong with ids that the table does not know, by id with its count."""
        listed = ", ".join(
            f"{value} ({count} pixels)" for value, count in sorted(unknown.most_common(SHOWN))
        )
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        known = sorted({value for ids in self.ids for value in ids}.union(self.ignored))
        return (
            f"label ids outside the class table: {listed}{more}; known are {known}; add them to "
            f"'classes' or to 'ignored_ids'"
        )

    def decode(self, train: NDArray[Any]) -> NDArray[np.uint8]:
        """Turn train ids (and `IGNORE_INDEX`) into the codes of maps (and `NODATA`)."""
        table = np.full(256, NODATA, np.uint8)
        table[: len(self)] = self.codes
        codes: NDArray[np.uint8] = table[train]
        return codes

    def paint(self, train: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Paint train ids in their classes' colours, `IGNORE_INDEX` white; uint8 [..., 3]."""
        table = np.full((256, 3), 255, np.uint8)
        table[: len(self)] = self.colours
        picture: NDArray[np.uint8] = table[train]
        return picture

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain lists, for checkpoints and reports."""
        return asdict(self)

    @classmethod
    def from_dict(cls, table: dict[str, Sequence[Any]]) -> ClassScheme:
        """Rebuild a table from `to_dict`."""
        return cls(
            names=tuple(table["names"]),
            ids=tuple(tuple(ids) for ids in table["ids"]),
            colours=tuple((c[0], c[1], c[2]) for c in table["colours"]),
            ignored=tuple(table["ignored"]),
        )


def _look_up(raw: NDArray[Any], train: dict[int, int], unknown: int) -> NDArray[np.uint8]:
    """Return the train id of each raw id, `unknown` where it has none; uint8 of the same shape.

    Up to 16 bits a table has a place for every id there could be; beyond that the ids that there
    are must be sorted out first.
    """
    raw = _narrowed(raw)
    if raw.dtype.kind not in "iu" or raw.dtype.itemsize > 2:
        values, inverse = np.unique(raw, return_inverse=True)
        found = np.array([train.get(value, unknown) for value in values], np.uint8)
        return np.asarray(found[inverse]).reshape(raw.shape)
    limits = np.iinfo(raw.dtype)
    table = np.full(256**raw.dtype.itemsize, unknown, np.uint8)
    for value, index in train.items():
        if limits.min <= value <= limits.max:
            table[value % table.size] = index  # a negative id stands where its bits read unsigned
    bits = raw.astype(f"u{raw.dtype.itemsize}", copy=False)
    if bits.itemsize == 1:
        # 1.4 ms for 2048 x 1024 pixels, where indexing the table takes 4.8.
        translated = bytearray(bits.data).translate(table.tobytes())
        return np.frombuffer(translated, np.uint8).reshape(raw.shape)
    return np.asarray(table[bits])  # of a single id, indexing alone makes a scalar


def _narrowed(raw: NDArray[Any]) -> NDArray[Any]:
    """Return wide integers as 16-bit ones where their values allow."""
    if raw.dtype.kind in "iu" and raw.dtype.itemsize > 2 and raw.size:
        lowest, highest = raw.min(), raw.max()
        for narrow in (np.int16, np.uint16):
            if np.iinfo(narrow).min <= lowest and highest <= np.iinfo(narrow).max:
                return raw.astype(narrow)
    return raw


def _not_in(train: dict[int, int], raw: NDArray[Any]) -> Counter[Any]:
    """Count the ids which are not in the table."""
    values, counts = np.unique(raw, return_counts=True)
    return Counter(
        {
            value: count
            for value, count in zip(values.tolist(), counts.tolist(), strict=True)
            if value not in train
        }
    )
