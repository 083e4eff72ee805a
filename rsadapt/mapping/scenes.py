"""Scenes with a trained network: read as its domain was, mapped, and what is made of the maps."""

from __future__ import annotations

import importlib.metadata
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rsadapt.adapt.batch_norm import Domain
from rsadapt.config import PredictionSettings, RegionSettings
from rsadapt.errors import ConfigError, DataError, OutputExistsError
from rsadapt.geo.fingerprint import fingerprint
from rsadapt.geo.location import Location, located
from rsadapt.infer.sharing import Sharing
from rsadapt.mapping.names import refuse_same_names
from rsadapt.model import Model, Saved, network_of, probabilities, reopen
from rsadapt.progress import Progress

if TYPE_CHECKING:
    from rsadapt.geo.masked import Mask
    from rsadapt.geo.raster import Raster
    from rsadapt.infer.layers import Layer, LayerName
    from rsadapt.infer.mosaic import MosaicKind, PredictedMosaic
    from rsadapt.infer.pipeline import Network
    from rsadapt.infer.predict import PredictedScene
    from rsadapt.infer.products import PolygonOptions, Products


def map_scenes(
    model: Model,
    run: Path,
    scenes: Sequence[Path | str],
    out: Path,
    *,
    place: Saved,
    sharing: Sharing,
    settings: PredictionSettings,
    kinds: Sequence[str],
    precise: bool,
    domain: Domain,
    area: Sequence[Path],
    also: Sequence[str],
    polygons: PolygonOptions,
    mosaic: MosaicKind | None,
    overwrite: bool,
    progress: Progress | None,
) -> list[PredictedScene | PredictedMosaic]:
    """Map scenes, as `rsadapt.verbs.predict.predict` says."""
    from rsadapt.build.regions import scene_bands  # rasterio is not needed to predict frames
    from rsadapt.build.validity import without_border
    from rsadapt.geo.assumed import stated_grid
    from rsadapt.geo.mosaic import common_grid
    from rsadapt.infer.layers import layers
    from rsadapt.infer.map_scores import MOSAIC
    from rsadapt.infer.mosaic import mosaic_files, write_mosaic
    from rsadapt.infer.predict import Tiling, predict_scene
    from rsadapt.infer.work import ask_device, finish_by

    if not sharing.local:
        scenes = _absolute(scenes)
    chosen = layers(_layer_names(kinds), model.scheme, precise=precise)
    region = _region(model, domain)
    wanted = model.facts.bands_of(domain)
    rasters = [_as_trained(scene, wanted, region, domain) for scene in scenes]
    refuse_same_names([raster.path.stem for raster in rasters])
    named = {raster.path.stem: scene for raster, scene in zip(rasters, scenes, strict=True)}
    areas: Sequence[Mask | None] = [None] * len(rasters)
    if area:
        rasters, areas = _within(rasters, area)
    _warn_of_other_sizes(rasters, model, domain)
    bands = [scene_bands(raster, wanted) for raster in rasters]
    grids = [stated_grid(raster) for raster in rasters]
    extras = [
        _products(
            raster,
            named[raster.path.stem],
            also=also,
            layers=chosen,
            polygons=polygons,
            model=model,
            progress=progress,
        )
        for raster in rasters
    ]
    for products, grid in zip(extras, grids, strict=True):
        products.check(out, grid)
    facts = {
        "run": place.digest,
        "domain": domain,
        "turns": settings.turns,
        "precision": _precision(model, settings),
    }
    if mosaic is not None:
        if MOSAIC in named:
            raise OutputExistsError(
                f"{named[MOSAIC]}: a scene called '{MOSAIC}' and the mosaic would write the same "
                f"map; rename it"
            )
        mark = fingerprint(
            rasters,
            areas,
            facts,
            settings.model_dump(),
            [(layer.name, layer.bands.dtype) for layer in chosen],
        )
        together = mosaic_files(out, chosen, mosaic, mark=mark, overwrite=overwrite)
        whole, windows = common_grid(
            {str(raster.path): grid for raster, grid in zip(rasters, grids, strict=True)}
        )
    asked = SavedNetwork(place, domain, settings, model.facts.bands)
    network = _network(model, domain, settings)
    with sharing.pool(model.device) as pool:
        if pool is not None:
            network = replace(network, device=ask_device(pool, asked))
        written: list[PredictedScene] = [
            predict_scene(
                without_border(raster, taken, region),
                out,
                network=replace(network, bands=taken),
                layers=chosen,
                tiling=Tiling(
                    settings.tile,
                    settings.overlap,
                    settings.blending,
                    cell=network_of(model.parts).encoder.period,
                ),
                area=part,
                facts=facts,
                tags=_tags(model, run, raster.path, domain, _precision(model, settings)),
                extras=products,
                extra_files=products.files,
                extra_tags=products.marks,
                finish=None
                if pool is None
                else finish_by(pool, replace(asked, bands=taken), str(network.device)),
                overwrite=overwrite,
                progress=progress,
                grid=grid,
            )
            for raster, taken, part, products, grid in zip(
                rasters, bands, areas, extras, grids, strict=True
            )
        ]
    if mosaic is None:
        return [*written]
    maps = [scene.layers for scene in written]
    return [
        *written,
        write_mosaic(
            maps,
            together,
            grid=whole,
            windows=windows,
            layers=chosen,
            mark=mark,
            overwrite=overwrite,
        ),
    ]


