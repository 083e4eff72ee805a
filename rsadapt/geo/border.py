"""Borders without data that a scene does not flag: found by their colour, from its edge inwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import DataError
from rsadapt.geo.grid import Window
from rsadapt.geo.raster import BLOCK_PIXELS, Raster

JPEG_TOLERANCE = 12.0
"""How far JPEG may take a white border from white, of 255. In 373 JPEG tiles of a town, 12 of them
with white areas, a tolerance of 0, 8, 12, 16 and 24 finds 1.101, 1.136, 1.141, 1.144 and 1.147 % of
all pixels there; in the 361 others it takes 2, 189, 499, 1419 and 7107 pixels, of bright things
that the edge cuts. From 12 on a step takes more of these than it is worth."""

Colour = tuple[float, ...]
"""A value for each band."""


@dataclass(frozen=True, eq=False)
class BorderMask:
    """The pixels of a scene that are not its border.

    Attributes:
        bits: 1 where the border is, uint8 [height, ceil(width / 8)], eight pixels a byte.
        width: columns of the scene.
    """

    bits: NDArray[np.uint8] = field(repr=False)
    width: int

    @property
    def pixels(self) -> int:
        """How many belong to the border."""
        return sum(int(row.sum()) for row in map(_unpacked, self.bits))

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Whether each pixel of a window is outside the border, bool [height, width]."""
        first = window.col // 8
        packed = self.bits[window.row : window.row_stop, first : -(-window.col_stop // 8)]
        start = window.col - 8 * first
        return ~_unpacked(packed)[:, start : start + window.width]


def find_border(
    raster: Raster, bands: Sequence[int], colour: Colour, tolerance: float, *, grow: int = 0
) -> BorderMask:
    """Find the pixels of a colour that are connected with the scene's edge.

    The idea is that of GDAL's nearblack, with connection in every direction: a pixel belongs to the
    border where each band is within the tolerance of the colour and a path leads from it to the
    edge, from side to side through such pixels or ones that are invalid anyway. What looks alike
    inside a scene, such as a bright roof, is kept. Held are a strip of the scene and three bits
    a pixel; every pixel is read once.

    Args:
        raster: the scene.
        bands: 1-based numbers of those that are looked at.
        colour: the border's, in the raster's units, a value for each of `bands`.
        tolerance: in the raster's units.
        grow: pixels by which the border is widened in the end, for scenes whose border was blended
            with the pixels beside it.

    Raises:
        DataError: for a raster that cannot be read.
    """
    strips = list(_strips(raster))
    alike, passable = (
        np.zeros((raster.grid.height, -(-raster.grid.width // 8)), np.uint8) for _ in range(2)
    )
    for strip in strips:
        near, valid = _looked_at(raster, bands, strip, colour, tolerance)
        rows = slice(strip.row, strip.row_stop)
        alike[rows], passable[rows] = _packed(near & valid), _packed(near | ~valid)
    border = _connected(passable, raster.grid.width, strips)
    border &= alike
    if grow:
        border = _grown(border, raster.grid.width, strips, grow)
    return BorderMask(border, raster.grid.width)


def border_colour(
    raster: Raster, bands: Sequence[int], colour: Literal["white", "black"] | Sequence[float]
) -> Colour:
    """What the bands of a border hold, in the raster's units.

    White is the greatest value of an integer type, black is 0, both as they are stored.

    Raises:
        DataError: for numbers that are not one a band, or "white" of values that have no greatest.
    """
    if not isinstance(colour, str):
        if len(colour) != len(bands):
            raise DataError(
                f"{raster.path}: expected a border of {len(bands)} numbers, one a band, found "
                f"{len(colour)}; give 'border' as many as bands are read"
            )
        return tuple(colour)
    integers = np.dtype(raster.stored).kind in "iu"
    if colour == "white" and not integers:
        raise DataError(
            f"{raster.path}: expected integers, whose greatest value is white, found "
            f"{raster.stored}; give 'border' as numbers, one a band"
        )
    stored = float(np.iinfo(raster.stored).max) if colour == "white" else 0.0
    return tuple(stored * raster.scales[b - 1] + raster.offsets[b - 1] for b in bands)


def border_tolerance(raster: Raster) -> float:
    """How far a border may be from its colour: as far as JPEG takes it for 8 bits, else nothing."""
    if np.dtype(raster.stored) != np.uint8:
        return 0.0
    return JPEG_TOLERANCE * max(map(abs, raster.scales))


def _strips(raster: Raster) -> Iterator[Window]:
    """Whole rows of stored blocks, as many as `BLOCK_PIXELS` allows, at least one."""
    height, width = raster.grid.shape
    rows = raster.block_shape[0]
    step = rows * max(1, BLOCK_PIXELS // (rows * width))
    for row in range(0, height, step):
        yield Window(row, 0, min(step, height - row), width)


def _looked_at(
    raster: Raster, bands: Sequence[int], strip: Window, colour: Colour, tolerance: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels of a strip have the colour, and which are valid, bool [height, width]."""
    near, valid = (np.empty((strip.height, strip.width), bool) for _ in range(2))
    for window in raster.blocks(strip):
        place = np.s_[window.row - strip.row : window.row_stop - strip.row, window.slices[1]]
        values, valid[place] = raster.read(window, bands)
        near[place] = np.all(
            [
                (band >= value - tolerance) & (band <= value + tolerance)
                for band, value in zip(values, colour, strict=True)
            ],
            axis=0,
        )
    return near, valid


def _connected(
    passable: NDArray[np.uint8], width: int, strips: Sequence[Window]
) -> NDArray[np.uint8]:
    """The passable pixels that a path connects with the edge, packed as they are.

    A strip is filled from the edge and from its neighbours, and they again where it changed on
    their side.
    """
    from scipy import ndimage

    reached = np.zeros_like(passable)
    pending = dict.fromkeys(range(len(strips)))  # in order, each once
    while pending:
        number = next(iter(pending))
        del pending[number]
        strip = strips[number]
        rows = slice(strip.row, strip.row_stop)
        labels, count = ndimage.label(_unpacked(passable[rows])[:, :width])
        seeds = np.zeros(labels.shape, bool)
        seeds[:, [0, -1]] = True
        seeds[0] |= _row(reached, strip.row - 1, width)
        seeds[-1] |= _row(reached, strip.row_stop, width)
        filled = np.zeros(count + 1, bool)
        filled[labels[seeds]] = True
        filled[0] = False  # what is not passable
        before, reached[rows] = reached[rows].copy(), _packed(filled[labels])
        for edge, neighbour in ((0, number - 1), (-1, number + 1)):
            if 0 <= neighbour < len(strips) and (before[edge] != reached[rows][edge]).any():
                pending[neighbour] = None
    return reached


def _row(reached: NDArray[np.uint8], row: int, width: int) -> NDArray[np.bool_]:
    """Which pixels of a row were reached; all of those beyond the scene's edge."""
    if not 0 <= row < len(reached):
        return np.ones(width, bool)
    return _unpacked(reached[row])[:width]


def _grown(
    border: NDArray[np.uint8], width: int, strips: Sequence[Window], pixels: int
) -> NDArray[np.uint8]:
    """Widen a border in all eight directions."""
    from scipy import ndimage

    grown = np.empty_like(border)
    for strip in strips:
        first = max(0, strip.row - pixels)
        around = _unpacked(border[first : strip.row_stop + pixels])[:, :width]
        wide = ndimage.binary_dilation(around, np.ones((3, 3), bool), iterations=pixels)
        own = slice(strip.row - first, strip.row_stop - first)
        grown[strip.row : strip.row_stop] = _packed(wide[own])
    return grown


def _packed(pixels: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(pixels, axis=-1)


def _unpacked(bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.unpackbits(bits, axis=-1).view(bool)
