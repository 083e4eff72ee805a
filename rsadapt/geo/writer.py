"""Write rasters that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import DatasetWriter
from rasterio.windows import Window as RasterioWindow

from rsadapt.errors import DataError, ShapeError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.raster import GDAL_ERRORS, Raster, without_georeference

BLOCK = 512
"""Side of a stored block in pixels; half of it where a raster is smaller."""

SIDECARS = (".aux.xml", ".ovr", ".msk")
"""What GDAL keeps beside a raster: metadata, overviews and masks that belong to that file alone."""

STYLE = ".qml"
"""The suffix of a raster's style beside it, by which QGIS shows it, in place of its own."""

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
    with explained(path), folder_beside(path) as folder:
        part = Path(folder) / path.name
        with create(
            part,
            grid,
            dtype=bands.dtype,
            nodata=nodata,
            descriptions=descriptions or [None] * len(bands),
            colours=colours,
            tags=tags,
        ) as dataset:
            dataset.write(bands)
        publish(part, path)


def write_scratch(
    path: Path, shape: tuple[int, int], blocks: Iterable[tuple[Window, NDArray[np.uint8]]]
) -> None:
    """Write what only the next step of a work reads: one band of uint8 in plain pixels.

    Args:
        path: the GeoTIFF, which has no place on the ground.
        shape: (height, width).
        blocks: windows and their values [height, width]; what none holds is 0.

    Raises:
        DataError: where GDAL cannot write the file.
    """
    grid = Grid(*shape, Affine.identity())
    with (
        explained(path),
        create(
            path,
            grid,
            dtype=np.dtype(np.uint8),
            nodata=None,
            descriptions=[None],
            colours=None,
            tags=None,
        ) as dataset,
    ):
        for window, values in blocks:
            place = RasterioWindow(window.col, window.row, window.width, window.height)
            dataset.write(values, 1, window=place)


def create(
    path: Path,
    grid: Grid,
    *,
    dtype: np.dtype[Any],
    nodata: float | None,
    descriptions: Sequence[str | None],
    colours: Colours | None,
    tags: Mapping[str, str] | None,
    level: int = 6,
) -> DatasetWriter:
    """Open a new tiled GeoTIFF (DEFLATE) for writing, with all that is said of its bands."""
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
            zlevel=level,
            predictor=_predictor(dtype, coded=colours is not None),
            alpha="no",  # GDAL takes the fourth of four uint8 bands for alpha, near-infrared or not
            bigtiff="IF_SAFER",
        )
    for band, description in enumerate(descriptions, start=1):
        if description:
            dataset.set_band_description(band, description)
    if colours is not None:
        dataset.write_colormap(1, dict(colours))
    dataset.update_tags(**(tags or {}))
    return dataset


def _predictor(dtype: np.dtype[Any], *, coded: bool) -> Literal[1, 2, 3]:
    """TIFF's predictor: differences of integers, of floats, or none where they mean nothing."""
    if coded or dtype.kind not in "iuf":
        return 1
    return 3 if dtype.kind == "f" else 2


def folder_beside(path: Path) -> TemporaryDirectory[str]:
    """A hidden folder on the same file system, so that renaming out of it is atomic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)


def publish(part: Path, path: Path) -> None:
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
def explained(path: Path) -> Iterator[None]:
    """Turn what GDAL or the file system reports while writing into an error that names the cure."""
    try:
        yield
    except (*GDAL_ERRORS, OSError, SystemError) as error:  # rasterio: "Unknown GDAL Error"
        told = getattr(error, "strerror", None) or error  # of the system, without its number
        raise DataError(
            f"{path} cannot be written ({told}); check that the folder may be written to and "
            f"that the disk has room"
        ) from error
