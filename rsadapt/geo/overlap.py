"""Whether class maps give the same ground a class twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rsadapt.classes import IGNORE_INDEX, ClassScheme
from rsadapt.errors import DataError
from rsadapt.geo.grid import Window, crs_of
from rsadapt.geo.place import covered, ground_length
from rsadapt.geo.raster import Raster
from rsadapt.geo.warp import warped

BORDER = 3
"""Pixels across which maps must show the same for it to count as more than a border that they
share: where their pixels lie apart, each may reach over it by less than one."""


def refuse_overlap(maps: Sequence[Raster], scheme: ClassScheme) -> None:
    """Refuse maps of which two give the same ground a class.

    Bounds alone may meet: where one has no class, such as beside a rotated scene, another may.

    Args:
        maps: class maps, each with a place on Earth.
        scheme: their class table.

    Raises:
        DataError: naming the first two that overlap.
    """
    for one, other in _neighbours(maps):
        if _overlap(one, other, scheme):
            raise DataError(
                f"expected maps that do not overlap, found {one.path} and {other.path}, whose "
                f"areas would count twice where both have a class; leave one out, or name one map "
                f"that joins them (predict --mosaic)"
            )


def _neighbours(maps: Sequence[Raster]) -> Iterator[tuple[Raster, Raster]]:
    """Pairs of maps whose bounds meet, each once."""
    import shapely

    systems = {raster.grid.crs for raster in maps}
    crs = systems.pop() if len(systems) == 1 else crs_of(4326)
    boxes = [shapely.box(*covered(raster, crs)) for raster in maps]
    for one, other in shapely.STRtree(boxes).query(boxes, predicate="intersects").T:
        if one < other:
            yield maps[one], maps[other]


def _overlap(one: Raster, other: Raster, scheme: ClassScheme) -> bool:
    """Tell whether both maps give the same ground a class, beyond a border that they share."""
    from scipy.ndimage import binary_erosion

    coarse, fine = sorted((one, other), key=_side, reverse=True)
    left, bottom, right, top = covered(fine, coarse.grid.crs)
    xs, ys = np.array([left, right, left, right]), np.array([bottom, bottom, top, top])
    t = ~coarse.grid.transform
    corners = np.stack([t.d * xs + t.e * ys + t.f, t.a * xs + t.b * ys + t.c])
    row, col = np.clip(np.rint(corners.min(1)), 0, None).astype(int).tolist()
    stop = np.minimum(np.rint(corners.max(1)), coarse.grid.shape).astype(int).tolist()
    if min(stop[0] - row, stop[1] - col) < BORDER:
        return False
    seen = warped(fine, coarse.grid, "nearest")
    return any(
        binary_erosion(
            _has_class(coarse, window, scheme) & _has_class(seen, window, scheme),
            np.ones((BORDER, BORDER)),
        ).any()
        for window in coarse.blocks(Window(row, col, stop[0] - row, stop[1] - col))
    )


def _has_class(raster: Raster, window: Window, scheme: ClassScheme) -> NDArray[np.bool_]:
    """The pixels [height, width] of a window that have a class."""
    values, valid = raster.read(window, [1])
    found: NDArray[np.bool_] = scheme.encode(values[0], valid, where=raster.path) != IGNORE_INDEX
    return found


def _side(raster: Raster) -> float:
    """Metres of a pixel's side."""
    return ground_length(raster.grid) or math.nan
