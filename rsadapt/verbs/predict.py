"""Predict: scenes in, georeferenced class maps out."""

from __future__ import annotations

import importlib.metadata
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsadapt.adapt.batch_norm import Domain
from rsadapt.config import FolderSettings, PredictionSettings, RegionSettings
from rsadapt.data.frame_images import FrameImages
from rsadapt.data.images import write_png
from rsadapt.errors import ConfigError, DataError, MissingFileError, OutputExistsError
from rsadapt.geo.location import Location, is_address, located
from rsadapt.infer.frames import predict_frames
from rsadapt.infer.sharing import Sharing
from rsadapt.model import Model, Saved, answers, open_model, probabilities, reopen, saved
from rsadapt.progress import Progress, watched

if TYPE_CHECKING:
    from rsadapt.geo.masked import Mask
    from rsadapt.geo.raster import Raster
    from rsadapt.infer.layers import Layer, LayerName
    from rsadapt.infer.mosaic import MosaicKind, PredictedMosaic
    from rsadapt.infer.pipeline import Network
    from rsadapt.infer.predict import PredictedScene
    from rsadapt.infer.products import PolygonOptions, Products


@dataclass(frozen=True)
class PredictedFrame:
    """What the prediction of a frame wrote.

    Attributes:
        ids: label ids, 8 bits, at the frame's own size.
        colours: the same in the classes' colours.
        note: worth a word to the user; nothing.
    """

    ids: Path
    colours: Path
    note: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """What was written, the ids first."""
        return self.ids, self.colours


