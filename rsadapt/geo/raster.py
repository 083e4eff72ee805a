"""Read windows of rasters together with their validity; the only place that opens rasters."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.drivers import raster_driver_extensions
from rasterio.enums import ColorInterp, Interleaving
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window as RasterioWindow

from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.forking import gate
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.location import Location, Remote, Subdataset, gdal_name, is_networked, located
from rsadapt.geo.remote import where_read

BLOCK_PIXELS = 4 * 1024 * 1024
"""The most pixels of one window of `Raster.blocks`, unless asked otherwise."""

OPEN_FILES = 64
"""The most rasters a thread holds open; a process may often open no more than 1024 files."""

ALPHA_TYPES = ("uint8", "uint16")
"""Types of which GDAL takes an alpha band for a mask; of others it says that all is valid."""

GDAL_ERRORS = (RasterioError, CRSError, CPLE_BaseError)
"""Everything by which rasterio reports that GDAL failed."""

SHOWN = 8
"""The most data sets of a file that a message lists."""

_opening = threading.Lock()


class Raster:
    """A raster, read window by window, from any number of threads and processes.

    Every thread reads through a handle of its own, opened when it first reads; remote rasters are
    read by threads of `rsadapt.geo.remote`. A raster pickles as its path and is described anew
    where it is unpickled.

    Args:
        path: the file or address, in any format that GDAL reads; text as `located` understands it.

    Attributes:
        path: the file or address.
        grid: its pixels and their place on the ground.
        count: bands, alpha among them.
        dtype: NumPy name of the type that `read` returns.
        stored: NumPy name of the type in the file; another where its bands state scale or offset.
        scales: what the stored values of each band are multiplied with.
        offsets: what is then added.
        nodata: the stored value of missing pixels, or None.
        block_shape: (rows, columns) of the blocks that the file is stored in.
        descriptions: a name or None for each band.
        colours: what each band shows, such as "red", "alpha" or "undefined".
        tags: further metadata of the file.
        coded: whether values are entries of a palette, of which no mean can be taken.
        control: ground control points, of a file that they place instead of a transform.
        control_crs: the CRS of the control points' coordinates, or None.

    Raises:
        MissingFileError: where there is no such file, or a server does not give it.
        DataError: where GDAL cannot open it, or it holds no band, bands of several types, pixels
            without an area, or a scale that makes all values one.
    """

    path: Location

    def __init__(self, path: Location | str) -> None:
        self.path = located(path) if isinstance(path, str) else path
        where_read(self.path, self._describe)

    def _describe(self) -> None:
        with gate, open_raster(self.path) as dataset:
            self.grid = _grid(dataset, self.path)
            self.count: int = dataset.count
            self.stored: str = dataset.dtypes[0]
            self.scales, self.offsets = _scaling(dataset, self.path)
            self.dtype: str = _scaled_type(self.stored) if self._scaled else self.stored
            self.nodata: float | None = dataset.nodata
            self.block_shape: tuple[int, int] = dataset.block_shapes[0]
            self.descriptions: tuple[str | None, ...] = dataset.descriptions
            self.tags: dict[str, str] = dataset.tags(ns="IMAGERY") | dataset.tags()
            self.colours: tuple[str, ...] = tuple(colour.name for colour in dataset.colorinterp)
            self.coded: bool = ColorInterp.palette in dataset.colorinterp
            self.control: tuple[GroundControlPoint, ...]
            self.control, self.control_crs = _control(dataset)
            self._has_alpha = ColorInterp.alpha in dataset.colorinterp
            self._own_alpha = self._has_alpha and self.dtype not in ALPHA_TYPES
            self._may_lack_blocks = dataset.driver == "GTiff" and self.nodata is None

    def __repr__(self) -> str:
        return f"Raster({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Raster, (self.path,)

    @property
    def _scaled(self) -> bool:
        """Whether values are other than they are stored."""
        return any(scale != 1 for scale in self.scales) or any(self.offsets)

    def read(
        self, window: Window | None = None, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read pixels and whether they are valid.

        A pixel is valid where nodata value, mask and alpha band say so for every band read and
        no value is NaN or infinite. Where the file states scale and offset of its bands, they are
        applied, after its validity was judged.

        Args:
            window: the pixels, all by default.
            bands: 1-based numbers, all by default.

        Returns:
            Values [bands, height, width] of `dtype`, and validity, bool [height, width].

        Raises:
            ValueError: for a window outside the grid or a band that is not there.
            DataError: where the file cannot be decoded.
        """
        area = window or self.grid.window
        numbers = list(range(1, self.count + 1) if bands is None else bands)
        self._check(area, numbers)
        try:
            values, masks = where_read(self.path, partial(self._read_here, area, numbers))
        except GDAL_ERRORS as error:
            cure = (
                "check the connection, or download it and name the file"
                if is_networked(self.path)
                else "the file is damaged or cut short: copy or download it again, or leave it out"
            )
            raise DataError(
                f"{self.path}: the pixels of {area} cannot be decoded ({reason(error)}); {cure}"
            ) from error
        valid: NDArray[np.bool_] = np.all(masks, axis=0)
        if self._scaled:
            values = self._scale(values, numbers)
        if values.dtype.kind in "fc":
            valid &= np.all(np.isfinite(values), axis=0)
        return values, valid

    def files(self) -> tuple[Path, ...]:
        """Every file that GDAL takes pixels, masks and metadata from, such as a VRT's sources.

        None of what is remote or lies within a file: that is known by its address alone.

        Raises:
            MissingFileError, DataError: where it cannot be opened any more.
        """
        if not isinstance(self.path, Path):
            return ()
        with self._open() as dataset:
            return tuple(map(Path, dataset.files))

    def blocks(self, area: Window | None = None, most: int | None = None) -> Iterator[Window]:
        """Yield windows that cover an area exactly once, at most so many pixels each.

        They hold whole block rows where the limit allows it, else whole blocks, so that each
        stored block is decoded once.

        Args:
            area: the pixels to cover, all by default.
            most: pixels of a window, `BLOCK_PIXELS` by default.

        Raises:
            ValueError: for an area outside the grid.
        """
        area = area or self.grid.window
        self._check(area, [])
        (rows, cols), limit = self.block_shape, most or BLOCK_PIXELS
        width = min(_whole(limit // rows, cols), _whole(self.grid.width + cols - 1, cols))
        height = _whole(limit // width, rows)
        for row, row_stop in _spans(area.row, area.row_stop, height):
            for col, col_stop in _spans(area.col, area.col_stop, width):
                yield Window(row, col, row_stop - row, col_stop - col)

    def _read_here(self, area: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
        """What `_decode` gives through this thread's handle."""
        with gate:
            return self._decode(_handles.of(self), area, bands)

    def _open(self) -> DatasetReader:
        """A handle of its own for a thread."""
        return open_raster(self.path)

    def _decode(
        self, dataset: DatasetReader, area: Window, bands: Sequence[int]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Values [bands, height, width] and masks [bands or 1, height, width], false if invalid."""
        place = RasterioWindow(area.col, area.row, area.width, area.height)
        values = dataset.read(bands, window=place)
        if self._may_lack_blocks and (values == 0).any():
            self._check_blocks(dataset, values, bands, area)
        return values, self._masks(dataset, values, bands, place)

    def _scale(self, values: NDArray[Any], bands: Sequence[int]) -> NDArray[Any]:
        """Stored values times scale plus offset, computed in float64, band by band."""
        out = np.empty(values.shape, self.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # of fillers; what is valid is checked
            for plane, stored, band in zip(out, values, bands, strict=True):
                scale, offset = self.scales[band - 1], self.offsets[band - 1]
                plane[...] = stored * np.float64(scale) + offset
        return out

    def _masks(
        self,
        dataset: DatasetReader,
        values: NDArray[Any],
        bands: Sequence[int],
        place: RasterioWindow,
    ) -> NDArray[Any]:
        """GDAL's masks [bands, height, width], 0 or False where invalid."""
        if self._has_alpha and self.nodata is not None:
            differs: NDArray[np.bool_] = values != self.nodata
            return differs  # what GDAL does too; rasterio would warn at every window
        if self._own_alpha:
            alpha = [dataset.colorinterp.index(ColorInterp.alpha) + 1]
            shown: NDArray[np.bool_] = dataset.read(alpha, window=place) != 0
            return shown
        masks: NDArray[np.uint8] = dataset.read_masks(bands, window=place)
        return masks

    def _check_blocks(
        self, dataset: DatasetReader, values: NDArray[Any], bands: Sequence[int], area: Window
    ) -> None:
        """Refuse blocks that a TIFF does not hold, which GDAL reads as zeros without a word.

        They tell of a damaged directory, or of a writer that left out what was zero.

        Raises:
            DataError: where a block of zeros is not in the file.
        """
        rows, cols = self.block_shape
        for row, row_stop in _spans(area.row, area.row_stop, rows):
            for col, col_stop in _spans(area.col, area.col_stop, cols):
                inside = np.s_[
                    row - area.row : row_stop - area.row, col - area.col : col_stop - area.col
                ]
                for band, plane in zip(bands, values, strict=True):
                    if not (plane[inside] != 0).any() and not _holds(
                        dataset, band, row // rows, col // cols
                    ):
                        raise self.lacking(band, row // rows, col // cols)

    def absent_blocks(self, dataset: DatasetReader) -> list[tuple[int, int, int]]:
        """Every block that a TIFF without nodata does not hold, as `_check_blocks` refuses them.

        Args:
            dataset: this raster's, open.

        Returns:
            The 1-based band, row and column of each block; the first band's where all bands of a
            block are stored together.
        """
        if not self._may_lack_blocks:
            return []
        rows, cols = (
            range(-(-length // block))
            for length, block in zip(self.grid.shape, self.block_shape, strict=True)
        )
        bands = [1] if dataset.interleaving == Interleaving.pixel else dataset.indexes
        return [
            (band, row, col)
            for band in bands
            for row in rows
            for col in cols
            if not _holds(dataset, band, row, col)
        ]

    def lacking(self, band: int, row: int, col: int) -> DataError:
        """What to say of a block that the file does not hold."""
        return DataError(
            f"{self.path}: block {row}, {col} of band {band} is not in the file, and GDAL reads "
            f"zeros there; copy or download the file again, or where zeros are meant write them "
            f"(gdal_translate -co SPARSE_OK=FALSE)"
        )

    def _check(self, area: Window, bands: Sequence[int]) -> None:
        if not self.grid.window.contains(area):
            raise ValueError(
                f"{self.path}: a window must lie in the raster of "
                f"{self.grid.height}x{self.grid.width}, found {area}"
            )
        absent = [band for band in bands if not 1 <= band <= self.count]
        if absent:
            raise ValueError(f"{self.path}: expected bands in 1..{self.count}, found {absent}")


class _Handles(threading.local):
    """The datasets one thread holds open; the one not used for longest is closed first."""

    process: int = 0
    datasets: WeakKeyDictionary[Raster, DatasetReader]

    def of(self, raster: Raster) -> DatasetReader:
        if self.process != os.getpid():  # a forked child must not move its parent's file offsets
            self.process, self.datasets = os.getpid(), WeakKeyDictionary()
        dataset = self.datasets.pop(raster, None) or raster._open()
        self.datasets[raster] = dataset
        if len(self.datasets) > OPEN_FILES:
            self.datasets.pop(next(iter(self.datasets))).close()
        return dataset


_handles = _Handles()


@contextmanager
def without_georeference() -> Iterator[None]:
    """Let rasters without a place on the ground be opened and created without a warning.

    One thread at a time, since Python's warning filters belong to the whole process.
    """
    with gate, _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def decode_image(content: bytes, path: Path) -> NDArray[Any]:
    """Decode an image file that was read as a whole, without asking for masks or a place.

    GDAL inflates a PNG at once (libdeflate), in 0.4 of Pillow's time on a frame of 1914 x 1052. It
    does not notice every file that was cut short: check the content before.

    Args:
        content: the file's bytes; GDAL never looks at the folder it lies in.
        path: the file, for messages.

    Returns:
        Stored values [bands, height, width] in the file's dtype, a view of interleaved pixels.

    Raises:
        DataError: where GDAL cannot decode it.
    """
    try:
        with MemoryFile(content) as file:
            with without_georeference():
                dataset = file.open()
            with dataset:
                shape = (dataset.height, dataset.width, dataset.count)
                pixels = np.moveaxis(np.empty(shape, dataset.dtypes[0]), -1, 0)
                dataset.read(out=pixels)
                return pixels
    except GDAL_ERRORS as error:
        raise DataError(
            f"{path}: expected an image that GDAL decodes, found {len(content)} bytes that it does "
            f"not ({reason(error)}); copy or download the file again, or leave it out"
        ) from error


def open_raster(path: Location) -> DatasetReader:
    """Open a raster with GDAL; a remote one within `where_read`, by whose settings it is opened.

    Raises:
        MissingFileError: where there is no such file, or a server does not give it.
        DataError: where GDAL cannot open it.
    """
    file = path.file if isinstance(path, Subdataset) else path
    if isinstance(file, Path) and not file.is_file():
        raise MissingFileError(f"{path}: expected a raster file, found none; check the path")
    try:
        with without_georeference():
            return rasterio.open(gdal_name(path))
    except GDAL_ERRORS as error:
        told = reason(error)
        if isinstance(file, Remote):
            _check_answer(path, told)
        found = f"{file.stat().st_size} bytes" if isinstance(file, Path) else "content"
        raise DataError(
            f"{path}: expected a raster that GDAL reads, found {found} that it does not "
            f"({told}); copy or download the file again, or leave it out"
        ) from error


NO_SCENES = frozenset(
    {"dat", "err", "gen", "hdr", "lbl", "map", "pdf", "rda", "rst", "xml", "xyz"}
    | {"gpkg", "gpkg.zip", "json", "kml", "kmz", "sqlite"}
)
"""Suffixes of rasters that are more often something else: sidecars, text, vector files."""


@cache
def raster_suffixes() -> frozenset[str]:
    """Suffixes, with their dots, by which GDAL's drivers know rasters; sidecars have none of them.

    They are those of the GDAL that rasterio was built with.
    """
    with rasterio.Env():  # else no driver is there to be asked
        return frozenset(f".{suffix}" for suffix in raster_driver_extensions().keys() - NO_SCENES)


ANSWERS = (
    (
        r"response code: 40[13]|AccessDenied|configuration option|Signature|InvalidAccessKey",
        "that access to it is refused",
        "set the credentials that GDAL looks for in the environment, or where none are needed "
        "AWS_NO_SIGN_REQUEST=YES (s3://), GS_NO_SIGN_REQUEST=YES (gs://) or "
        "AZURE_NO_SIGN_REQUEST=YES (az://)",
    ),
    (r"response code: (404|410)|NoSuch", "none", "check the address"),
    (
        # "does not exist" is all that GDAL says where it asked before in this process
        r"CURL error|response code|imed out|esolve host|onnection|does not exist",
        "none",
        "check the address and the connection, or try again later",
    ),
)
"""What GDAL says of a server's answer, what that means, and the cure."""


def _check_answer(path: Location, told: str) -> None:
    """Tell what a server refuses from content that is no raster.

    Raises:
        MissingFileError: where it was the server.
    """
    for words, found, cure in ANSWERS:
        if re.search(words, told):
            raise MissingFileError(
                f"{path}: expected a raster at this address, found {found} ({told}); {cure}"
            )


def _grid(dataset: DatasetReader, path: Location) -> Grid:
    if dataset.count == 0:
        raise DataError(f"{path}: expected at least one band, found none; {_within(dataset)}")
    if len(set(dataset.dtypes)) > 1:
        raise DataError(
            f"{path}: expected bands of one type, found {', '.join(dataset.dtypes)}; "
            f"convert them to one (gdal_translate -ot)"
        )
    try:
        return Grid(dataset.height, dataset.width, dataset.transform, dataset.crs)
    except ValueError as error:
        raise DataError(f"{path}: {error}; georeference the raster again") from error


def _scaling(dataset: DatasetReader, path: Location) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and offset of each band."""
    scales, offsets = tuple(dataset.scales), tuple(dataset.offsets)
    if not (np.isfinite([*scales, *offsets]).all() and all(scales)):
        raise DataError(
            f"{path}: expected scales other than 0 and offsets that are numbers, found "
            f"{list(scales)} and {list(offsets)}; correct them (gdal_edit.py -scale 1 -offset 0)"
        )
    return scales, offsets


def _scaled_type(stored: str) -> str:
    """float32 for what it holds exactly, 16 bits, and for itself; float64 beyond."""
    return np.result_type(stored, np.float32).name


def _holds(dataset: DatasetReader, band: int, row: int, col: int) -> bool:
    """Whether a TIFF holds a block of a band."""
    return bool(dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band))


def _within(dataset: DatasetReader) -> str:
    """What to do about a file that holds data sets, not bands."""
    names = dataset.subdatasets
    if not names:
        return f"leave it out, or export it from {dataset.driver} as a GeoTIFF"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"name one of its data sets as the scene: {', '.join(names[:SHOWN])}{more}"


def _control(dataset: DatasetReader) -> tuple[tuple[GroundControlPoint, ...], CRS | None]:
    """Ground control points and their CRS, where no CRS of its own places the raster."""
    if dataset.crs is not None:
        return (), None
    points, crs = dataset.gcps
    return tuple(points), crs or None


def reason(error: BaseException) -> str:
    """Return what GDAL said first, which rasterio keeps as the last of the causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def _whole(limit: int, block: int) -> int:
    """The length of the most whole blocks within a limit; of part of one where none fits."""
    return limit // block * block or max(1, limit)


def _spans(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    """Cut [start, stop) at the multiples of a step."""
    while start < stop:
        end = min(stop, (start // step + 1) * step)
        yield start, end
        start = end
