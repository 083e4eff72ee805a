"""Decode, resize and write the image files of folder data sets; the only file that opens them."""

from __future__ import annotations

import io
import uuid
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsadapt.classes import Colour
from rsadapt.errors import DataError, MissingFileError, ShapeError

PNG = b"\x89PNG\r\n\x1a\n"
"""What every PNG begins with (ISO/IEC 15948, 5.2)."""

COLOUR_TYPE = 25
"""Byte of a PNG that says how it stores colours (ISO/IEC 15948, 11.2.2)."""

PALETTE = 3
"""Its value for palette images."""

OPAQUE = 255
"""Alpha of a pixel that hides what is behind it."""

PART = ".part"
"""What the names of files that are being written end in; a power cut may leave one."""

PILLOW_ERRORS = (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError)
"""Pillow's words for files that are damaged, or of more pixels than it takes for an image."""

AGAIN = "copy or download the file again, or leave it out"


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """Read a colour image; a palette is looked up.

    Args:
        path: an image of red, green and blue of 8 bits, which may have an opaque alpha channel.

    Returns:
        uint8 [height, width, 3], red, green and blue.

    Raises:
        MissingFileError: where there is no such file.
        DataError: for a file that is damaged, cut short or cannot be read, or an image of another
            kind.
    """
    path = Path(path)
    bands = _decode(path, colours=True)
    if len(bands) == 4 and bands.dtype == np.uint8:
        if (bands[3] != OPAQUE).any():
            raise DataError(
                f"{path}: expected a colour image, found an alpha channel with pixels that are not "
                f"opaque; convert the images to 8-bit RGB over the background that is meant"
            )
        bands = bands[:3]
    if len(bands) != 3 or bands.dtype != np.uint8:
        raise DataError(
            f"{path}: expected a colour image of 3 bands of 8 bits, found {_kind(bands)}; convert "
            f"the images to 8-bit RGB, or choose the folder that holds them"
        )
    return np.moveaxis(bands, 0, -1)


def read_labels(path: Path | str, channel: int | None = None) -> NDArray[Any]:
    """Read a label image as the ids that it stores; a palette is not looked up.

    Args:
        path: an image of 8- or 16-bit ids.
        channel: which channel holds the ids, from 0; None for files that must have only one.

    Returns:
        Raw ids [height, width], uint8 or uint16 as stored.

    Raises:
        MissingFileError: where there is no such file.
        DataError: for a file that is damaged, cut short or cannot be read, or without that channel.
    """
    path = Path(path)
    bands = _decode(path)
    if bands.dtype.kind != "u" or (len(bands) != 1 if channel is None else len(bands) <= channel):
        wanted = "one band" if channel is None else f"at least {channel + 1} bands"
        raise DataError(
            f"{path}: expected labels of {wanted} of whole numbers, found {_kind(bands)}; choose "
            f"the files that hold class ids, not their colours"
        )
    ids: NDArray[Any] = bands[channel or 0]
    return ids


