"""Polygons of classes as files: GeoPackage, GeoParquet or FlatGeobuf, and their style beside."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rsadapt.classes import ClassScheme
from rsadapt.errors import ConfigError, DataError, OutputExistsError
from rsadapt.geo.polygon_style import style

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

FORMATS = {".gpkg": "GPKG", ".parquet": "GeoParquet", ".fgb": "FlatGeobuf"}
"""GDAL's, or the common, name of the format that a file's suffix asks for."""

LAYER = "polygons"
"""The layer of a GeoPackage."""


@dataclass(frozen=True)
class PolygonFile:
    """Polygons that were written.

    Attributes:
        path: their file.
        style: how QGIS shows them; it loads by itself as long as it lies beside.
        polygons: how many there are.
        note: worth a word to the user, or nothing.
    """

    path: Path
    style: Path
    polygons: int
    note: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """What was written, the polygons first."""
        return self.path, self.style


def check_polygon_file(path: Path, *, legend: str | None = None, overwrite: bool = False) -> None:
    """Refuse what could not be written, before any work is done.

    Args:
        path: the file.
        legend: of `legend_of`, the content of its style. A style that is there and holds the same,
            as of these polygons in another format, is no hindrance.
        overwrite: whether what is there may be replaced.

    Raises:
        ConfigError: for a suffix of another format, or a format whose library is not installed.
        OutputExistsError: where the file or its style exists and may not be replaced.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(
            f"{path}: expected a file of polygons that ends in {', '.join(FORMATS)}, found "
            f"'{path.suffix}'; name one of them"
        )
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            f"{path}: GeoParquet needs pyarrow, which is not installed; pip install "
            f"'rsadapt[parquet]', or write .gpkg or .fgb"
        )
    style_file = _style_of(path)
    kept = legend is not None and style_file.is_file()
    kept = kept and style_file.read_text(encoding="utf-8", errors="replace") == legend
    for file in (path,) if kept else (path, style_file):
        if file.is_dir() or (file.exists() and not overwrite):
            raise OutputExistsError.left(file, choose="another name")


def legend_of(scheme: ClassScheme, only: Sequence[str] = ()) -> str:
    """The style (QML) of polygons.

    Args:
        scheme: the class table that their codes are of.
        only: names of the classes that it shows; all by default.
    """
    classes = [
        entry
        for entry in zip(scheme.codes, scheme.names, scheme.colours, strict=True)
        if not only or entry[1] in only
    ]
    return style(classes, "class")


def write_polygons(
    path: Path,
    table: GeoDataFrame,
    scheme: ClassScheme,
    *,
    only: Sequence[str] = (),
    note: str = "",
    overwrite: bool = False,
) -> PolygonFile:
    """Write polygons and their style, whole or not at all.

    The style is a file of its own (QML): kept inside a GeoPackage it is a second layer, of which
    geopandas warns whenever the file is read without naming one.

    Args:
        path: the file, whose suffix says its format; missing folders are made.
        table: of `class_polygons`.
        scheme: the class table that its codes are of.
        only: names of the classes that the legend shows; all by default.
        note: for the user, passed on.
        overwrite: replace what is there.

    Raises:
        ConfigError, OutputExistsError: as `check_polygon_file`.
        DataError: where the files cannot be written.
    """
    legend = legend_of(scheme, only)
    check_polygon_file(path, legend=legend, overwrite=overwrite)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            part = Path(folder) / path.name
            _write(part, table)
            _style_of(part).write_text(legend, encoding="utf-8")
            _style_of(part).replace(_style_of(path))
            part.replace(path)
    return PolygonFile(path, _style_of(path), len(table), note)


def _style_of(path: Path) -> Path:
    return path.with_suffix(".qml")


def _write(part: Path, table: GeoDataFrame) -> None:
    import pyogrio

    if part.suffix == ".parquet":
        table.to_parquet(part, index=False, write_covering_bbox=True)
        return
    options = {"VERSION": "1.3"} if part.suffix == ".gpkg" else {}  # GDAL 3.6 is unsure of 1.4
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        pyogrio.write_dataframe(
            table,
            part,
            layer=LAYER,
            driver=FORMATS[part.suffix],
            geometry_type="Polygon",
            dataset_options=options,
        )
    found = pyogrio.read_info(part, force_feature_count=True)["features"]
    if found != len(table):
        raise OSError(f"of {len(table)} polygons {found} can be read back")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        yield
    except (DataLayerError, DataSourceError, OSError) as error:
        raise DataError(
            f"{path} cannot be written ({error}); check that the folder may be written to and "
            f"that the disk has room"
        ) from error
