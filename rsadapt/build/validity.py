"""Which pixels of a region count: areas of interest, unflagged borders, places to ignore."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsadapt import config
from rsadapt.build.files import vector_files
from rsadapt.data.region import Scene
from rsadapt.errors import DataError
from rsadapt.geo.border import BorderMask, border_colour, border_tolerance, find_border
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.labels import Labels, MaskedLabels, RemappedLabels
from rsadapt.geo.masked import Drawn, Mask, MaskedRaster
from rsadapt.geo.raster import Raster
from rsadapt.geo.vectors import Features, Legend
from rsadapt.geo.warp import WarpedRaster


def usable(
    name: str,
    region: config.RegionSettings,
    images: Sequence[Raster],
    labels: Sequence[Labels | None],
    *,
    bands: Sequence[int],
    root: Path,
    side: int,
) -> list[Scene | None]:
    """A region's scenes, valid and labelled where its settings say; None of those out of its area.

    Args:
        name: of the region, for messages.
        region: its settings.
        images: its scenes, on the lattice that they are used on.
        labels: of each scene; None of one without.
        bands: 1-based numbers of those that are read.
        root: what relative paths start at.
        side: pixels that a scene's `area` has at least each way, where the scene has them.

    Returns:
        For each image a scene whose `area` holds all pixels that count.

    Raises:
        MissingFileError: for a vector file that is not there.
        DataError: for files that cannot be read or placed, or where no scene is left.
    """
    area, ignored = (_features(files, root) for files in (region.area, region.ignore))
    windows = [_window(image, area, side) for image in images]
    if not any(windows):
        raise DataError(
            f"{name} region: none of its {len(images)} scenes, such as {images[0].path}, has a "
            f"pixel in the area of {', '.join(region.area)}; name another area or other scenes"
        )
    found: list[Scene | None] = []
    borders = 0
    for image, label, window in zip(images, labels, windows, strict=True):
        if window is None:
            found.append(None)
            continue
        masks: list[Mask] = [] if area is None else [drawn(area, image)]
        border = scene_border(image, bands, region)
        if border is not None and border.pixels:
            masks.append(border)
            borders += border.pixels
        own = None if label is None else _seen(label, region.label_ids)
        without = [] if ignored is None else [drawn(ignored, image, inside=False)]
        if own is not None and (masks or without):
            own = MaskedLabels(own, (*masks, *without))
        found.append(Scene(MaskedRaster(image, masks) if masks else image, own, window))
    if region.border is not None and not borders:
        warnings.warn(
            f"{name} region: found no border of the colour {region.border} in any of its "
            f"{len(images)} scenes; leave 'border' out, or raise 'border_tolerance'",
            stacklevel=2,
        )
    return found


def scene_border(
    image: Raster, bands: Sequence[int], region: config.RegionSettings
) -> BorderMask | None:
    """The unflagged border that a region's settings say its scenes have; None where they do not.

    Raises:
        DataError: for a scene that cannot be read, or a border that its bands cannot have.
    """
    if region.border is None:
        return None
    tolerance = region.border_tolerance
    return find_border(
        image,
        bands,
        border_colour(image, bands, region.border),
        border_tolerance(image) if tolerance is None else tolerance,
        grow=int(isinstance(image, WarpedRaster)),  # which blends it with the pixels beside it
    )


def without_border(image: Raster, bands: Sequence[int], region: config.RegionSettings) -> Raster:
    """A scene without its unflagged border, where settings say that it has one.

    Raises:
        DataError: as `scene_border`.
    """
    border = scene_border(image, bands, region)
    return image if border is None else MaskedRaster(image, [border])


def area_features(files: Sequence[Path]) -> Features:
    """The features of vector files, to be drawn as places that count or do not.

    Raises:
        MissingFileError, DataError: as `Features`.
    """
    return Features(files, Legend(inside=1, outside=0))


def drawn(features: Features, image: Raster, *, inside: bool = True) -> Drawn:
    """The pixels of a scene that lie inside features, or the others.

    Raises:
        DataError: for a scene without a CRS.
    """
    return Drawn(features.on(image.grid, image.path), inside)


def area_window(mask: Drawn, image: Raster) -> Window | None:
    """The least window that holds all pixels of a scene inside features; None if there are none."""
    extent = mask.features.extent
    if extent is None:
        return None
    rows, cols = (np.zeros(side, bool) for side in image.grid.shape)
    for block in image.blocks(extent):
        inside = mask.read(block)
        rows[block.slices[0]] |= inside.any(axis=1)
        cols[block.slices[1]] |= inside.any(axis=0)
    if not rows.any():
        return None
    (row, last_row), (col, last_col) = (np.flatnonzero(side)[[0, -1]] for side in (rows, cols))
    return Window(int(row), int(col), int(last_row - row + 1), int(last_col - col + 1))


def _features(patterns: Sequence[str], root: Path) -> Features | None:
    if not patterns:
        return None
    return area_features(vector_files(patterns, root))


def _window(image: Raster, area: Features | None, side: int) -> Window | None:
    if area is None:
        return image.grid.window
    window = area_window(drawn(area, image), image)
    return None if window is None else _widened(window, image.grid, side)


def _widened(window: Window, grid: Grid, side: int) -> Window:
    """A window of at least `side` pixels each way, as far as the grid has them."""
    row, height = _span(window.row, window.height, grid.height, side)
    col, width = _span(window.col, window.width, grid.width, side)
    return Window(row, col, height, width)


def _span(start: int, length: int, whole: int, least: int) -> tuple[int, int]:
    """Where a span begins that is widened to a length about its middle, and how long it is."""
    wide = min(max(length, least), whole)
    return min(max(0, start - (wide - length) // 2), whole - wide), wide


def _seen(labels: Labels, ids: dict[int, int]) -> Labels:
    return RemappedLabels(labels, ids) if ids else labels