def resize_image(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize with Pillow's bicubic filter, which smooths where it makes smaller.

    Published driving benchmarks are defined by it; torch's filter of that name differs by up to
    two grey levels.

    Args:
        image: uint8 [height, width, 3] or [height, width].
        height: rows wanted.
        width: columns wanted.
    """
    if image.shape[:2] == (height, width):
        return image
    small = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(small)


def image_planes(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """An image [height, width, 3] at the size of a network's input, [3, height, width]."""
    return np.moveaxis(resize_image(image, height, width), -1, 0)


def take_bands(planes: NDArray[np.uint8], bands: Sequence[int]) -> NDArray[np.uint8]:
    """The bands at 1-based positions of [3, height, width], in that order."""
    return planes[[band - 1 for band in bands]]


def resize_labels(labels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize as Pillow's nearest neighbour does, for any dtype.

    Args:
        labels: [height, width].
        height: rows wanted.
        width: columns wanted.
    """
    if labels.shape == (height, width):
        return labels
    rows, cols = (
        _nearest(old, new) for old, new in zip(labels.shape, (height, width), strict=True)
    )
    resized: NDArray[Any] = labels.take(rows, axis=0).take(cols, axis=1)  # indexing would turn it
    return resized


@lru_cache(maxsize=64)
def _nearest(length: int, wanted: int) -> NDArray[np.int32]:
    """Where Pillow takes each pixel of a line from: it is asked to resize the pixels' numbers.

    It adds up its step in floating point, so that a formula would differ now and then.
    """
    line = Image.fromarray(np.arange(length, dtype=np.int32)[np.newaxis])
    places: NDArray[np.int32] = np.asarray(line.resize((wanted, 1), Image.Resampling.NEAREST))[0]
    return places


def write_png(
    path: Path | str, array: NDArray[np.uint8], palette: Sequence[Colour] | None = None
) -> None:
    """Write a PNG that is there whole or not at all, in place of what is there.

    Args:
        path: the file; missing folders are made.
        array: uint8 [height, width], or [height, width, 3] in red, green and blue.
        palette: red, green and blue of each value, for [height, width]; readers that look for
            ids still find them.

    Raises:
        ShapeError: for an array of another kind, or colours for an image that has its own.
    """
    path = Path(path)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise ShapeError(
            f"{path}: expected uint8 [height, width] or [height, width, 3], found {array.dtype} "
            f"{list(array.shape)}"
        )
    if palette is not None and (array.ndim != 2 or len(palette) > 256):
        raise ShapeError(
            f"{path}: a palette of at most 256 colours goes with [height, width], found "
            f"{len(palette)} colours and {list(array.shape)}"
        )
    image = Image.fromarray(np.ascontiguousarray(array))
    if palette is not None:
        image.putpalette([level for colour in palette for level in colour])
    content = io.BytesIO()
    image.save(content, "PNG")
    publish(path, content.getbuffer())


def publish(path: Path, content: bytes | memoryview) -> None:
    """Write a file that is there whole or not at all, whoever else writes it; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PART}")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _decode(path: Path, *, colours: bool = False) -> NDArray[Any]:
    """Stored values [bands, height, width] of an image file; PNG by GDAL, where it is there.

    Every other format is left to Pillow, whose colours of subsampled JPEGs are not GDAL's.

    Args:
        path: the file.
        colours: True gives a palette image's colours with their alpha, in place of its indices.
    """
    content = _content(path)
    if not content.startswith(PNG):
        return _by_pillow(content, path, colours=colours)
    _check_png(content, path)
    if colours and content[COLOUR_TYPE] == PALETTE:
        return _by_pillow(content, path, colours=True)
    try:
        from rsadapt.geo.raster import decode_image
    except ModuleNotFoundError as error:
        if error.name != "rasterio":
            raise
        _check_pillow_reads(content, path)
        return _by_pillow(content, path)
    try:
        return decode_image(content, path)
    except MemoryError as error:
        raise DataError(_undecodable(content, path, "GDAL", error)) from error


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise MissingFileError(f"{path}: expected an image file, found none; check the path")
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: expected an image file, found one that cannot be read ({error.strerror}); "
            f"make it readable, or copy or download it again"
        ) from error


def _check_png(content: bytes, path: Path) -> None:
    """Hold every chunk of a PNG against its checksum (ISO/IEC 15948, 5.3), 2 ms for 4 MB.

    Neither decoder does: GDAL 3.10 gives zeros for what was cut off, Pillow lets flipped bits by.
    """
    view, at, kind = memoryview(content), len(PNG), b""
    while kind != b"IEND":
        stop = at + 8 + int.from_bytes(view[at : at + 4], "big")
        kind = bytes(view[at + 4 : at + 8])
        if stop + 4 > len(view):
            raise DataError(
                f"{path}: expected a whole PNG, found one cut short at {len(view)} bytes; {AGAIN}"
            )
        if zlib.crc32(view[at + 4 : stop]) != int.from_bytes(view[stop : stop + 4], "big"):
            raise DataError(
                f"{path}: expected a sound PNG, found a wrong checksum between bytes {at} and "
                f"{stop + 4}; {AGAIN}"
            )
        at = stop + 4


def _check_pillow_reads(content: bytes, path: Path) -> None:
    """Refuse what Pillow would change without a word: 16-bit colours, grey of less than 8 bits."""
    bits, colour = content[COLOUR_TYPE - 1], content[COLOUR_TYPE]
    if (colour == 0 and bits < 8) or (colour in (2, 4, 6) and bits > 8):
        raise DataError(
            f"{path}: reading a PNG of {bits} bits a band with colour type {colour} takes "
            f"rasterio, which is not installed; pip install rasterio"
        )


def _by_pillow(content: bytes, path: Path, *, colours: bool = False) -> NDArray[Any]:
    try:
        image: Image.Image = Image.open(io.BytesIO(content))
        if colours and image.mode in ("P", "PA"):
            image = image.convert("RGBA")
        pixels = np.asarray(image)
    except PILLOW_ERRORS as error:
        raise DataError(_undecodable(content, path, "Pillow", error)) from error
    if colours and image.mode == "CMYK":
        raise DataError(f"{path}: expected a colour image, found CMYK; convert it to 8-bit RGB")
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _undecodable(content: bytes, path: Path, decoder: str, error: BaseException) -> str:
    return (
        f"{path}: expected an image, found {len(content)} bytes that {decoder} cannot decode "
        f"({type(error).__name__}); {AGAIN}"
    )


def _kind(bands: NDArray[Any]) -> str:
    return f"{len(bands)} of {bands.dtype}"
