"""Maps: written in parts, each whole or not at all, and joined to a cloud-optimised GeoTIFF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError, ShapeError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.legend import auxiliary_xml, raster_style
from rsadapt.geo.mosaic import vrt_text
from rsadapt.geo.room import room
from rsadapt.geo.writer import BLOCK, SIDECARS, STYLE, create, explained, folder_beside, publish


@dataclass(frozen=True)
class Bands:
    """What the bands of a map hold.

    Attributes:
        descriptions: a name for each band.
        dtype: NumPy name of the values' type.
        nodata: the code of invalid pixels.
        scale: what a stored value is multiplied with to give the quantity it stands for.
        scheme: the classes, of a class map: it gets their palette, and beside it their names and
            colours as GDAL, QGIS and ArcGIS read them (`.aux.xml`, `.qml`).
    """

    descriptions: tuple[str, ...]
    dtype: str
    nodata: float
    scale: float | None = None
    scheme: ClassScheme | None = None


class PartWriter:
    """A part of a map, written row by row into a tiled GeoTIFF.

    Rows are gathered until they fill rows of blocks, so that each block is compressed once. After
    an exception, or a kill, nothing is at `path`.

    Args:
        path: the part, in a folder that is there.
        grid: the pixels' place on the ground.
        bands: what they hold.

    Raises:
        DataError: where GDAL cannot write, or where rows are missing on leaving.
    """

    def __init__(self, path: Path, grid: Grid, bands: Bands) -> None:
        self.path, self.grid, self.bands = path, grid, bands

    def __enter__(self) -> PartWriter:
        self._unfinished = self.path.with_name(f"unfinished.{self.path.name}")
        with explained(self.path):
            self._dataset = create(
                self._unfinished,
                self.grid,
                dtype=np.dtype(self.bands.dtype),
                nodata=self.bands.nodata,
                descriptions=self.bands.descriptions,
                colours=None,
                tags=None,
                level=1,
            )
        block: int = self._dataset.block_shapes[0][0]
        shape = len(self.bands.descriptions), block, self.grid.width
        self._rows = room(shape, self.bands.dtype)
        self._row = self._waiting = 0
        return self

    def write_rows(self, values: NDArray[Any]) -> None:
        """Write the next rows.

        Args:
            values: [bands, rows, width] in the map's type.

        Raises:
            ShapeError: for rows of another width or type, or more than are left.
            DataError: where GDAL cannot write.
        """
        left = self.grid.height - self._row - self._waiting
        expected = self._rows
        if (
            values.shape[::2] != expected.shape[::2]
            or values.shape[1] > left
            or values.dtype != expected.dtype
        ):
            raise ShapeError(
                f"{self.path}: expected {expected.dtype} rows [{expected.shape[0]}, up to {left}, "
                f"{self.grid.width}], found {values.dtype} {values.shape}"
            )
        done, block = 0, self._rows.shape[1]
        while done < values.shape[1]:
            taken = min(block - self._waiting, values.shape[1] - done)
            self._rows[:, self._waiting : self._waiting + taken] = values[:, done : done + taken]
            self._waiting += taken
            done += taken
            if self._waiting == block:
                self._write()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with explained(self.path), self._dataset:
                if error is None:
                    self._write()
            if error is None:
                self._finish()
        finally:
            self._unfinished.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._row < self.grid.height:
            raise DataError(
                f"{self.path}: expected {self.grid.height} rows, found {self._row}; write all of "
                f"them before leaving"
            )
        with explained(self.path):
            publish(self._unfinished, self.path)

    def _write(self) -> None:
        """Write the rows that wait."""
        if self._waiting:
            with explained(self.path):
                place = RasterioWindow(0, self._row, self.grid.width, self._waiting)
                self._dataset.write(self._rows[:, : self._waiting], window=place)
            self._row += self._waiting
            self._waiting = 0


def join(
    parts: Sequence[tuple[Path, Window]],
    path: Path,
    grid: Grid,
    bands: Bands,
    *,
    tags: Mapping[str, str] | None = None,
    overlapping: bool = False,
) -> None:
    """Join parts to a cloud-optimised GeoTIFF (blocks of 512, DEFLATE, overviews), whole or not.

    Overviews of a class map take the code that most pixels have, those of quantities the mean.

    Args:
        parts: files of `PartWriter` and the pixels of the grid that each holds; they cover it once,
            unless told otherwise.
        path: the map, in place of what is there; missing folders are made.
        grid: of the whole.
        bands: what the parts hold.
        tags: further metadata.
        overlapping: whether later parts may lie over earlier ones; their nodata hides nothing.

    Raises:
        DataError: where a part cannot be read or GDAL cannot write.
    """
    with explained(path), folder_beside(path) as name:
        folder = Path(name)
        vrt, part = folder / "parts.vrt", folder / path.name
        text = _vrt(parts, grid, bands, tags, beside=folder, overlapping=overlapping)
        vrt.write_text(text, encoding="utf-8")
        # GDAL would keep statistics beside each part, and maps that overlap are the user's
        with rasterio.Env(**{"GDAL_PAM_ENABLED": "NO"} if overlapping else {}):
            rasterio.shutil.copy(
                str(vrt),
                str(part),
                driver="COG",
                blocksize=BLOCK,
                compress="DEFLATE",
                predictor="YES" if bands.scheme is None else "NO",
                overview_resampling="average" if bands.scheme is None else "mode",
                bigtiff="IF_SAFER",
                statistics="YES",
            )
        Path(f"{part}.aux.xml").unlink(missing_ok=True)
        if bands.scheme is not None:
            Path(f"{part}.aux.xml").write_text(auxiliary_xml(bands.scheme), encoding="utf-8")
            part.with_suffix(STYLE).write_text(raster_style(bands.scheme), encoding="utf-8")
        publish(part, path)


def link(
    parts: Sequence[tuple[Path, Window]],
    path: Path,
    grid: Grid,
    bands: Bands,
    *,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write a VRT that shows maps as one, named relative to it: nothing is copied.

    Later maps lie over earlier ones; where they are nodata those are seen.

    Args:
        parts: maps and the pixels of the grid that each holds.
        path: the VRT, in place of what is there.
        grid: of the whole.
        bands: what the maps hold.
        tags: further metadata.

    Raises:
        DataError: where it cannot be written.
    """
    with explained(path), folder_beside(path) as name:
        part = Path(name) / path.name
        text = _vrt(parts, grid, bands, tags, beside=path.parent, overlapping=True)
        part.write_text(text, encoding="utf-8")
        if bands.scheme is not None:
            style = part.with_suffix(STYLE)
            style.write_text(raster_style(bands.scheme), encoding="utf-8")
            style.replace(path.with_suffix(STYLE))
        for suffix in SIDECARS:
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        part.replace(path)


def companions(path: Path, bands: Bands) -> list[Path]:
    """The files beside a map that say what its codes mean."""
    if bands.scheme is None:
        return []
    return [file for file in (path.with_suffix(STYLE), Path(f"{path}.aux.xml")) if file.exists()]


def _vrt(
    parts: Sequence[tuple[Path, Window]],
    grid: Grid,
    bands: Bands,
    tags: Mapping[str, str] | None,
    *,
    beside: Path,
    overlapping: bool,
) -> str:
    return vrt_text(
        parts,
        grid,
        descriptions=bands.descriptions,
        dtype=bands.dtype,
        nodata=bands.nodata,
        scale=bands.scale,
        scheme=bands.scheme,
        tags=tags,
        beside=beside,
        overlapping=overlapping,
    )