def predict(
    run: Path,
    scenes: Sequence[Path | str],
    out: Path,
    *,
    domain: Domain = "target",
    area: Sequence[Path] = (),
    recipe: Path | None = None,
    assignments: Sequence[str] = (),
    layers: Sequence[str] = ("classes", "confidence"),
    precise: bool = False,
    prediction: Mapping[str, Any] | None = None,
    also: Sequence[str] = (),
    format: str = ".gpkg",
    smallest_area: float = 0.0,
    simplify: float = 0.0,
    mosaic: MosaicKind | None = None,
    cluster: str | None = None,
    workers: int | None = None,
    devices: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Sequence[PredictedScene | PredictedMosaic | PredictedFrame]:
    """Map scenes, or label frames, with a trained network.

    A network of GeoTIFF regions writes the layers asked for of each scene, on the scene's own grid,
    and goes on with what an earlier call of the same kind left unfinished. Where it was trained at
    a ground size that its configuration names (`pixel`) and the scene's is another, the grid is of
    that size, in the scene's own CRS. An unflagged border that the domain was trained without
    (`border`) is nodata here too. What is assumed of a scene's place (`assumed_crs`,
    `assumed_pixel`) is used and not written. A network of image folders writes `ids/NAME.png`,
    label ids at the frame's own size as the Cityscapes server takes them, and `colours/NAME.png`,
    the same in the classes' colours.

    Args:
        run: a run's folder or checkpoint; with `recipe` a bare weight file of any known naming.
        scenes: rasters with the bands of the run, of any size, by file or address; STAC items,
            whose assets may be files of one band; or colour images.
        out: folder for the results, made where it is missing.
        domain: the domain the scenes belong to, whose normalisation and batch-norm statistics
            they are predicted with.
        area: vector files, in any CRS, of GeoTIFF regions: what lies outside their features is
            nodata, and scenes that do so wholly are left out with a warning.
        recipe: the configuration, or the ready recipe's name, that bare weights belong to.
        assignments: "dotted.key=value" changes to the recipe.
        layers: what to write of each scene: see `rsadapt.infer.layers.layers`.
        precise: write probabilities as float32, not in 254 steps.
        prediction: changes to the run's `prediction` settings, such as {"tile": 1024}.
        also: what to make of each scene's maps besides: "polygons" of its classes (see
            `polygonize`), "areas" of them as CSV and JSON, and "stac", a STAC item of all files.
            They are published together with the maps.
        format: of the polygons: .gpkg, .parquet or .fgb.
        smallest_area: square metres; smaller pieces are given to their largest neighbour.
        simplify: metres; outlines lose details of about this size, the same on both sides.
        mosaic: show the maps of all scenes as one besides, last in what is returned: "vrt" names
            them, "cog" copies them. Later scenes lie over earlier ones.
        cluster: address of a dask scheduler whose workers predict the scenes of GeoTIFF regions.
            They must see run, scenes and `out` under the same paths.
        workers: dask workers to start on this machine for the same. A script that starts
            processes must do so below `if __name__ == "__main__"`.
        devices: processes to start for the same, one a GPU; without GPUs on the CPU.
        overwrite: replace results that are already there.
        progress: called with a scene's name, its pixels done and in all; or with "predict",
            frames done and frames in all.

    Raises:
        MissingFileError: for a scene, a run or a weight file that is not there.
        CheckpointError: for a checkpoint or weight file that cannot be used.
        ConfigError: for an area, further outputs, a mosaic or other processes where there are image
            folders; for unknown names, values that cannot be meant, more devices than there are, or
            several of `cluster`, `workers` and `devices`.
        WorkerError: for other processes that cannot be reached or do not do their work.
        DataError: for a scene that cannot be read, or lacks bands of the run; where all scenes lie
            outside the area; for a mosaic of scenes whose pixels are not on one grid.
        OutputExistsError: for results that are already there, or scenes of one name.
    """
    sharing = Sharing(cluster, workers, devices)
    model = open_model(run, recipe=recipe, assignments=assignments, progress=progress)
    if isinstance(model.facts.settings.target, FolderSettings):
        if area:
            raise ConfigError("an area is given, and frames of image folders have no place in it")
        if also or mosaic:
            raise ConfigError(
                "further outputs or a mosaic are asked for, and frames of image folders have no "
                "place on Earth; leave them out"
            )
        if not sharing.local:
            raise ConfigError("frames of image folders are predicted by this process alone")
        frames = [_local(scene) for scene in scenes]
        _refuse_same_names([frame.stem for frame in frames])
        return _predict_frames(
            model, frames, out, domain=domain, overwrite=overwrite, progress=progress
        )
    place = saved(model, run, bare=recipe is not None)
    return _predict_scenes(
        model,
        run,
        scenes if sharing.local else _absolute(scenes),
        out,
        place=place,
        sharing=sharing,
        settings=_changed(model.facts.settings.prediction, prediction or {}),
        kinds=layers,
        precise=precise,
        domain=domain,
        area=area,
        also=also,
        polygons=_polygon_options(also, format, smallest_area, simplify),
        mosaic=mosaic,
        overwrite=overwrite,
        progress=progress,
    )


def _polygon_options(
    also: Sequence[str], format: str, smallest_area: float, simplify: float
) -> PolygonOptions:
    from rsadapt.infer.products import PolygonOptions

    options = PolygonOptions(format, smallest_area, simplify)
    if "polygons" not in also and options != PolygonOptions():
        raise ConfigError(
            "a format, a smallest area or a simplification is given, which only polygons have; "
            "ask for these too (--also polygons), or leave it out"
        )
    return options


def _layer_names(names: Sequence[str]) -> list[LayerName]:
    from rsadapt.infer.layers import LAYERS

    known = {str(name): name for name in LAYERS}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConfigError(
            f"expected layers among {', '.join(LAYERS)}, found {', '.join(unknown) or 'none'}"
        )
    return [known[name] for name in names]


def _changed(settings: PredictionSettings, changes: Mapping[str, Any]) -> PredictionSettings:
    """Settings of which some are given anew.

    Raises:
        ConfigError: for values that cannot be meant.
    """
    from pydantic import ValidationError

    given = {name: value for name, value in changes.items() if value is not None}
    try:
        changed = PredictionSettings(**(settings.model_dump() | given))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0]}: {first['msg']}, found {first['input']}") from error
    if changed.overlap >= changed.tile:
        raise ConfigError(
            f"expected an overlap smaller than the tile, found {changed.overlap} and "
            f"{changed.tile}; give both"
        )
    return changed


def _predict_frames(
    model: Model,
    frames: Sequence[Path],
    out: Path,
    *,
    domain: Domain,
    overwrite: bool,
    progress: Progress | None,
) -> list[PredictedFrame]:
    settings = model.facts.settings
    chosen = settings.source if domain == "source" else settings.target
    if not isinstance(chosen, FolderSettings):
        raise ConfigError("the domains of a run are both image folders or both GeoTIFF regions")
    _find(frames)
    size = chosen.evaluation_size or chosen.size
    images = FrameImages(
        frames, (size.height, size.width), model.facts.bands, model.facts.normalise[domain]
    )
    written = [
        PredictedFrame(out / "ids" / f"{frame.stem}.png", out / "colours" / f"{frame.stem}.png")
        for frame in frames
    ]
    _refuse_existing(written, overwrite=overwrite)
    scheme = model.scheme
    predicted = predict_frames(
        watched(images, "predict", progress),
        answers(model.parts, domain),
        scheme=scheme,
        device=model.device,
    )
    for frame, (_, train_ids) in zip(written, predicted, strict=True):
        write_png(frame.ids, scheme.decode(train_ids))
        write_png(frame.colours, scheme.paint(train_ids))
    return written


