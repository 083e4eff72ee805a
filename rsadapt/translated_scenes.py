"""Scenes that a translator writes, and whether they keep their classes and look like the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rsadapt import model
from rsadapt.adapt.batch_norm import Domain
from rsadapt.build.validity import without_border
from rsadapt.config import RegionSettings
from rsadapt.data.imagery import Places
from rsadapt.data.region import Region, Scene
from rsadapt.errors import OutputExistsError
from rsadapt.geo.assumed import stated_grid
from rsadapt.geo.grid import tile_windows
from rsadapt.geo.location import Location
from rsadapt.geo.masked import MaskedRaster
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.warp import WarpedRaster, warped
from rsadapt.infer.pipeline import Network
from rsadapt.infer.predict import PredictedScene, Tiling, predict_scene
from rsadapt.infer.translated import translated
from rsadapt.infer.two_samples import discriminability
from rsadapt.mapping.names import refuse_same_names
from rsadapt.nets.generator import STRIDE
from rsadapt.progress import Progress
from rsadapt.run import digest
from rsadapt.scoring import score
from rsadapt.translator import Translator

TILES = 256
"""Tiles of each domain that are told apart, at most."""

LEAST_VALID = 0.9
"""Share of a tile that must be valid: the shape of nodata would tell domains apart."""


def source_images(places: Places[Region], region: RegionSettings) -> list[Raster]:
    """Every image of the source once, of both of its parts, on its own grid.

    Where the region has a ground size of its own (`pixel`) they are on the grids of that, as they
    were learned from; so are those that control points place or that several files make up.

    Raises:
        OutputExistsError: for two of one name, whose translations would have one, too.
    """
    parts = [part for part in (places.source.training, places.source.validation) if part]
    images: dict[Location, Raster] = {
        scene.image.path: scene.image for part in parts for scene in part.scenes
    }
    refuse_same_names([path.stem for path in images])
    bands = places.source.training.bands
    return [without_border(_stored(image, region), bands, region) for image in images.values()]


def _stored(image: Raster, region: RegionSettings) -> Raster:
    """An image without masks, and not warped unless to another ground size."""
    if isinstance(image, MaskedRaster):
        return _stored(image.original, region)
    if isinstance(image, WarpedRaster) and region.pixel is None and not image.original.control:
        return image.original
    return image


def write_scenes(
    translator: Translator,
    images: Sequence[Raster],
    bands: Sequence[int],
    out: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[PredictedScene]:
    """Write scenes in the target's look, each as a GeoTIFF of its own name on its own grid.

    Tiles overlap and share their pixels as maps do, see `rsadapt.infer.pipeline`. A scene that an
    earlier call of the same translator wrote is left as it is, and one that it was stopped in is
    gone on with.

    Args:
        translator: what translates.
        images: of the source.
        bands: 1-based numbers of those that are translated; a written scene holds no others.
        out: folder, made where it is missing.
        overwrite: replace files that are there.
        progress: is told of the pixels done.

    Raises:
        OutputExistsError: for a file of another origin that is there, without `overwrite`.
        DataError: for a scene that cannot be read, or a full disk.
    """
    chosen = translator.settings.prediction
    network = Network(
        predict=translator.translate,
        normalise=translator.normalise["source"],
        bands=tuple(bands),
        num_classes=len(bands),
        batch_size=chosen.batch_on(translator.device.type),
        device=translator.device,
    )
    mark = digest(translator.file)
    look = translator.normalise["target"]
    written = []
    for image in images:
        side = max(STRIDE, min(chosen.tile, *image.grid.shape) // STRIDE * STRIDE)
        layer = translated(image, bands, look=look, dtype=translator.dtype)
        tiling = Tiling(side, min(chosen.overlap, side // 2), chosen.blending, cell=STRIDE)
        written.append(
            predict_scene(
                image,
                out,
                network=network,
                layers=[layer],
                tiling=tiling,
                facts={
                    "translator": mark,
                    "look": look.to_dict(),
                    "nodata": str(layer.bands.nodata),
                },
                grid=stated_grid(image),
                tags={
                    "RSADAPT_TRANSLATOR": mark,
                    "RSADAPT_TRANSLATED_BY": translator.settings.translation.by,
                    "RSADAPT_STEP": str(translator.step),
                },
                overwrite=overwrite,
                progress=progress,
            )
        )
    return written


def refuse_originals(places: Places[Region], folder: Path) -> None:
    """Make sure that no original lies where its translation, or another's, will be written.

    Raises:
        OutputExistsError: for one.
    """
    for imagery in (*places.labelled(), places.target.training):
        for scene in imagery.scenes:
            for raster in (scene.image, scene.label):
                path = getattr(raster, "path", None)
                if isinstance(path, Path) and path.resolve().parent == folder.resolve():
                    raise OutputExistsError(
                        f"{path}: lies in {folder}, where translated scenes are written, and would "
                        f"be replaced; choose another folder with --out"
                    )


def check_translation(
    translator: Translator,
    places: Places[Region],
    region: RegionSettings,
    files: Sequence[Path],
    run: Path | None,
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Whether translated scenes keep their classes, and how like the target they look.

    Args:
        translator: that wrote them.
        places: the imagery that it was trained on.
        region: the source's settings.
        files: the translated scenes, named as their originals.
        run: a segmentation network that knows the source's classes, if any.
        progress: is told of the samples scored.

    Returns:
        "discriminability", the share of tiles that a small network tells rightly from the target's
        (0.5 if alike; None where fewer than 4 tiles are whole): "untranslated" source tiles
        standardised by the source, "translated" ones by the target. With a run "agreement" of its
        network with the source's labels, reports of `ConfusionMatrix.to_dict`: "untranslated"
        scenes predicted as the source, "translated" ones as the target, whose look they have.
    """
    named = {file.stem: file for file in files}
    source = places.source.training
    after = Region(
        "source",
        tuple(_moved(scene, named[scene.image.path.stem], region) for scene in source.scenes),
        tuple(range(1, len(source.bands) + 1)),
    )
    report: dict[str, Any] = {
        "discriminability": _discriminability(translator, places.target.training, source, after)
    }
    if run is not None:
        trained = model.load(run)
        scored: dict[str, tuple[Domain, Region]] = {
            "untranslated": ("source", source),
            "translated": ("target", after),
        }
        report["agreement"] = {
            when: score(
                {domain: part},
                trained.parts,
                trained.facts,
                device=trained.device,
                progress=progress,
            )[domain]
            for when, (domain, part) in scored.items()
        }
    return report


