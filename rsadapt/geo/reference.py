"""Reference samples as points: written for photo-interpretation, and read back interpreted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.classes import ClassScheme
from rsadapt.errors import ConfigError, DataError, MissingFileError, OutputExistsError
from rsadapt.geo.place import own_crs
from rsadapt.geo.raster import Raster
from rsadapt.geo.strata import Strata, Unit

if TYPE_CHECKING:
    from pandas import DataFrame

POINTS, STRATA = "sample", "strata"
"""Layers of a sample's GeoPackage."""

SHOWN = 8
"""The most values that a message lists."""


@dataclass(frozen=True)
class Interpreted:
    """A sample whose points were interpreted.

    Attributes:
        names: of the classes.
        areas: square metres of each in the map.
        counts: points [map classes, reference classes].
        open: points that have no reference yet.
    """

    names: tuple[str, ...]
    areas: tuple[float, ...]
    counts: NDArray[np.int64]
    open: int


def check_sample_file(path: Path) -> None:
    """Refuse what a sample cannot be written to, before any work is done.

    Raises:
        ConfigError: for a name that does not end in .gpkg.
        OutputExistsError: where it exists.
    """
    if path.suffix != ".gpkg":
        raise ConfigError(
            f"{path}: expected the name of a GeoPackage, which ends in .gpkg, found "
            f"'{path.suffix}'; choose such a name"
        )
    if path.exists():
        raise OutputExistsError(f"{path}: exists already; choose another name")


def write_sample(
    path: Path,
    maps: Sequence[Raster],
    scheme: ClassScheme,
    strata: Strata,
    units: Sequence[Unit],
) -> None:
    """Write a sample as a GeoPackage: points to interpret, and the strata that they stand for.

    A point's `reference` is empty, to be filled with the name or the code of the class that is
    there. Its `map_class` is what the map says; an interpreter should not look at it.

    Args:
        path: the GeoPackage.
        maps: the units' maps.
        scheme: their class table.
        strata: of the maps.
        units: what was drawn.

    Raises:
        ConfigError, OutputExistsError: as `check_sample_file`.
        DataError: for a first map without a CRS.
    """
    import pandas
    import pyogrio
    from geopandas import GeoDataFrame, points_from_xy

    check_sample_file(path)
    crs = own_crs(maps[0])
    points = GeoDataFrame(
        {
            "point": range(1, len(units) + 1),
            "reference": pandas.array([None] * len(units), dtype="string"),
            "map_class": [scheme.names[unit.train_id] for unit in units],
            "map": [maps[unit.map].path.name for unit in units],
            "row": [unit.row for unit in units],
            "col": [unit.col for unit in units],
        },
        geometry=points_from_xy([unit.x for unit in units], [unit.y for unit in units]),
        crs=crs.to_wkt(),
    )
    table = pandas.DataFrame(
        {
            "code": scheme.codes,
            "name": scheme.names,
            "pixels": strata.pixels,
            "square_metres": strata.areas,
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".rsadapt-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        pyogrio.write_dataframe(points, part, layer=POINTS, driver="GPKG")
        pyogrio.write_dataframe(table, part, layer=STRATA, driver="GPKG")
        part.rename(path)


def read_sample(path: Path) -> Interpreted:
    """Read an interpreted sample back.

    Raises:
        MissingFileError: for a file that is not there.
        DataError: for a file that is no sample of `write_sample`, or a reference that is neither
            the name nor the code of a class.
    """
    table, points = _layer(path, STRATA), _layer(path, POINTS)
    names = tuple(map(str, _column(table, "name", path)))
    known = {name: number for number, name in enumerate(names)}
    known |= {
        str(code): known[name]
        for name, code in zip(names, table["code"], strict=True)
        if str(code) not in known
    }
    given = [_text(value) for value in _column(points, "reference", path)]
    unknown = Counter(text for text in given if text and text not in known)
    if unknown:
        listed = ", ".join(f"{value!r} ({n})" for value, n in unknown.most_common(SHOWN))
        raise DataError(
            f"{path}: expected references among {', '.join(names)}, or their codes, found {listed}"
        )
    counts = np.zeros((len(names), len(names)), np.int64)
    for text, mapped in zip(given, _column(points, "map_class", path), strict=True):
        if text:
            counts[known[str(mapped)], known[text]] += 1
    areas = tuple(map(float, _column(table, "square_metres", path)))
    return Interpreted(names, areas, counts, sum(not text for text in given))


def _layer(path: Path, layer: str) -> DataFrame:
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    if not path.is_file():
        raise MissingFileError(f"{path}: expected a sample's GeoPackage, found no file")
    try:
        return pyogrio.read_dataframe(path, layer=layer, read_geometry=False)
    except (DataLayerError, DataSourceError, ValueError) as error:
        raise DataError(
            f"{path}: expected a GeoPackage with the layers {POINTS} and {STRATA}, as draw-sample "
            f"writes it, found none ({error}); fill in that file, not a copy of one layer"
        ) from error


def _column(table: DataFrame, name: str, path: Path) -> list[Any]:
    if name not in table.columns:
        raise DataError(
            f"{path}: expected the field '{name}', found {', '.join(map(str, table.columns))}; "
            f"leave the fields that draw-sample wrote"
        )
    return list(table[name])


def _text(value: Any) -> str:
    """A reference as text, empty where there is none."""
    if value is None or value != value:  # noqa: PLR0124 (a missing number is NaN)
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()
