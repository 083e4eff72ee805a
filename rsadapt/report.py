"""Figures from results: images, labels and maps side by side, and comparisons of methods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from rsadapt.classes import ClassScheme
from rsadapt.errors import ShapeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRETCH = (2.0, 98.0)
"""Percentiles of the valid pixels that become black and white."""

BLANK = 255
"""Grey value, white, of pixels without data or label."""

LEAST_WIDTH = 6.0
"""Inches of a chart of few rows: what its title takes."""


def natural_colours(
    values: NDArray[Any], valid: NDArray[np.bool_], *, bands: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Stretch three bands to what a screen shows.

    Args:
        values: [bands, height, width], any real dtype.
        valid: bool [height, width].
        bands: positions of red, green and blue among the bands, from 0.

    Returns:
        uint8 [height, width, 3], white where invalid.
    """
    picture = np.full((*valid.shape, 3), BLANK, np.uint8)
    if not valid.any():
        return picture
    for channel, band in enumerate(bands):
        seen = values[band][valid].astype(np.float64)
        low, high = np.percentile(seen, STRETCH)
        scaled = (seen - low) / max(high - low, np.finfo(np.float64).tiny)
        picture[valid, channel] = np.clip(255 * scaled, 0, 255).astype(np.uint8)
    return picture


def panels(
    path: Path, pictures: Mapping[str, NDArray[np.uint8]], scheme: ClassScheme, *, title: str
) -> None:
    """Write pictures of one place side by side, with the legend of the classes, as PNG.

    Args:
        path: the figure; missing folders are made.
        pictures: uint8 [height, width, 3] by title, all of one size.
        scheme: the classes of the legend.
        title: of the figure.

    Raises:
        ShapeError: for pictures of different size.
    """
    shapes = {picture.shape for picture in pictures.values()}
    if len(shapes) != 1:
        raise ShapeError(f"pictures side by side must have one size, found {sorted(shapes)}")
    height, width = next(iter(shapes))[:2]
    inches = min(6.0, max(2.0, 2.6 * width / height * 2))
    figure = Figure(
        figsize=(inches * len(pictures), inches * height / width + 1.1), layout="constrained"
    )
    axes = figure.subplots(1, len(pictures), squeeze=False)[0]
    for axis, (name, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(name)
        axis.set_axis_off()
    figure.suptitle(title)
    figure.legend(
        handles=_legend(scheme), loc="outside lower center", ncols=len(scheme), frameon=False
    )
    _save(figure, path)


def bars(path: Path, rows: Mapping[str, Mapping[str, float | None]], *, title: str) -> None:
    """Write a bar chart of IoU by class, one colour a row, as PNG.

    Args:
        path: the figure; missing folders are made.
        rows: by row, the IoU (0..1) of each class; None leaves a gap.
        title: of the figure.
    """
    classes = list(next(iter(rows.values())))
    figure = Figure(figsize=(1.3 * len(classes) + 2, 3.6), layout="constrained")
    axis: Axes = figure.subplots()
    width = 0.8 / len(rows)
    for number, (name, values) in enumerate(rows.items()):
        known = [values[label] for label in classes]
        heights = [np.nan if value is None else 100 * value for value in known]
        places = np.arange(len(classes)) + (number - (len(rows) - 1) / 2) * width
        axis.bar(places, heights, width, label=name)
    axis.set_xticks(np.arange(len(classes)), classes)
    axis.set_ylim(0, 100)
    axis.set_ylabel("IoU, %")
    axis.set_title(title)
    axis.legend(frameon=False)
    _save(figure, path)


def beside(
    path: Path,
    measured: Mapping[str, tuple[float, float | None]],
    published: Mapping[str, float],
    *,
    title: str,
) -> None:
    """Write a bar chart of mIoU by row, with deviation, and published figures as marks, as PNG.

    Args:
        path: the figure; missing folders are made.
        measured: by row, mean and standard deviation (0..1; None for one seed).
        published: by row, what others report (0..1).
        title: of the figure.
    """
    width = max(LEAST_WIDTH, 1.2 * len(measured) + 2)
    figure = Figure(figsize=(width, 3.8), layout="constrained")
    axis: Axes = figure.subplots()
    heights = {row: 100 * mean for row, (mean, _) in measured.items()}
    axis.bar(list(heights), list(heights.values()), label="measured, final iteration")
    spreads = {row: 100 * std for row, (_, std) in measured.items() if std is not None}
    if spreads:
        middles = [heights[row] for row in spreads]
        axis.errorbar(
            list(spreads), middles, list(spreads.values()), fmt="none", ecolor="black", capsize=4
        )
    if published:
        marks = [100 * value for value in published.values()]
        axis.plot(list(published), marks, "k_", markersize=22, label="published by others")
    axis.set_ylim(0, 100)
    axis.set_ylabel("mIoU, %")
    axis.set_title(title)
    axis.tick_params(axis="x", rotation=30)
    axis.legend(frameon=False)
    _save(figure, path)


def _legend(scheme: ClassScheme) -> list[Patch]:
    return [
        Patch(color=(red / 255, green / 255, blue / 255), label=name)
        for name, (red, green, blue) in zip(scheme.names, scheme.colours, strict=True)
    ]


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