def _local(frame: Path | str) -> Path:
    """Refuse frames that are no files of this machine."""
    if isinstance(frame, str) and is_address(frame):
        raise MissingFileError(
            f"{frame}: expected an image file, found an address; download it and name the file"
        )
    return Path(frame)


def _find(frames: Sequence[Path]) -> None:
    """Make sure that all frames are there before the first is predicted."""
    for frame in frames:
        if frame.is_dir():
            raise MissingFileError(f"{frame}: expected an image, found a folder; name its files")
        if not frame.is_file():
            raise MissingFileError(f"{frame}: expected an image, found no file; check the path")


def _refuse_existing(written: Sequence[PredictedFrame], *, overwrite: bool) -> None:
    for frame in written:
        for path in frame.files:
            if path.exists() and not overwrite:
                raise OutputExistsError(
                    f"{path} exists already and is left as it is; choose another folder or "
                    f"overwrite it"
                )


def _predict_scenes(
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
    from rsadapt.build.regions import scene_bands  # rasterio is not needed to predict frames
    from rsadapt.build.validity import without_border
    from rsadapt.geo.assumed import stated_grid
    from rsadapt.geo.mosaic import common_grid
    from rsadapt.infer.layers import layers
    from rsadapt.infer.map_scores import MOSAIC
    from rsadapt.infer.mosaic import mosaic_files, write_mosaic
    from rsadapt.infer.predict import Tiling, predict_scene
    from rsadapt.infer.work import ask_device, finish_by

    chosen = layers(_layer_names(kinds), model.scheme, precise=precise)
    region = _region(model, domain)
    wanted = region.bands or model.facts.bands
    rasters = [_as_trained(scene, wanted, region, domain) for scene in scenes]
    _refuse_same_names([raster.path.stem for raster in rasters])
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
    if mosaic is not None:
        if MOSAIC in named:
            raise OutputExistsError(
                f"{named[MOSAIC]}: a scene called '{MOSAIC}' and the mosaic would write the same "
                f"map; rename it"
            )
        together = mosaic_files(out, chosen, mosaic, overwrite=overwrite)
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
                tiling=Tiling(settings.tile, settings.overlap, settings.blending),
                area=part,
                facts={
                    "run": place.digest,
                    "domain": domain,
                    "turns": settings.turns,
                    "precision": str(model.facts.settings.device.precision),
                },
                tags=_tags(model, run, raster.path, domain),
                extras=products,
                extra_files=products.files,
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
        write_mosaic(maps, together, grid=whole, windows=windows, layers=chosen),
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
        predict=averaged(probabilities(model.parts, domain), settings.turns),
        normalise=model.facts.normalise[domain],
        bands=model.facts.bands,
        num_classes=len(model.scheme),
        batch_size=settings.batch_size,
        device=model.device,
    )


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


def _refuse_same_names(stems: Sequence[str]) -> None:
    for stem in stems:
        if stems.count(stem) > 1:
            raise OutputExistsError(
                f"{stems.count(stem)} scenes are called '{stem}' and would write the same map; "
                f"predict them into folders of their own"
            )


def _tags(model: Model, run: Path, scene: Location, domain: Domain) -> dict[str, str]:
    """What a map says of its origin."""
    from rsadapt.infer.map_scores import CLASSES_TAG

    record = model.facts.record
    return {
        "RSADAPT_RUN": str(run.resolve()),
        "RSADAPT_SCENE": _origin(scene),
        "RSADAPT_DOMAIN": domain,
        "RSADAPT_STEP": str(model.step),
        "RSADAPT_METHOD": str(record["method"]),
        "RSADAPT_SEED": str(record["seed"]),
        "RSADAPT_COMMIT": str(record["commit"]),
        CLASSES_TAG: json.dumps(model.scheme.to_dict()),
    }


def _origin(scene: Location) -> str:
    """A scene's full path, or its address without a query, which may hold a signature."""
    return str(scene.resolve()) if isinstance(scene, Path) else str(scene).partition("?")[0]
