"""Figures: images, labels and maps side by side, comparisons of methods, and two regions."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Polygon
from numpy.typing import NDArray

from rsadapt.classes import ClassScheme
from rsadapt.errors import ShapeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRETCH = (2.0, 98.0)
"""Percentiles of the valid pixels that become black and white."""

BLANK = 255
"""Grey value, white, of pixels without data or label."""

MANY_BARS = 10
"""More of them stand closer, with names upright."""
LEAST_WIDTH = 6.0
"""Inches of a chart of few rows: what its title takes."""

REGION_COLOURS = {"source": "#2a6fbb", "target": "#e07b00"}
"""Apart for colour-blind eyes too."""

SHARP = 160
"""Dots an inch of figures on a page, shown smaller than they are."""

Curve = tuple[Sequence[float], Sequence[int]]
"""A histogram: its edges, one more than its counts."""


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


def gallery(
    path: Path,
    pictures: Mapping[str, NDArray[np.uint8]],
    scheme: ClassScheme,
    *,
    title: str,
    columns: int = 4,
) -> None:
    """Write pictures of one place in rows, with the legend of the classes, as PNG.

    Args:
        path: the figure; missing folders are made.
        pictures: uint8 [height, width, 3] by title.
        scheme: the classes of the legend.
        title: of the figure.
        columns: pictures of a row.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(2.8 * columns, 3.0 * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (name, picture) in zip(axes, pictures.items(), strict=False):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(_literal(name), fontsize=10)
    figure.suptitle(title)
    figure.legend(
        handles=_legend(scheme),
        loc="outside lower center",
        ncols=min(len(scheme), 2 * columns),
        frameon=False,
    )
    _save(figure, path)


def points(
    path: Path,
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    *,
    across: str,
    title: str,
) -> None:
    """Write clouds of points side by side, one colour a group, as PNG.

    Args:
        path: the figure; missing folders are made.
        panels: by what goes up, and by group, the (across, up) of each point; at least one.
        across: what goes across.
        title: of the figure.
    """
    figure = Figure(figsize=(3.2 * len(panels), 4.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, groups) in zip(axes, panels.items(), strict=True):
        for number, (group, pairs) in enumerate(groups.items()):
            colour, mark = f"C{number % 10}", "osv^D"[number // 10 % 5]
            axis.scatter(*zip(*pairs, strict=True), s=14, c=colour, marker=mark, label=group)
        axis.set_title(_literal(name), fontsize=10)
        axis.set_xlabel(across)
    figure.suptitle(title)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False
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
    many = len(measured) > MANY_BARS
    width = max(LEAST_WIDTH, (0.5 if many else 1.2) * len(measured) + 2)
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
    axis.tick_params(axis="x", rotation=90 if many else 30)
    axis.legend(frameon=False)
    _save(figure, path)


# Two regions


def band_histograms(bands: Sequence[tuple[str, Mapping[str, Curve]]]) -> bytes:
    """Draw the histograms of bands, both regions' over each other.

    Args:
        bands: each one's name, and its histogram by region; at least one.

    Returns:
        The figure as PNG.
    """
    columns = 2 if len(bands) == 4 else min(3, len(bands))
    rows = -(-len(bands) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.2 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(bands) :]:
        axis.set_axis_off()
    for axis, (name, curves) in zip(axes, bands, strict=False):
        for region, (edges, counts) in curves.items():
            density = np.asarray(counts) / (sum(counts) * np.diff(edges))
            colour = REGION_COLOURS[region]
            axis.stairs(density, edges, fill=True, color=colour, alpha=0.35)
            axis.stairs(density, edges, color=colour, linewidth=1.2)
        axis.set_title(_literal(name), fontsize=10)
        axis.set_yticks([])
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.margins(x=0)
    _region_legend(figure)
    return _png(figure)


def class_shares(shares: Mapping[str, Mapping[str, float]]) -> bytes:
    """Draw the share of each class as bars, one colour a region.

    Args:
        shares: by region, the share (0..1) of each class.

    Returns:
        The figure as PNG.
    """
    names = list(next(iter(shares.values())))
    figure = Figure(figsize=(7, 0.42 * len(names) + 1.1), layout="constrained")
    axis: Axes = figure.subplots()
    thick = 0.8 / len(shares)
    for number, (region, values) in enumerate(shares.items()):
        places = np.arange(len(names)) + (number - (len(shares) - 1) / 2) * thick
        widths = [100 * values[name] for name in names]
        drawn = axis.barh(places, widths, thick, color=REGION_COLOURS[region])
        axis.bar_label(drawn, fmt="%.2g", padding=3, fontsize=8)
    axis.set_yticks(np.arange(len(names)), list(map(_literal, names)))
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_xlabel("% of labelled pixels")
    axis.spines[["top", "right"]].set_visible(False)
    _region_legend(figure, shares)
    return _png(figure)


def windows(
    pictures: Sequence[NDArray[np.uint8]], labels: Sequence[NDArray[np.uint8] | None]
) -> bytes:
    """Draw windows in a row, with their labels below where they have some.

    Args:
        pictures: uint8 [height, width, 3], at least one.
        labels: painted likewise, or None, one a picture.

    Returns:
        The figure as PNG.
    """
    rows = [pictures, labels] if any(label is not None for label in labels) else [pictures]
    narrow = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02)
    figure = Figure(figsize=(2.5 * len(pictures), 2.5 * len(rows)), layout=narrow)
    axes = figure.subplots(len(rows), len(pictures), squeeze=False)
    for row, shown in zip(axes, rows, strict=True):
        for axis, picture in zip(row, shown, strict=True):
            axis.set_axis_off()
            if picture is not None:
                axis.imshow(picture, interpolation="nearest")
    return _png(figure)


def footprints(regions: Mapping[str, Sequence[Sequence[tuple[float, float]]]]) -> bytes:
    """Draw the outlines of scenes, each region on a map of its own, north up.

    Args:
        regions: by region, the corners of each scene, (longitude, latitude); at least one scene.

    Returns:
        The figure as PNG.
    """
    figure = Figure(figsize=(4.2 * len(regions), 3.8), layout="constrained")
    axes = figure.subplots(1, len(regions), squeeze=False)[0]
    for axis, (region, scenes) in zip(axes, regions.items(), strict=True):
        colour = REGION_COLOURS[region]
        for corners in scenes:
            axis.add_patch(Polygon(corners, facecolor=f"{colour}40", edgecolor=colour, linewidth=1))
        axis.autoscale_view()
        middle = float(np.mean([lat for corners in scenes for _, lat in corners]))
        axis.set_aspect(1 / max(np.cos(np.radians(middle)), 0.01), adjustable="datalim")
        axis.set_title(region, fontsize=10, color=colour)
        axis.ticklabel_format(useOffset=False, style="plain")
        axis.locator_params(nbins=4)
        axis.tick_params(labelsize=8)
        axis.set_xlabel("longitude", fontsize=8)
        axis.set_ylabel("latitude", fontsize=8)
    return _png(figure)


def _region_legend(figure: Figure, regions: Iterable[str] = REGION_COLOURS) -> None:
    handles = [Patch(color=REGION_COLOURS[region], label=region) for region in regions]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)


def _literal(text: str) -> str:
    """Text in which dollars are no formulas."""
    return text.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=SHARP)
    return file.getvalue()


def _legend(scheme: ClassScheme) -> list[Patch]:
    return [
        Patch(color=(red / 255, green / 255, blue / 255), label=name)
        for name, (red, green, blue) in zip(scheme.names, scheme.colours, strict=True)
    ]


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