@dataclass(frozen=True)
class SavedNetwork:
    """What is asked of each tile, loaded where it is called; it pickles.

    Attributes:
        saved: where the model lies.
        domain: whose normalisation and batch-norm statistics are used.
        settings: turns and tiles a batch.
        bands: 1-based bands, in the network's order.
    """

    saved: Saved
    domain: Domain
    settings: PredictionSettings
    bands: tuple[int, ...]

    def __call__(self) -> Network:
        """Load it; the model is opened once a process."""
        return replace(_network(reopen(self.saved), self.domain, self.settings), bands=self.bands)


def _network(model: Model, domain: Domain, settings: PredictionSettings) -> Network:
    """What is asked of each tile."""
    from rsadapt.infer.pipeline import Network
    from rsadapt.infer.turns import averaged

    return Network(
        predict=averaged(
            probabilities(model.parts, domain, _precision(model, settings)), settings.turns
        ),
        normalise=model.facts.normalise[domain],
        bands=model.facts.bands,
        num_classes=len(model.scheme),
        batch_size=settings.batch_on(model.device.type),
        device=model.device,
    )


def _precision(model: Model, settings: PredictionSettings) -> str:
    """What is predicted in: asked for, or the run's."""
    return settings.precision or model.facts.settings.device.precision


def _layer_names(names: Sequence[str]) -> list[LayerName]:
    from rsadapt.infer.layers import LAYERS

    known = {str(name): name for name in LAYERS}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConfigError(
            f"expected layers among {', '.join(LAYERS)}, found {', '.join(unknown) or 'none'}"
        )
    return [known[name] for name in names]


def _products(
    raster: Raster,
    named: Path | str,
    *,
    also: Sequence[str],
    layers: Sequence[Layer],
    polygons: PolygonOptions,
    model: Model,
    progress: Progress | None,
) -> Products:
    """What is made of a scene's maps besides."""
    from rsadapt.build.files import stac_item
    from rsadapt.geo.location import located
    from rsadapt.infer.products import Products, product_names

    item = stac_item(located(named))
    return Products(
        raster.path.stem,
        product_names(also),
        tuple(layers),
        model.scheme,
        polygons,
        scene=_origin(raster.path if item is None else item[0]),
        item={} if item is None else item[1].get("properties") or {},
        tags=raster.tags,
        software={"rsadapt": importlib.metadata.version("rsadapt")},
        progress=progress,
    )


def _absolute(scenes: Sequence[Path | str]) -> list[Path | str]:
    """Scenes as processes in other folders name them."""
    places = [located(scene, Path.cwd()) for scene in scenes]
    return [place if isinstance(place, Path) else str(place) for place in places]


