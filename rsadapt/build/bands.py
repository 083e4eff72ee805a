"""Scenes of one file a band: found by a pattern a band, or among the assets of a STAC item."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsadapt.errors import DataError
from rsadapt.geo.location import Location, located
from rsadapt.geo.raster import Raster
from rsadapt.geo.stack import StackedRaster
from rsadapt.geo.warp import ResamplingName, aligned

SHOWN = 6
"""The most names that a message lists."""


@dataclass(frozen=True)
class BandFiles:
    """A scene whose bands lie in files of their own.

    Attributes:
        names: of the bands.
        files: one a band, in the same order.
        path: what messages and maps call the scene.
        stem: what its labels may be called.
    """

    names: tuple[str, ...]
    files: tuple[Location, ...]
    path: Location
    stem: str

    def __str__(self) -> str:
        return str(self.path)


SceneFiles = Location | BandFiles
"""A scene in one file, or in one a band."""


def open_scene(
    scene: SceneFiles,
    resampling: ResamplingName,
    place: Callable[[Raster], Raster] = lambda raster: raster,
) -> Raster:
    """Open a scene; bands in files of their own are brought to the grid of the finest.

    Args:
        scene: its file or files.
        resampling: how bands are brought there, where they lie on other grids.
        place: gives a file that does not say where it lies its place.

    Raises:
        MissingFileError, DataError: see `Raster` and `StackedRaster`.
    """
    if not isinstance(scene, BandFiles):
        return place(Raster(scene))
    parts = aligned([place(Raster(file)) for file in scene.files], resampling)
    return StackedRaster(parts, scene.names, scene.path)


def band_scenes(
    patterns: Mapping[str, str], files: Mapping[str, list[Location]]
) -> list[BandFiles]:
    """Pair the files of scenes, by what the wildcards of each band's pattern stand for.

    Args:
        patterns: of each band.
        files: that each matches.

    Raises:
        DataError: where that does not tell which belong together.
    """
    keyed = {
        band: {_key(patterns[band], file): file for file in found} for band, found in files.items()
    }
    first = next(iter(keyed.values()))
    if all(len(found) == 1 for found in files.values()):  # one scene, whatever they are called
        return [_scene(files, [found[0] for found in files.values()], "")]
    for band, found in keyed.items():
        odd = found.keys() ^ first.keys()
        if odd or len(found) < len(files[band]):
            raise DataError(_unpaired(files, band, sorted(odd)))
    telling = [len(set(parts)) > 1 for parts in zip(*first, strict=False)]
    return [
        _scene(
            files,
            [found[key] for found in keyed.values()],
            "_".join(part for part, tells in zip(key, telling, strict=False) if tells and part),
        )
        for key in first
    ]


def _scene(bands: Mapping[str, Any], files: Sequence[Location], stem: str) -> BandFiles:
    return BandFiles(tuple(bands), tuple(files), files[0], stem.replace("/", "_") or files[0].stem)


def _unpaired(
    files: Mapping[str, Sequence[Location]], band: str, odd: Sequence[tuple[str, ...]]
) -> str:
    first = next(iter(files))
    counts = ", ".join(f"{name} {len(found)}" for name, found in files.items())
    alone = ", ".join("*".join(key) for key in odd[:SHOWN]) or "some twice"
    return (
        f"band files: expected the wildcards of every pattern to stand for the same, one scene "
        f"each, found files of {counts}, and of '{first}' and '{band}' not in both: {alone}, such "
        f"as {files[first][0]} and {files[band][0]}; write patterns that differ in the band alone "
        f"(*_B02.tif, *_B03.tif)"
    )


def _key(pattern: str, file: Location) -> tuple[str, ...]:
    """What the wildcards of a pattern stand for in a file's path; its name in a folder."""
    found = re.search(f"(?:^|/){_as_expression(pattern)}$", str(file).replace("\\", "/"))
    return found.groups() if found and found.groups() else (file.name,)


def _as_expression(pattern: str) -> str:
    """A glob pattern as a regular expression with a group for each wildcard."""
    wild = {"**/": "((?:[^/]+/)*)", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern.removeprefix("./"))
    return "".join(
        wild.get(part) or f"([{'^' + part[2:-1] if part[1] == '!' else part[1:-1]}])"
        if number % 2
        else re.escape(part)
        for number, part in enumerate(parts)
    )


def stac_scene(item: Path, values: Mapping[str, Any], wanted: Sequence[int | str]) -> SceneFiles:
    """The scene of a STAC item: its assets with the role "data" (STAC 1.0, "Asset Object").

    Several are bands in files of their own, called by their common names (Electro-Optical
    extension: `eo:bands`, or `bands` of STAC 1.1) where these tell them apart, else by their keys.

    Args:
        item: its file, at whose folder relative addresses start.
        values: what it holds.
        wanted: bands that are asked for; where all are names, no other asset is opened.

    Raises:
        DataError: for an item without such assets, or without one that is wanted.
    """
    assets = values.get("assets")
    described = {
        str(key): asset
        for key, asset in (assets.items() if isinstance(assets, dict) else ())
        if isinstance(asset, dict)
    }
    data = {
        key: asset
        for key, asset in described.items()
        if "data" in (asset.get("roles") or ()) and isinstance(asset.get("href"), str)
    }
    if not data:
        raise DataError(
            f"{item}: expected assets with the role 'data', found none among "
            f"{', '.join(described) or 'none'}; name the files themselves"
        )
    files = {key: located(asset["href"], item.parent) for key, asset in data.items()}
    if len(files) == 1:
        return next(iter(files.values()))
    common = {key: _common_name(asset) for key, asset in data.items()}
    names = {name: key for key, name in common.items() if name}
    if wanted and all(isinstance(band, str) for band in wanted):
        chosen = {str(band): _asset(str(band), common, item) for band in wanted}
    elif len(names) == len(data):
        chosen = names
    else:
        chosen = {key: key for key in data}
    return BandFiles(tuple(chosen), tuple(files[key] for key in chosen.values()), item, item.stem)


def _common_name(asset: Mapping[str, Any]) -> str | None:
    """What the one band of an asset is commonly called, such as "red"."""
    bands = asset.get("eo:bands") or asset.get("bands")
    if not isinstance(bands, list) or len(bands) != 1 or not isinstance(bands[0], dict):
        return None
    name = bands[0].get("common_name") or bands[0].get("eo:common_name")
    return name if isinstance(name, str) else None


def _asset(band: str, common: Mapping[str, str | None], item: Path) -> str:
    """The key of the asset so called, or else of the only one commonly so called."""
    found = [key for key in common if key.casefold() == band.casefold()] or [
        key for key, name in common.items() if name and name.casefold() == band.casefold()
    ]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{key} ({name})" if name else key for key, name in common.items())
    raise DataError(
        f"{item}: expected one asset called '{band}', found "
        f"{', '.join(found) or f'none among {listed}'}; name an asset's key in 'bands'"
    )
