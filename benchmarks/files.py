"""What becomes of a folder's files: read as GDAL reads them, or refused, and in which words.

    python benchmarks/files.py --data ../shared/data

Every file below the folder that could be a scene is opened and read, a window of at most 4096
pixels a side from its middle, and held against rasterio's own reading of it, pixel by pixel; then
it is brought to one lattice in metres, as training does where scenes differ. Vector files are
opened as labels. Writes a table, results/files.md, with one line for files of a folder that fare
alike.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window as RasterioWindow

from rsadapt.errors import RsadaptError
from rsadapt.geo.grid import Window
from rsadapt.geo.harmonise import harmonise
from rsadapt.geo.raster import Raster, raster_suffixes
from rsadapt.geo.vectors import Features, Legend, is_vector
from rsadapt.geo.warp import warped

RESULTS = Path(__file__).parent / "results" / "files.md"
SIDE, LATTICE_SIDE = 4096, 256
"""Pixels of the windows that are read, as stored and on the lattice."""

MANY = 20
"""A folder of more files that fare alike has one line for them."""

Row = tuple[str, str, str, str]


def main() -> None:
    """Try every file, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    table = "\n".join(lines(list(rows(folder))))
    text = (
        "# Files of many kinds\n\nMade by `python benchmarks/files.py --data DIR`; see there what "
        f"is compared.\n\n{table}\n"
    )
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


def rows(folder: Path) -> Iterator[Row]:
    """By file: its name, what it is, how it was read, and what it becomes on a lattice."""
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        name = file.relative_to(folder).as_posix()
        if is_vector(file):
            yield name, "features", said(partial(features, file), folder), ""
        elif file.suffix.lower() in raster_suffixes():
            what, read, placed = (
                said(partial(part, file), folder) for part in (described, compared, on_lattice)
            )
            yield name, what, read if read != what else "", placed if placed != what else ""


def said(attempt: Callable[[], str], folder: Path) -> str:
    """What an attempt comes to, or why it was refused, without the folder's own path."""
    try:
        return attempt()
    except RsadaptError as error:
        return "refused: " + str(error).replace(f"{folder}/", "").replace("|", "/")


def described(file: Path) -> str:
    """Size, bands, type, scaling, nodata and CRS."""
    raster = Raster(file)
    height, width = raster.grid.shape
    nodata = "" if raster.nodata is None else f", nodata {raster.nodata:g}"
    placed = raster.grid.crs or raster.control_crs or "no CRS"
    scaled = "" if raster.dtype == raster.stored else f" scaled to {raster.dtype}"
    return f"{width} x {height}, {raster.count} {raster.stored}{scaled}{nodata}, {placed}"


def compared(file: Path) -> str:
    """Whether a window is what rasterio reads, with scale and offset, and valid where it is."""
    raster = Raster(file)
    height, width = (min(SIDE, side) for side in raster.grid.shape)
    row, col = (
        (side - part) // 2 for side, part in zip(raster.grid.shape, (height, width), strict=True)
    )
    values, valid = raster.read(Window(row, col, height, width))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(file) as dataset:
            place = RasterioWindow(col, row, width, height)
            plain, masks = dataset.read(window=place), dataset.read_masks(window=place)
            scale, offset = (np.array(x)[:, None, None] for x in (dataset.scales, dataset.offsets))
    floats = plain.dtype.kind in "fc"
    expected = (masks > 0).all(axis=0) & (np.isfinite(plain).all(axis=0) if floats else True)
    if (scale != 1).any() or offset.any():
        wide = plain.dtype.itemsize > 2 and not floats
        plain = (plain * scale + offset).astype(np.float64 if wide else np.float32)
    same = np.array_equal(values, plain, equal_nan=True) and np.array_equal(valid, expected)
    return f"{'as GDAL' if same else 'OTHERWISE than GDAL'}, {valid.mean():.0%} valid"


def on_lattice(file: Path) -> str:
    """The grid that a region of this scene alone would have at its own ground size."""
    raster = Raster(file)
    (grid,) = harmonise([raster])
    moved = warped(raster, grid, "bilinear")
    height, width = (min(LATTICE_SIDE, side) for side in grid.shape)
    row, col = ((side - part) // 2 for side, part in zip(grid.shape, (height, width), strict=True))
    _, valid = moved.read(Window(row, col, height, width))
    x, _ = grid.pixel_size
    return f"{grid.width} x {grid.height} of {x:.4g} in {grid.crs}, {valid.mean():.0%} valid"


def features(file: Path) -> str:
    """How many there are."""
    found = Features([file], Legend())
    return f"{len(found)} features"


def lines(found: list[Row]) -> Iterator[str]:
    """The table in Markdown; many files of a folder that fare alike share a line."""
    yield "| file | what it is | a window read | on one lattice |"
    yield "| --- | --- | --- | --- |"
    alike: dict[tuple[str, str], list[Row]] = {}
    for row in found:
        refused = row[1].startswith("refused") or row[2].startswith("refused")
        key = row[0] if refused else str(Path(row[0]).parent)
        alike.setdefault((key, row[1].partition(",")[2]), []).append(row)
    for group in alike.values():
        if len(group) <= MANY:
            yield from ("| " + " | ".join(row) + " |" for row in group)
            continue
        reads = sorted({row[2].partition(",")[0] for row in group})
        first, last = group[0][0], Path(group[-1][0]).name
        yield f"| {first} to {last}, {len(group)} files | {group[0][1]} | {', '.join(reads)} | |"


if __name__ == "__main__":
    main()
