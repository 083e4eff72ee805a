"""Vector features as labels: drawn onto a scene's pixels, window by window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.location import Location
from rsadapt.geo.place import ground_length

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

VECTOR_SUFFIXES = frozenset(
    {".fgb", ".geojson", ".geojsonl", ".gml", ".gpkg", ".json", ".kml", ".parquet", ".shp"}
)
"""Files that hold features, not pixels."""

SHOWN = 8
"""The most values or fields that a message lists."""

POINTS = (0, 4)
"""What shapely numbers points and multipoints."""

_EMPTY = -1
"""Drawn where no feature lies; no label id is negative."""


@dataclass(frozen=True)
class Legend:
    """Which label ids features are drawn with.

    Attributes:
        attribute: the field that tells a feature's class; None draws all with `inside`.
        ids: label id of each of its values, as text; where features overlap, the value that stands
            later here is drawn over the earlier.
        inside: label id of features where no field tells their class.
        outside: label id where no feature lies; None leaves those pixels unlabelled.
        radius: metres on the ground about a point that it labels too; 0 for its pixel alone.
    """

    attribute: str | None = None
    ids: Mapping[str, int] = field(default_factory=dict)
    inside: int = 1
    outside: int | None = 0
    radius: float = 0.0


class Features:
    """Features of vector files with their label ids, in the order in which they are drawn.

    Args:
        paths: files that geopandas reads; each brings its own CRS. Points mark the pixel that they
            lie in, lines those that they pass.
        legend: which ids they get.
        layer: of the files, where they have several; their first unless given.

    Attributes:
        path: the first file, for messages.

    Raises:
        MissingFileError: for a file that is not there.
        DataError: for files that cannot be read, without a CRS or without features, a field that
            they do not have, or values of it without a label id.
    """

    def __init__(self, paths: Sequence[Path], legend: Legend, *, layer: str | None = None) -> None:
        self.path, self.legend = paths[0], legend
        self._tables = [_table(path, legend, layer) for path in paths]

    def __len__(self) -> int:
        """How many there are."""
        return sum(map(len, self._tables))

    def on(self, grid: Grid, scene: Location) -> DrawnLabels:
        """The labels of a scene.

        Args:
            grid: the scene's.
            scene: its file, for messages.

        Raises:
            DataError: for a scene without a CRS, or where a radius is given, without a ground size.
        """
        import pandas
        import shapely
        from pyproj.exceptions import ProjError

        if grid.crs is None:
            raise DataError(
                f"{scene}: has no CRS, so that the features of {self.path} cannot be placed on it; "
                f"assign one (gdal_edit.py -a_srs), or give labels as a raster"
            )
        try:
            tables = [table.to_crs(grid.crs.to_wkt()) for table in self._tables]
        except ProjError as error:
            raise DataError(
                f"{self.path}: cannot be brought to the CRS of {scene} ({error}); give features in "
                f"that CRS"
            ) from error
        table = pandas.concat(tables).sort_values("rank", kind="stable")
        geometries = np.asarray(table.geometry)
        reached = np.isfinite(shapely.bounds(geometries)).all(axis=1)  # by the projection
        inverse = ~grid.transform

        def to_pixels(points: NDArray[np.float64]) -> NDArray[np.float64]:
            x, y = points.T
            return np.stack(
                [
                    inverse.a * x + inverse.b * y + inverse.c,
                    inverse.d * x + inverse.e * y + inverse.f,
                ],
                axis=1,
            )

        placed = shapely.transform(geometries[reached], to_pixels)
        if self.legend.radius:
            points = np.isin(shapely.get_type_id(placed), POINTS)
            placed[points] = shapely.buffer(placed[points], self._radius(grid, scene))
        ids = table["id"].to_numpy()[reached]
        return DrawnLabels(self.path, grid, placed, ids, self.legend.outside)

    def _radius(self, grid: Grid, scene: Location) -> float:
        """The radius of points in pixels of a grid."""
        pixel = ground_length(grid)
        if pixel is None:
            raise DataError(
                f"{scene}: its CRS {grid.crs} does not say how large a pixel is on the ground, and "
                f"'polygons.radius' is in metres; leave it out, or give labels as a raster"
            )
        return self.legend.radius / pixel


class DrawnLabels:
    """Label ids of a scene, drawn from features when a window is read.

    A pixel belongs to a polygon that holds its centre. A window is drawn as it would be cut from
    the whole.

    Args:
        path: the features' file, for messages.
        grid: the scene's.
        geometries: in pixels of the grid (column, row), in the order in which they are drawn.
        ids: the label id of each.
        outside: label id where no feature lies; None leaves those pixels invalid.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        geometries: NDArray[Any],
        ids: NDArray[np.int32],
        outside: int | None,
    ) -> None:
        from shapely import STRtree

        self.path, self.grid, self.outside = path, grid, outside
        self._geometries, self._ids, self._tree = geometries, ids, STRtree(geometries)

    @property
    def extent(self) -> Window | None:
        """A window that holds all that is drawn; None where no feature comes near the grid."""
        from shapely import box, total_bounds

        height, width = self.grid.shape
        found = self._tree.query(box(0, 0, width, height))
        if not len(found):
            return None
        low, high = np.floor(total_bounds(self._geometries[found]).reshape(2, 2))  # (column, row)
        col, row = (int(n) for n in np.clip(low, 0, (width - 1, height - 1)))
        last_col, last_row = (int(n) for n in np.clip(high, 0, (width - 1, height - 1)))
        return Window(row, col, last_row - row + 1, last_col - col + 1)

    def read(
        self, window: Window | None = None, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Draw the labels of a window, as `Raster.read` reads them.

        Args:
            window: the pixels, all by default.
            bands: there is one.

        Returns:
            Label ids [1, height, width], and whether a pixel has one, bool [height, width].

        Raises:
            ValueError: for a window outside the grid.
        """
        from affine import Affine
        from rasterio.features import rasterize
        from shapely import box

        area = window or self.grid.window
        if not self.grid.window.contains(area):
            raise ValueError(f"a window must lie in the grid of {self.grid.shape}, found {area}")
        found = np.sort(self._tree.query(box(area.col, area.row, area.col_stop, area.row_stop)))
        drawn = np.full((area.height, area.width), _EMPTY, np.int32)
        if len(found):
            rasterize(
                zip(self._geometries[found], self._ids[found].tolist(), strict=True),
                out=drawn,
                transform=Affine.translation(area.col, area.row),
            )
        valid = np.ones(drawn.shape, bool)
        if self.outside is None:
            valid = drawn != _EMPTY
        else:
            drawn[drawn == _EMPTY] = self.outside
        return drawn[np.newaxis], valid


def is_vector(path: Location) -> bool:
    """Whether a file's name says that it holds features."""
    return path.suffix.lower() in VECTOR_SUFFIXES


def read_fields(path: Path) -> list[dict[str, Any]]:
    """What a vector file says of each of its features, without their places.

    Raises:
        MissingFileError: for a file that is not there.
        DataError: for one that cannot be read.
    """
    table = _read(path, None)
    rows: list[dict[str, Any]] = table.drop(columns=table.geometry.name).to_dict("records")
    return rows


def _table(path: Path, legend: Legend, layer: str | None) -> GeoDataFrame:
    """The features of a file with their "id" and their "rank", by which they are drawn."""
    import shapely

    table = _read(path, layer)
    if table.crs is None:
        raise DataError(
            f"{path}: expected features with a CRS, found none; assign it (ogr2ogr -a_srs)"
        )
    geometries = np.asarray(table.geometry)
    present = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    if not np.isfinite(shapely.bounds(geometries[present])).all():
        raise DataError(
            f"{path}: expected coordinates that are numbers, found others; the file is damaged: "
            f"copy or download it again"
        )
    there = table[present]
    if not len(there):
        raise DataError(f"{path}: expected features, found none; name another file or layer")
    if legend.attribute is None:
        return there[["geometry"]].assign(id=np.int32(legend.inside), rank=0)
    values = _values(there, legend, path)
    ranks = {value: rank for rank, value in enumerate(legend.ids)}
    return there[["geometry"]].assign(
        id=np.array([legend.ids[value] for value in values], np.int32),
        rank=[ranks[value] for value in values],
    )


def _values(table: GeoDataFrame, legend: Legend, path: Path) -> list[str]:
    """What the legend's field says of each feature, as text."""
    if legend.attribute not in table.columns:
        fields = [str(name) for name in table.columns if name != table.geometry.name]
        raise DataError(
            f"{path}: expected the field '{legend.attribute}', found {', '.join(fields[:SHOWN])}; "
            f"name one of them as 'polygons.field'"
        )
    values = [str(value) for value in table[legend.attribute]]
    unknown = Counter(value for value in values if value not in legend.ids)
    if unknown:
        listed = ", ".join(f"{value!r} ({n})" for value, n in unknown.most_common(SHOWN))
        raise DataError(
            f"{path}: expected values of '{legend.attribute}' among {', '.join(legend.ids)}, found "
            f"{listed}; give each a label id in 'polygons.ids', an ignored one if it is no class"
        )
    return values


def _read(path: Path, layer: str | None) -> GeoDataFrame:
    import geopandas
    from pyogrio.errors import DataLayerError, DataSourceError
    from shapely.errors import ShapelyError

    damage = (DataSourceError, DataLayerError, ShapelyError)
    if not path.is_file():
        raise MissingFileError(f"{path}: expected a vector file, found none; check the path")
    try:
        if path.suffix.lower() == ".parquet":
            return geopandas.read_parquet(path)
        return geopandas.read_file(path, **({} if layer is None else {"layer": layer}))
    except ImportError as error:
        raise DataError(f"{path}: GeoParquet needs pyarrow; pip install pyarrow") from error
    except (*damage, LookupError, ValueError, OSError) as error:
        raise DataError(
            f"{path}: expected features that GDAL reads, found none ({error}); copy or download "
            f"the file again, or name its layer"
        ) from error
