"""The class table: names, colours, raw label ids and train ids of the classes, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rsadapt.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORE_INDEX = 255
"""Train id of unlabelled pixels: valid imagery that supervised losses and metrics leave out."""

NODATA = 255
"""Code of invalid pixels in every class map."""

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
    ) -> NDArray[np.uint8]:
        """Turn raw ids into train ids.

        Args:
            raw: raw label ids, any integer dtype and shape.
            valid: where they are to be believed, of the same shape; everywhere by default.
            where: the file they come from, for the error.

        Returns:
            Train ids of the same shape, `IGNORE_INDEX` for ignored ids and invalid pixels.

        Raises:
            DataError: for ids that the table does not know, listed with their counts.
        """
        if valid is not None:
            train_ids = np.full(raw.shape, IGNORE_INDEX, np.uint8)
            train_ids[valid] = self.encode(raw[valid], where=where)
            return train_ids
        values, inverse, counts = np.unique(raw, return_inverse=True, return_counts=True)
        train = {value: index for index, ids in enumerate(self.ids) for value in ids}
        train.update(dict.fromkeys(self.ignored, IGNORE_INDEX))
        unknown = [
            f"{int(value)} ({int(count)} pixels)"
            for value, count in zip(values, counts, strict=True)
            if value not in train
        ]
        if unknown:
            raise DataError(
                f"{where}: label ids outside the class table: {', '.join(unknown)}; "
                f"known are {sorted(train)}; add them to 'classes' or to 'ignored_ids'"
            )
        table = np.array([train[int(value)] for value in values], dtype=np.uint8)
        encoded: NDArray[np.uint8] = table[inverse].reshape(raw.shape)
        return encoded

    def decode(self, train: NDArray[Any]) -> NDArray[np.uint8]:
        """Turn train ids (and `IGNORE_INDEX`) into the codes of maps (and `NODATA`)."""
        table = np.full(256, NODATA, np.uint8)
        table[: len(self)] = self.codes
        codes: NDArray[np.uint8] = table[train]
        return codes

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
