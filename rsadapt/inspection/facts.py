"""Facts about both regions, as plain values: what findings, tables and the page are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rsadapt.geo.edges import Borders
from rsadapt.geo.footprint import Corners, Coverage
from rsadapt.geo.statistics import Histogram

Span = tuple[tuple[float, float], tuple[float, float]]
"""The least and the greatest of pairs of lengths."""

Gravity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class GridFacts:
    """Where the pixels of a scene lie.

    Attributes:
        shape: (height, width).
        crs: as EPSG code or WKT, or None.
        pixel_size: (x, y) in CRS units.
        ground_size: (x, y) of the central pixel in metres, or None where the CRS does not say.
        placed_by: "transform", "control points", or what is assumed: "assumed_crs" or
            "assumed_pixel".
    """

    shape: tuple[int, int]
    crs: str | None
    pixel_size: tuple[float, float]
    ground_size: tuple[float, float] | None
    placed_by: str


@dataclass(frozen=True)
class SceneFacts:
    """One scene as it is trained on.

    Attributes:
        path: its file.
        label: the file of its labels, or None.
        shape: (height, width).
        crs: as EPSG code or WKT, or None.
        pixel_size: (x, y) in CRS units.
        ground_size: (x, y) of the central pixel in metres, or None where the CRS does not say.
        assumed: what of its place is assumed, not read: "assumed_crs", "assumed_pixel" or None.
        was: the file's own grid, where the scene is warped to another, else None.
        bands: how many it has.
        dtype: NumPy name of the values' type.
        nodata: the value of missing pixels as text, since JSON knows no NaN, or None.
        footprint: its corners, (longitude, latitude), or None where they are not known.
    """

    path: str
    label: str | None
    shape: tuple[int, int]
    crs: str | None
    pixel_size: tuple[float, float]
    ground_size: tuple[float, float] | None
    assumed: str | None
    was: GridFacts | None
    bands: int
    dtype: str
    nodata: str | None
    footprint: Corners | None


@dataclass(frozen=True)
class SceneGroup:
    """Scenes of a region that are alike, with what they range over.

    Attributes:
        first: the name of the first one's file.
        count: how many they are.
        crs: as EPSG code or WKT, or None.
        assumed: what of their place is assumed, or None.
        own_crs: of their files, where they are warped, else None.
        bands: how many they have.
        dtype: NumPy name of the values' type.
        nodata: the value of missing pixels as text, or None.
        shape: the least and the greatest height and width.
        pixel_size: the least and the greatest, (x, y) in CRS units.
        ground_size: the least and the greatest, (x, y) in metres, or None where it is not known.
    """

    first: str
    count: int
    crs: str | None
    assumed: str | None
    own_crs: str | None
    bands: int
    dtype: str
    nodata: str | None
    shape: Span
    pixel_size: Span
    ground_size: Span | None


@dataclass(frozen=True)
class PartFacts:
    """The part of a region to train on, or the part kept for validation.

    Attributes:
        pixels: all of them, invalid ones included.
        classes: share of the labelled pixels by class, or None without labels.
        unlabelled: share of the valid pixels that have no class, or None without labels.
    """

    pixels: int
    classes: dict[str, float] | None
    unlabelled: float | None


@dataclass(frozen=True)
class BandFacts:
    """One band over the valid pixels of the training part, in the raster's units.

    Attributes:
        number: in the file, from 1.
        name: its description, or "band" and its number.
        colour: what the file says that it shows, such as "red" or "alpha", or None.
        mean: of the values.
        std: their standard deviation.
        minimum: the smallest.
        maximum: the greatest.
        percentiles: values by percentage.
        histogram: of the values.
    """

    number: int
    name: str
    colour: str | None
    mean: float
    std: float
    minimum: float
    maximum: float
    percentiles: dict[str, float]
    histogram: Histogram

    @property
    def constant(self) -> bool:
        """Whether all its values are one."""
        return not (self.minimum < self.maximum and self.std > 0)


@dataclass(frozen=True)
class RegionFacts:
    """One region.

    Attributes:
        scenes: all of them.
        groups: the same, those that are alike together.
        left_out: what was left out of the scenes that the configuration names, in words.
        training: the part to train on.
        validation: the part kept for validation, or None.
        holds: side of the largest square window that every scene and some training area hold.
        valid_share: valid pixels among those of the training part, 0..1.
        looked_at: share of the training part's pixels that statistics were taken of; 1 is exact.
        ground_pixel: median side of a pixel on the ground, metres, or None where it is not known.
        coverage: the ground that all scenes show, or None where it is not known.
        borders: what runs in from the edges of the scenes, white or black.
        bands: the bands that are read.
    """

    scenes: tuple[SceneFacts, ...]
    groups: tuple[SceneGroup, ...]
    left_out: tuple[str, ...]
    training: PartFacts
    validation: PartFacts | None
    holds: int
    valid_share: float
    looked_at: float
    ground_pixel: float | None
    coverage: Coverage | None
    borders: Borders
    bands: tuple[BandFacts, ...]


@dataclass(frozen=True)
class BandDistance:
    """How far apart the regions' values of one band lie.

    Attributes:
        wasserstein: 1-Wasserstein distance, in standard deviations of the source's band; None
            where the source's band is constant.
        divergence: Jensen-Shannon divergence, 0..1 bits.
        own_wasserstein: the first after each region is standardised by its own statistics: what
            `normalise_by: region` leaves.
        own_divergence: the second after that.
    """

    wasserstein: float | None
    divergence: float
    own_wasserstein: float
    own_divergence: float


@dataclass(frozen=True)
class Choices:
    """What the configuration chooses that decides what facts mean.

    Attributes:
        tile: side of a training window, pixels.
        least_valid: share of valid pixels that a training window should have.
        normalise_by: whose statistics standardise the target: "region", "source" or "given".
        batch_norm: whose batches move the running statistics.
        adapts: whether the method trains on the target.
    """

    tile: int
    least_valid: float
    normalise_by: str
    batch_norm: str
    adapts: bool


@dataclass(frozen=True)
class Facts:
    """Both regions, side by side.

    Attributes:
        source: the labelled one.
        target: the one to adapt to.
        distances: of each band that is read, in order.
        choices: of the configuration.
    """

    source: RegionFacts
    target: RegionFacts
    distances: tuple[BandDistance, ...]
    choices: Choices

    def regions(self) -> dict[str, RegionFacts]:
        """Both regions by name."""
        return {"source": self.source, "target": self.target}


@dataclass(frozen=True)
class Finding:
    """Something that may go wrong.

    Attributes:
        gravity: "error" where training is refused or learns nothing, "warning" where it will be
            worse than it need be, "note" for what is worth knowing.
        topic: what it is about, in a word or two.
        text: what was found.
        cure: what to do, as options of the command line where there are some.
    """

    gravity: Gravity
    topic: str
    text: str
    cure: str
