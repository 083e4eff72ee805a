"""Write rasters and cloud-optimised maps that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.io import DatasetWriter
from rasterio.windows import Window as RasterioWindow

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError, OutputExistsError, ShapeError
from rsadapt.geo.grid import Grid
from rsadapt.geo.legend import auxiliary_xml, raster_style
from rsadapt.geo.raster import GDAL_ERRORS, Raster, without_georeference

BLOCK = 512
"""Side of a stored block in pixels; half of it where a raster is smaller."""

SIDECARS = (".aux.xml", ".ovr", ".msk")
"""What GDAL keeps beside a raster: metadata, overviews and masks that belong to that file alone."""

STYLE = ".qml"
"""The suffix of a raster's style beside it, by which QGIS shows it, in place of its own."""

OverviewResampling = Literal["mode", "average", "nearest"]
Colours = Mapping[int, tuple[int, int, int]]


def write_raster(
    path: Path | str,
    values: NDArray[Any],
    grid: Grid,
    *,
    nodata: float | None = None,
    descriptions: Sequence[str | None] | None = None,
    colours: Colours | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write an array as a tiled GeoTIFF (DEFLATE), in place of what is there.

    It is written under a temporary name beside `path` and renamed when whole. No band is taken
    for alpha, not even the fourth of four.

    Args:
        path: the GeoTIFF; missing folders are made.
        values: [bands, height, width] or [height, width], any dtype that GeoTIFF knows.
        grid: the pixels' place on the ground.
        nodata: the value of missing pixels.
        descriptions: a name for each band.
        colours: red, green and blue (0..255) of each value, for one band of uint8 or uint16.
        tags: further metadata.

    Raises:
        ShapeError: for values that do not fit the grid or descriptions that do not fit the bands.
        DataError: where GDAL cannot write the file.
    """
    path = Path(path)
    bands = values[np.newaxis] if values.ndim == 2 else values
    if bands.ndim != 3 or bands.shape[1:] != grid.shape:
        raise ShapeError(
            f"{path}: expected values [bands, {grid.height}, {grid.width}], found {values.shape}"
        )
    if descriptions is not None and len(descriptions) != len(bands):
        raise ShapeError(
            f"{path}: expected {len(bands)} descriptions, one a band, found {len(descriptions)}"
        )
    with _explained(path), _folder_beside(path) as folder:
        part = Path(folder) / path.name
        with _create(
            part,
            grid,
            dtype=bands.dtype,
            nodata=nodata,
            descriptions=descriptions or [None] * len(bands),
            colours=colours,
            tags=tags,
        ) as dataset:
            dataset.write(bands)
        _publish(part, path)


class MapWriter:
    """A map of one band, written row by row, that becomes a cloud-optimised GeoTIFF when whole.

    Rows go into a temporary GeoTIFF beside `path`. Leaving the context copies that to a COG
    (blocks of 512, DEFLATE, overviews) and renames it to `path`. After an exception, or a kill,
    what was or was not at `path` before is unchanged. Memory stays within GDAL's block cache.

    Args:
        path: the map; missing folders are made.
        grid: the pixels' place on the ground.
        dtype: NumPy name of the values' type.
        nodata: the code of invalid pixels.
        description: name of the band.
        scheme: the classes, of a class map: it gets their palette, and beside it their names and
            colours as GDAL, QGIS and ArcGIS read them (`.aux.xml`, `.qml`).
        tags: further metadata.
        scale: what a stored value is multiplied with to give the quantity it stands for.
        overview_resampling: `mode` or `nearest` for codes, so that overviews hold only codes that
            are in the map; `average` for quantities.
        overwrite: whether a file at `path` may be replaced.

    Raises:
        OutputExistsError: on entering, where `path` exists and may not be replaced.
        DataError: where GDAL cannot write, or where rows are missing on leaving.
    """

    def __init__(
        self,
        path: Path | str,
        grid: Grid,
        *,
        dtype: str,
        nodata: float | None,
        description: str,
        scheme: ClassScheme | None = None,
        tags: Mapping[str, str] | None = None,
        scale: float | None = None,
        overview_resampling: OverviewResampling,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.grid = grid
        self.dtype = np.dtype(dtype)
        self._nodata = nodata
        self._description = description
        self._scheme = scheme
        self._tags = tags
        self._scale = scale
        self._overview_resampling = overview_resampling
        self._overwrite = overwrite

    def __enter__(self) -> MapWriter:
        if self.path.exists() and not self._overwrite:
            raise OutputExistsError(
                f"{self.path} exists already; choose another place or allow overwriting"
            )
        with ExitStack() as stack, _explained(self.path):
            folder = Path(stack.enter_context(_folder_beside(self.path)))
            self._rows, self._part = folder / f"rows.{self.path.name}", folder / self.path.name
            self._dataset = _create(
                self._rows,
                self.grid,
                dtype=self.dtype,
                nodata=self._nodata,
                descriptions=[self._description],
                colours=None if self._scheme is None else _palette(self._scheme),
                tags=self._tags,
                scale=self._scale,
            )
            self._temporaries = stack.pop_all()
        self._next_row = 0
        return self

    def write_rows(self, row: int, values: NDArray[Any]) -> None:
        """Write the next rows.

        Args:
            row: the first of them, which is the one after the last that was written.
            values: [rows, width] in the map's dtype.

        Raises:
            ShapeError: for rows of another width or more than the map has left.
            ValueError: for rows out of order or of another dtype.
            DataError: where GDAL cannot write.
        """
        left = self.grid.height - self._next_row
        if values.ndim != 2 or values.shape[1] != self.grid.width or len(values) > left:
            raise ShapeError(
                f"{self.path}: expected rows [up to {left}, {self.grid.width}], "
                f"found {values.shape}"
            )
        if row != self._next_row or values.dtype != self.dtype:
            raise ValueError(
                f"{self.path}: expected row {self._next_row} next, of {self.dtype}, "
                f"found row {row}, of {values.dtype}"
            )
        with _explained(self.path):
            place = RasterioWindow(0, row, self.grid.width, len(values))
            self._dataset.write(values, 1, window=place)
        self._next_row += len(values)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._temporaries, _explained(self.path):
            self._dataset.close()
            if error is None:
                self._finish()

    def _finish(self) -> None:
        if self._next_row < self.grid.height:
            raise DataError(
                f"{self.path}: expected {self.grid.height} rows, found {self._next_row}; "
                f"write all of them before leaving"
            )
        rasterio.shutil.copy(
            self._rows,
            self._part,
            driver="COG",
            blocksize=BLOCK,
            compress="DEFLATE",
            predictor="YES" if self._scheme is None else "NO",
            overview_resampling=self._overview_resampling,
            bigtiff="IF_SAFER",
            statistics="YES",
        )
        if self._scheme is not None:
            _write_legend(self._part, self._scheme)
        _publish(self._part, self.path)


def _palette(scheme: ClassScheme) -> Colours:
    return dict(zip(scheme.codes, scheme.colours, strict=True))


def _write_legend(part: Path, scheme: ClassScheme) -> None:
    """Say beside a class map what its codes mean, where GIS programs look for it."""
    Path(f"{part}.aux.xml").write_text(auxiliary_xml(scheme), encoding="utf-8")
    part.with_suffix(STYLE).write_text(raster_style(scheme), encoding="utf-8")


def _create(
    path: Path,
    grid: Grid,
    *,
    dtype: np.dtype[Any],
    nodata: float | None,
    descriptions: Sequence[str | None],
    colours: Colours | None,
    tags: Mapping[str, str] | None,
    scale: float | None = None,
) -> DatasetWriter:
    block = BLOCK if min(grid.shape) >= BLOCK else BLOCK // 2
    with without_georeference():
        dataset = rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=grid.height,
            width=grid.width,
            count=len(descriptions),
            dtype=dtype.name,
            crs=grid.crs,
            transform=grid.transform,
            nodata=nodata,
            tiled=True,
            blockxsize=block,
            blockysize=block,
            compress="deflate",
            predictor=_predictor(dtype, coded=colours is not None),
            alpha="no",  # GDAL takes the fourth of four uint8 bands for alpha, near-infrared or not
            bigtiff="IF_SAFER",
        )
    for band, description in enumerate(descriptions, start=1):
        if description:
            dataset.set_band_description(band, description)
    if colours is not None:
        dataset.write_colormap(1, dict(colours))
    if scale is not None:
        dataset.scales = (scale,)
    dataset.update_tags(**(tags or {}))
    return dataset


def _predictor(dtype: np.dtype[Any], *, coded: bool) -> Literal[1, 2, 3]:
    """TIFF's predictor: differences of integers, of floats, or none where they mean nothing."""
    if coded or dtype.kind not in "iuf":
        return 1
    return 3 if dtype.kind == "f" else 2


def _folder_beside(path: Path) -> TemporaryDirectory[str]:
    """A hidden folder on the same file system, so that renaming out of it is atomic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)


def _publish(part: Path, path: Path) -> None:
    """Give a finished file its name, together with its sidecars and without those of another."""
    _read_back(part)
    style = part.with_suffix(STYLE)
    if style.exists():
        style.replace(path.with_suffix(STYLE))
    for suffix in SIDECARS:
        old, new = (Path(f"{file}{suffix}") for file in (path, part))
        if new.exists():
            new.replace(old)
        else:
            old.unlink(missing_ok=True)
    part.replace(path)


def _read_back(part: Path) -> None:
    """Decode every pixel, about a second for 100 megapixels.

    Where the disk fills up while GDAL closes a file, neither GDAL nor rasterio reports it.
    """
    try:
        raster = Raster(part)
        for window in raster.blocks():
            raster.read(window)
    except DataError as error:
        raise OSError("what was written cannot be read back") from error


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what GDAL or the file system reports while writing into an error that names the cure."""
    try:
        yield
    except (*GDAL_ERRORS, OSError, SystemError) as error:  # rasterio: "Unknown GDAL Error"
        raise DataError(
            f"{path} cannot be written ({error}); check that the folder may be written to and "
            f"that the disk has room"
        ) from error
