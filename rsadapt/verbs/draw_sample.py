"""Draw a sample: points to interpret, by which a map's accuracy and areas can be estimated."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsadapt import build
from rsadapt.errors import ConfigError, DataError
from rsadapt.progress import Progress, watched


@dataclass(frozen=True)
class DrawnSample:
    """A sample that was drawn.

    Attributes:
        path: its GeoPackage.
        units: points of each class of the map.
        hectares: of each class in the map.
    """

    path: Path
    units: dict[str, int]
    hectares: dict[str, float]


def draw_sample(
    maps: Sequence[Path],
    out: Path,
    *,
    size: int | None = None,
    standard_error: float = 0.01,
    expected: float = 0.8,
    expected_of: Mapping[str, float] | None = None,
    least: int = 50,
    seed: int = 0,
    classes: Path | None = None,
    progress: Progress | None = None,
) -> DrawnSample:
    """Draw a random sample, stratified by map class, as points for photo-interpretation.

    Its size is that of Olofsson et al. 2014 (equation 13) for the overall accuracy to have a given
    standard error, and rare classes get a least number of points (section 5.1.2). A point is the
    centre of a pixel.

    Args:
        maps: class maps that together are the area of interest, without overlap. A mosaic that
            `predict` wrote of them is left out, with a warning.
        out: the GeoPackage to write, .gpkg.
        size: points in all, in place of what the standard error asks for. Where `least` of every
            class are more, these are drawn, with a warning.
        standard_error: of the overall accuracy.
        expected: user's accuracy that each class is thought to have, 0..1.
        expected_of: the same of single classes, by name.
        least: points of a class that is in the map.
        seed: decides which pixels are drawn.
        classes: a configuration whose class table the maps have; by default the one inside them.
        progress: called with a task's name, blocks done and blocks in all.

    Raises:
        OutputExistsError: where `out` exists.
        MissingFileError: for a map that is not there.
        DataError: for maps without a class table, a CRS or a class, that overlap, or named twice.
        ConfigError: for an accuracy outside 0..1, a size below 1, an unknown class or format.
    """
    from rsadapt.geo.raster import Raster
    from rsadapt.geo.reference import check_sample_file, write_sample
    from rsadapt.geo.strata import draw, measure
    from rsadapt.infer.accuracy import allocate, sample_size
    from rsadapt.infer.map_scores import scheme_of_maps

    check_sample_file(out)
    if size is not None and size < 1:
        raise ConfigError(f"expected a sample of at least one point, found a size of {size}")
    maps = _once(maps)
    if classes is None:
        scheme = scheme_of_maps(maps)
    else:
        scheme = build.class_scheme(build.configuration(classes))
    users = dict.fromkeys(scheme.names, expected)
    for name, value in (expected_of or {}).items():
        if name not in users:
            raise ConfigError(f"expected a class among {', '.join(users)}, found '{name}'")
        users[name] = value
    rasters = [Raster(path) for path in maps]
    strata = measure(rasters, scheme, lambda blocks: watched(blocks, "measure classes", progress))
    wanted = size
    if wanted is None:
        wanted = sample_size(strata.weights, list(users.values()), standard_error)
    units = draw(
        rasters,
        scheme,
        strata,
        allocate(wanted, strata.weights, least),
        seed=seed,
        watch=lambda blocks: watched(blocks, "draw points", progress),
    )
    if size and len(units) > size:
        warnings.warn(
            f"drew {len(units)} points in place of {size}, since every class of the map gets "
            f"{least}; for fewer lower that number (--least)",
            stacklevel=2,
        )
    write_sample(out, rasters, scheme, strata, units)
    drawn = [unit.train_id for unit in units]
    return DrawnSample(
        out,
        {name: drawn.count(number) for number, name in enumerate(scheme.names)},
        {name: area / 1e4 for name, area in zip(scheme.names, strata.areas, strict=True)},
    )


def _once(maps: Sequence[Path]) -> list[Path]:
    """The maps without a mosaic of those beside it.

    Raises:
        DataError: for a map that is named twice.
    """
    from rsadapt.infer.map_scores import MOSAIC

    known: dict[Path, Path] = {}
    for path in maps:
        if path.resolve() in known:
            raise DataError(
                f"expected every map once, found {known[path.resolve()]} and {path}, which are one "
                f"file whose areas would count twice; leave one of them out"
            )
        known[path.resolve()] = path
    mosaics = [path for path in maps if path.stem == f"{MOSAIC}_classes"]
    scenes = {path.resolve().parent for path in maps if path not in mosaics}
    left_out = [path for path in mosaics if path.resolve().parent in scenes]
    for path in left_out:
        warnings.warn(
            f"{path}: left out, since it shows the maps beside it once more; to draw from the "
            f"mosaic, name it alone",
            stacklevel=3,
        )
    return [path for path in maps if path not in left_out]
