"""Predict: scenes in, georeferenced class maps out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsadapt import build
from rsadapt.adapt.batch_norm import Domain
from rsadapt.config import Configuration, FolderSettings, PredictionSettings
from rsadapt.errors import ConfigError
from rsadapt.infer.sharing import Sharing
from rsadapt.mapping.frames import PredictedFrame, map_frames
from rsadapt.mapping.scenes import map_scenes
from rsadapt.model import open_model, saved
from rsadapt.progress import Progress

if TYPE_CHECKING:
    from rsadapt.infer.mosaic import MosaicKind, PredictedMosaic
    from rsadapt.infer.predict import PredictedScene
    from rsadapt.infer.products import PolygonOptions


@build.process_kept()
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
    device: str | None = None,
    threads: int | None = None,
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
        device: "cpu", "cuda", "mps" or "auto"; by default the run's, where the machine has it.
        threads: of the CPU; as many as the run had by default.
        overwrite: replace results that are already there.
        progress: called with a scene's name, its pixels done and in all; or with "predict",
            frames done and frames in all.

    Raises:
        MissingFileError: for a scene, a run or a weight file that is not there.
        CheckpointError: for a checkpoint or weight file that cannot be used.
        ConfigError: for an area, further outputs, a mosaic or other processes where there are image
            folders; for unknown names, values that cannot be meant, a device that is not there or
            more than there are, or several of `cluster`, `workers` and `devices`.
        WorkerError: for other processes that cannot be reached or do not do their work.
        DataError: for a scene that cannot be read, or lacks bands of the run; where all scenes lie
            outside the area; for a mosaic of scenes whose pixels are not on one grid.
        OutputExistsError: for results that are already there, or scenes of one name.
    """
    sharing = Sharing(cluster, workers, devices)
    use = build.Use(device, threads)
    model = open_model(run, recipe=recipe, assignments=assignments, use=use, progress=progress)
    changed = _changed(model.facts.settings, prediction or {})
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
        return map_frames(
            model,
            scenes,
            out,
            domain=domain,
            precision=changed.precision or model.facts.settings.device.precision,
            overwrite=overwrite,
            progress=progress,
        )
    place = saved(model, bare=recipe is not None, use=use)
    return map_scenes(
        model,
        run,
        scenes,
        out,
        place=place,
        sharing=sharing,
        settings=changed,
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


def _changed(settings: Configuration, changes: Mapping[str, Any]) -> PredictionSettings:
    """The prediction settings of a run of which some are given anew.

    Raises:
        ConfigError: for values that cannot be meant.
    """
    from pydantic import ValidationError

    given = {name: value for name, value in changes.items() if value is not None}
    try:
        changed = PredictionSettings(**(settings.prediction.model_dump() | given))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0]}: {first['msg']}, found {first['input']}") from error
    if changed.overlap >= changed.tile:
        raise ConfigError(
            f"expected an overlap smaller than the tile, found {changed.overlap} and "
            f"{changed.tile}; give both"
        )
    changed.check_precision(settings.device)
    return changed
