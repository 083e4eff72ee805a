"""Scenes that cannot be used, left out where that is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial

from rsadapt.build.bands import SceneFiles
from rsadapt.errors import DataError, LeftOutWarning
from rsadapt.geo.location import Location
from rsadapt.geo.place import placed
from rsadapt.geo.raster import Raster

SHOWN = 5
"""The most files that the warning names."""


def without_damaged(
    name: str,
    scenes: Sequence[SceneFiles],
    labels: Sequence[Location],
    opened: Callable[[SceneFiles], Raster],
) -> tuple[list[SceneFiles], list[Location]]:
    """The scenes that can be read to their end and placed, with their labels.

    Every pixel is read once. A scene that says nowhere where it lies is left out among others that
    do. A warning counts what is left out, and names it.

    Args:
        name: of the region, for messages.
        scenes: their files.
        labels: raster labels, one a scene in the same order; none otherwise.
        opened: opens a scene as it is used, in the place that is assumed of it.

    Raises:
        DataError: where no scene is left.
    """
    rasters = {scene: partial(opened, scene) for scene in scenes}
    faults = {scene: _fault(open_raster) for scene, open_raster in rasters.items()}
    lost = {
        scene for scene, fault in faults.items() if fault is None and not placed(rasters[scene]())
    }
    if len(lost) < sum(fault is None for fault in faults.values()):
        faults |= {scene: f"{scene}: says nowhere where it lies" for scene in lost}
    for scene, label in zip(scenes, labels, strict=bool(labels)):
        faults[scene] = faults[scene] or _fault(partial(Raster, label))
    told = [fault for fault in faults.values() if fault is not None]
    kept = [number for number, scene in enumerate(scenes) if faults[scene] is None]
    if not kept:
        raise DataError(f"{name} region: no scene can be read, such as {told[0]}")
    if told:
        more = f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
        text = (
            f"{name} region: {len(told)} of {len(scenes)} scenes are left out as damaged: "
            f"{'; '.join(told[:SHOWN])}{more}"
        )
        warnings.warn(LeftOutWarning(name, text), stacklevel=2)
    return [scenes[n] for n in kept], [labels[n] for n in kept] if labels else []


def _fault(open_raster: Callable[[], Raster]) -> str | None:
    """Why a raster cannot be read to its end; None where it can."""
    try:
        raster = open_raster()
        for window in raster.blocks():
            raster.read(window)
    except DataError as error:
        return str(error)
    return None
