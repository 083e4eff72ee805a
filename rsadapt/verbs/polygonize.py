"""Polygonize: class maps in, polygons for GIS out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rsadapt.errors import ConfigError, OutputExistsError
from rsadapt.progress import Progress, watched

if TYPE_CHECKING:
    from rsadapt.classes import ClassScheme
    from rsadapt.geo.grid import Window
    from rsadapt.geo.polygon_files import PolygonFile
    from rsadapt.geo.polygons import Watch
    from rsadapt.geo.raster import Raster


def polygonize(
    maps: Sequence[Path],
    out: Path,
    *,
    smallest_area: float = 0.0,
    simplify: float = 0.0,
    only: Sequence[str] = (),
    format: str | None = None,
    classes: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[PolygonFile]:
    """Turn class maps into polygons with class, name, area and mean confidence.

    A map `<stem>_classes.tif` becomes `<stem>_polygons` in a folder, or the file that is named; the
    confidence is taken from `<stem>_confidence.tif` beside the map, where it is. Beside the
    polygons lies their style, which QGIS loads by itself. See `class_polygons` for what the
    polygons are, and how areas and simplification are measured.

    Args:
        maps: class maps, as `predict` writes them, or any raster of codes with `classes`.
        out: a folder, made where it is missing, or for one map a file: .gpkg, .parquet or .fgb.
        smallest_area: square metres; smaller pieces are given to their largest neighbour.
        simplify: metres; lines lose details of about this size, the same on both sides.
        only: names of the classes to outline, all by default. A text that is no name is taken for
            several that commas separate.
        format: .gpkg, .parquet or .fgb, of the files in a folder; .gpkg by default. The name of a
            single file says its own.
        classes: a configuration whose class table the maps have; by default the one inside them.
        overwrite: replace files that are there already.
        progress: called with a task's name, windows done and windows in all.

    Raises:
        MissingFileError: for a map that is not there.
        OutputExistsError: for a file that is there already, or maps that would write the same.
        ConfigError: for another format, or one that a file's name does not say, a negative number
            or an unknown class.
        DataError: for maps without a class table or with unknown codes, metres asked of a map
            without a place on Earth, or files that cannot be written.
    """
    from rsadapt.geo.polygon_files import check_polygon_file, legend_of, write_polygons
    from rsadapt.geo.polygons import class_polygons
    from rsadapt.geo.raster import Raster

    files = _files(maps, out, format)
    rasters = [Raster(path) for path in maps]
    schemes = _schemes(maps, classes)
    for file, scheme in zip(files, schemes, strict=True):
        check_polygon_file(
            file, legend=legend_of(scheme, _names(only, scheme)), overwrite=overwrite
        )
    written = []
    for path, raster, scheme, file in zip(maps, rasters, schemes, files, strict=True):
        chosen = _names(only, scheme)
        file.parent.mkdir(parents=True, exist_ok=True)
        polygons = class_polygons(
            raster,
            scheme,
            folder=file.parent,
            smallest_area=smallest_area,
            simplify=simplify,
            only=chosen,
            confidence=_confidence(path),
            watch=_watch(raster, progress),
        )
        written.append(
            write_polygons(
                file,
                polygons.table,
                scheme,
                only=chosen,
                note=polygons.note,
                overwrite=overwrite,
            )
        )
    return written


def _files(maps: Sequence[Path], out: Path, format: str | None) -> list[Path]:
    """The file of each map."""
    suffix = None if format is None else f".{format.removeprefix('.')}"
    if out.suffix and not out.is_dir():
        if len(maps) != 1:
            raise ConfigError(f"{out}: expected a folder for {len(maps)} maps, found a file's name")
        if suffix not in (None, out.suffix):
            raise ConfigError(
                f"{out}: expected a name that ends in the format {suffix}, found '{out.suffix}'; "
                f"leave the format out (--format), or name such a file"
            )
        files = [out]
    else:
        files = [out / f"{_stem(path)}_polygons{suffix or '.gpkg'}" for path in maps]
    for path, file in zip(maps, files, strict=True):
        if files.count(file) > 1:
            raise OutputExistsError(
                f"{files.count(file)} maps would write {file}; write them into folders of their own"
            )
        if file.with_suffix("") == path.with_suffix(""):
            raise OutputExistsError(
                f"{file}: its style would take the place of that of {path.name}; choose another "
                f"name"
            )
    return files


def _stem(path: Path) -> str:
    return path.stem.removesuffix("_classes")


def _schemes(maps: Sequence[Path], classes: Path | None) -> list[ClassScheme]:
    """The class table of each map."""
    if classes is None:
        from rsadapt.infer.map_scores import scheme_of_maps

        return [scheme_of_maps([path]) for path in maps]
    from rsadapt import build

    return [build.class_scheme(build.configuration(classes))] * len(maps)


def _names(only: Sequence[str], scheme: ClassScheme) -> list[str]:
    """The classes that are asked for, of which a name may hold a comma."""
    names: list[str] = []
    for text in only:
        parts = filter(None, map(str.strip, text.split(",")))
        names += [text] if text in scheme.names else parts
    return names


def _confidence(path: Path) -> Raster | None:
    """The confidence map that `predict` wrote beside a class map."""
    from rsadapt.geo.raster import Raster

    beside = path.with_name(f"{_stem(path)}_confidence{path.suffix}")
    return Raster(beside) if path.stem.endswith("_classes") and beside.is_file() else None


def _watch(raster: Raster, progress: Progress | None) -> Watch:
    def watch(task: str, windows: Sequence[Window]) -> Iterator[Window]:
        return watched(windows, f"{raster.path.name}: {task}", progress)

    return watch