def _warn_of_other_sizes(scenes: Sequence[Raster], model: Model, domain: Domain) -> None:
    """Tell of scenes whose pixels show another length on the ground than training did."""
    from rsadapt.geo.place import ground_length, nearly, sizes_differ

    trained, region = model.facts.ground_pixels.get(domain), _region(model, domain)
    if trained is None or region.pixel is not None:
        return
    lengths = {scene.path: ground_length(nearly(scene)) for scene in scenes}
    other = [
        (path, length)
        for path, length in lengths.items()
        if length is not None and sizes_differ(length, trained)
    ]
    if other:
        (path, length), *more = other
        others = f" and {len(more)} more of {len(scenes)} scenes" if more else ""
        warnings.warn(
            f"{path}{others}: a pixel is {length:.3g} m on the ground, and the {domain} was "
            f"trained at {trained:.3g} m, so that things look of other sizes; train with "
            f"--set {domain}.pixel={trained:.3g}, and predict brings scenes to that",
            stacklevel=2,
        )


def _as_trained(
    scene: Path | str, bands: Sequence[int | str], region: RegionSettings, domain: Domain
) -> Raster:
    """A scene warped, in its own CRS, to the ground size that the domain was trained at."""
    from rsadapt.build.files import scene_named
    from rsadapt.build.regions import placed_scene
    from rsadapt.geo.harmonise import ground_pixel, harmonise
    from rsadapt.geo.place import own_crs, same_size
    from rsadapt.geo.warp import warped

    raster = placed_scene(domain, scene_named(scene, bands), region)
    if region.pixel is None:
        return raster
    if raster.grid.north_up and same_size(ground_pixel(raster), region.pixel):
        return raster
    (grid,) = harmonise([raster], crs=own_crs(raster), pixel=region.pixel)
    return warped(raster, grid, region.resampling)


def _within(
    rasters: Sequence[Raster], area: Sequence[Path]
) -> tuple[list[Raster], list[Mask | None]]:
    """The scenes that reach into an area, and their part of it.

    Raises:
        DataError: where none does.
    """
    from rsadapt.build.validity import area_features, area_window, drawn

    features = area_features(area)
    kept: list[Raster] = []
    parts: list[Mask | None] = []
    for raster in rasters:
        part = drawn(features, raster)
        if area_window(part, raster) is not None:
            kept.append(raster)
            parts.append(part)
    outside = len(rasters) - len(kept)
    named = ", ".join(map(str, area))
    if not kept:
        raise DataError(
            f"none of the {outside} scenes, such as {rasters[0].path}, has a pixel in the area of "
            f"{named}; name another area or other scenes"
        )
    if outside:
        warnings.warn(
            f"{outside} of {len(rasters)} scenes lie outside the area of {named} and are left out",
            stacklevel=2,
        )
    return kept, parts


def _region(model: Model, domain: Domain) -> RegionSettings:
    """The settings of a domain of GeoTIFF scenes."""
    settings = model.facts.settings
    chosen = settings.source if domain == "source" else settings.target
    if not isinstance(chosen, RegionSettings):
        raise ConfigError("the domains of a run are both image folders or both GeoTIFF regions")
    return chosen


def _tags(
    model: Model, run: Path, scene: Location, domain: Domain, precision: str
) -> dict[str, str]:
    """What a map says of its origin."""
    from rsadapt.infer.map_scores import CLASSES_TAG

    record = model.facts.record
    return {
        "RSADAPT_RUN": str(run.resolve()),
        "RSADAPT_SCENE": _origin(scene),
        "RSADAPT_DOMAIN": domain,
        "RSADAPT_PRECISION": precision,
        "RSADAPT_STEP": str(model.step),
        "RSADAPT_METHOD": str(record["method"]),
        "RSADAPT_SEED": str(record["seed"]),
        "RSADAPT_COMMIT": str(record["commit"]),
        CLASSES_TAG: json.dumps(model.scheme.to_dict()),
    }


def _origin(scene: Location) -> str:
    """A scene's full path, or its address without a query, which may hold a signature."""
    return str(scene.resolve()) if isinstance(scene, Path) else str(scene).partition("?")[0]