def _moved(scene: Scene, file: Path, region: RegionSettings) -> Scene:
    """A scene whose image is its translation, on the same grid; labels and masks stay."""
    image = warped(Raster(file), scene.image.grid, region.resampling)
    masks = scene.image.masks if isinstance(scene.image, MaskedRaster) else ()
    return replace(scene, image=MaskedRaster(image, masks) if masks else image)


def _discriminability(
    translator: Translator, target: Region, source: Region, after: Region
) -> dict[str, float | None]:
    side, normalise = translator.settings.translation.tile, translator.normalise
    real = tiles(target, normalise["target"], side)
    return {
        "untranslated": discriminability(tiles(source, normalise["source"], side), real),
        "translated": discriminability(tiles(after, normalise["target"], side), real),
    }


def tiles(region: Region, normalise: Normaliser, side: int) -> Tensor:
    """Tiles of a region that lie on a grid and are nearly all valid, at most `TILES`, in order.

    Returns:
        float32 [N, bands, side, side], 0 where invalid.
    """
    places = [
        (scene, window)
        for scene in region.scenes
        for window in tile_windows(scene.area, side, side)
        if (window.height, window.width) == (side, side)
    ]
    places = [places[number] for number in spread(len(places), TILES)]
    found = []
    for scene, window in places:
        values, valid = scene.image.read(window, region.bands)
        if valid.mean() >= LEAST_VALID:
            found.append(torch.from_numpy(normalise(values, valid)))
    return torch.stack(found) if found else torch.empty(0, len(region.bands), side, side)


def spread(length: int, most: int) -> list[int]:
    """Numbers below a length, all or so many evenly from first to last."""
    number = min(length, most)
    return [place * length // number for place in range(number)]
