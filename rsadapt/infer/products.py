"""What is made of a scene's maps before they are published: polygons, class areas, a STAC item."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from rsadapt.classes import ClassScheme
from rsadapt.errors import ConfigError
from rsadapt.geo.areas import areas_csv, areas_json, class_areas
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.polygon_files import FORMATS, check_polygon_file, write_polygons
from rsadapt.geo.polygons import class_polygons, pixel_side
from rsadapt.geo.raster import Raster
from rsadapt.geo.stac import asset, raster_facts, stac_item, times_of, utc
from rsadapt.geo.strata import count
from rsadapt.geo.writer import explained
from rsadapt.infer.layers import Layer, LayerName
from rsadapt.progress import Progress, watched

ProductName = Literal["polygons", "areas", "stac"]
PRODUCTS: tuple[ProductName, ...] = get_args(ProductName)

TAG = "RSADAPT_"
"""How the tags begin in which maps tell their origin."""

LINKED = frozenset({"run", "scene", "started", "classes"})
"""Tags that the STAC item tells in another way than as properties."""

TITLES = {
    "classes": "class of each pixel",
    "probabilities": "probability of each class",
    "polygons": "polygons of the classes",
    "areas": "area of each class",
}
"""What files show, by the part of their names that tells; layers of one band say it themselves."""


@dataclass(frozen=True)
class PolygonOptions:
    """How polygons are made.

    Attributes:
        format: .gpkg, .parquet or .fgb.
        smallest_area: square metres; see `class_polygons`.
        simplify: metres; likewise.
    """

    format: str = ".gpkg"
    smallest_area: float = 0.0
    simplify: float = 0.0

    @property
    def suffix(self) -> str:
        """The format, with its dot."""
        return f".{self.format.removeprefix('.')}"


@dataclass(frozen=True)
class Products:
    """Makes what is asked for of the maps of a scene, beside them: `<stem>_<product>.<suffix>`.

    Attributes:
        stem: of the maps' names.
        names: what to make.
        layers: the layers of the scene; the classes are among them.
        scheme: the classes.
        polygons: how polygons are made.
        scene: what the STAC item names as the scene.
        item: properties of the scene's own STAC item, which tell when it was taken.
        tags: of the scene's file, which may tell that too.
        software: versions of what made the maps, by name.
        progress: called with a task's name, windows done and windows in all.
    """

    stem: str
    names: tuple[ProductName, ...]
    layers: tuple[Layer, ...]
    scheme: ClassScheme
    polygons: PolygonOptions
    scene: str
    item: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
    progress: Progress | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that are made."""
        suffixes = {
            "polygons": (self.polygons.suffix, ".qml"),
            "areas": (".csv", ".json"),
            "stac": (".json",),
        }
        return tuple(self._file(name, suffix) for name in self.names for suffix in suffixes[name])

    @property
    def marks(self) -> dict[str, str]:
        """What decides the files besides the maps, as tags of these."""
        if "polygons" not in self.names:
            return {}
        chosen = self.polygons
        smallest, within = float(chosen.smallest_area), float(chosen.simplify)
        return {f"{TAG}POLYGONS": f"{chosen.suffix[1:]}, from {smallest} m2 on, within {within} m"}

    def check(self, out: Path, grid: Grid) -> None:
        """Refuse what could not be made, before anything is predicted.

        Args:
            out: the folder of the maps.
            grid: of the maps.

        Raises:
            ConfigError: without a map of classes, or for polygons that cannot be meant or written.
            DataError: for metres asked of a scene without a place on Earth.
        """
        if self.names and "classes" not in [layer.name for layer in self.layers]:
            raise ConfigError(
                f"expected 'classes' among the layers, of which {', '.join(self.names)} are made, "
                f"found {', '.join(layer.name for layer in self.layers)}; add it"
            )
        if "polygons" in self.names:
            check_polygon_file(out / self._file("polygons", self.polygons.suffix), overwrite=True)
            pixel_side(grid, self.polygons.smallest_area, self.polygons.simplify, where=self.scene)

    def __call__(self, maps: Mapping[LayerName, Path]) -> None:
        """Make everything, in the folder of the maps.

        Raises:
            DataError: where it cannot be written.
        """
        if "polygons" in self.names:
            self._write_polygons(maps)
        if "areas" in self.names:
            self._write_areas(maps["classes"])
        if "stac" in self.names:
            self._write_item(maps)

    def _file(self, product: str, suffix: str) -> str:
        return f"{self.stem}_{product}{suffix}"

    def _write_polygons(self, maps: Mapping[LayerName, Path]) -> None:
        path = maps["classes"].with_name(self._file("polygons", self.polygons.suffix))

        def watch(task: str, windows: Sequence[Window]) -> Iterator[Window]:
            return watched(windows, f"{self.stem} polygons: {task}", self.progress)

        found = class_polygons(
            Raster(maps["classes"]),
            self.scheme,
            folder=path.parent,
            smallest_area=self.polygons.smallest_area,
            simplify=self.polygons.simplify,
            confidence=Raster(maps["confidence"]) if "confidence" in maps else None,
            watch=watch,
        )
        write_polygons(path, found.table, self.scheme, overwrite=True)
        if found.note:
            warnings.warn(f"{path.name}: {found.note}", stacklevel=2)

    def _write_areas(self, path: Path) -> None:
        raster = Raster(path)
        areas = class_areas(
            self.scheme,
            count(
                [raster],
                self.scheme,
                lambda blocks: watched(blocks, f"{self.stem} areas", self.progress),
            ),
        )
        texts = {
            ".csv": areas_csv(areas),
            ".json": areas_json(areas, shown=path, started=raster.tags.get(f"{TAG}STARTED")),
        }
        for suffix, text in texts.items():
            _write(path.with_name(self._file("areas", suffix)), text)

    def _write_item(self, maps: Mapping[LayerName, Path]) -> None:
        path = maps["classes"].with_name(self._file("stac", ".json"))
        raster = Raster(maps["classes"])
        origin = {
            key.removeprefix(TAG).lower(): value
            for key, value in raster.tags.items()
            if key.startswith(TAG)
        }
        started = utc(origin["started"])
        item = stac_item(
            f"{self.stem}_map",
            raster.grid,
            times=times_of(self.item, self.tags, started),
            assets=self._assets(path, raster.grid),
            links=self._links(origin),
            properties={
                "created": started,
                "processing:datetime": started,
                "processing:level": "L4",
                "processing:lineage": f"classes predicted by a network from {self.scene}",
                "processing:software": dict(self.software),
                **{f"rsadapt:{key}": origin[key] for key in sorted(origin.keys() - LINKED)},
            },
        )
        _write(path, json.dumps(item, indent=2, ensure_ascii=False) + "\n")

    def _links(self, origin: Mapping[str, str]) -> list[dict[str, str]]:
        """To the scene, and to the run whose network mapped it."""
        scene = {"rel": "derived_from", "href": self.scene, "title": "the scene"}
        suffix = self.scene.rpartition(".")[2].lower()
        if suffix in SCENE_TYPES:
            scene["type"] = SCENE_TYPES[suffix]
        run = {"rel": "via", "title": "the run that trained the network"}
        return [scene, *([run | {"href": origin["run"]}] if "run" in origin else [])]

    def _assets(self, item: Path, grid: Grid) -> dict[str, dict[str, Any]]:
        """Every file beside the item, maps and tables by the names of what they show."""
        layers: dict[str, Layer] = {layer.name: layer for layer in self.layers}
        found = {}
        for file in sorted(item.parent.iterdir()):
            shows, _, suffix = file.name.removeprefix(f"{self.stem}_").partition(".")
            if file == item or file.is_dir():
                continue
            main = suffix in MAIN
            title = self._title(shows) if main else f"{self._title(shows)}, .{suffix}"
            told = asset(file.name, title, "data" if main else "metadata")
            if suffix == "tif":
                bands = layers[shows].bands
                told |= raster_facts(
                    grid,
                    descriptions=bands.descriptions,
                    dtype=bands.dtype,
                    nodata=bands.nodata,
                    scale=bands.scale,
                    scheme=bands.scheme,
                )
            found[shows if main else f"{shows}-{suffix.replace('.', '-')}"] = told
        return found

    def _title(self, shows: str) -> str:
        said: dict[str, str] = {layer.name: layer.bands.descriptions[0] for layer in self.layers}
        return (said | TITLES)[shows]


SCENE_TYPES = {
    "tif": "image/tiff; application=geotiff",
    "tiff": "image/tiff; application=geotiff",
    "jp2": "image/jp2",
    "json": "application/geo+json",
}
"""Media types of scenes, by the end of their names."""

MAIN = frozenset({"tif", "csv", *(suffix.removeprefix(".") for suffix in FORMATS)})
"""What files end in that are not there for the sake of others."""


def _write(path: Path, text: str) -> None:
    with explained(path):
        path.write_text(text, encoding="utf-8")


def product_names(names: Sequence[str]) -> tuple[ProductName, ...]:
    """The products of these names, in the order of `PRODUCTS`.

    Raises:
        ConfigError: for an unknown name.
    """
    unknown = [name for name in names if name not in PRODUCTS]
    if unknown:
        raise ConfigError(
            f"expected further outputs among {', '.join(PRODUCTS)}, found {', '.join(unknown)}"
        )
    return tuple(name for name in PRODUCTS if name in names)
