"""Facts of two sound regions, to be changed one by one."""

from dataclasses import replace

import pytest

from rsadapt.geo.edges import Border, Borders
from rsadapt.geo.footprint import Coverage
from rsadapt.geo.statistics import Histogram
from rsadapt.inspection.facts import (
    BandDistance,
    BandFacts,
    Choices,
    Facts,
    PartFacts,
    RegionFacts,
    SceneFacts,
)

NO_BORDERS = Borders(Border(0.0, 0), Border(0.0, 0), 1)


def band(number, mean=100.0, std=20.0, name=None):
    """A band whose values are spread evenly."""
    half = std * 3**0.5
    low, high = mean - half, mean + half
    histogram = Histogram((low - 0.5, mean, high + 0.5), (500, 500))
    name = name or f"band {number}"
    return BandFacts(number, name, None, mean, std, low, high, {"50": mean}, histogram)


SCENE = SceneFacts(
    path="a/scene.tif",
    label=None,
    shape=(1000, 1000),
    crs="EPSG:32633",
    pixel_size=(1.0, 1.0),
    ground_size=(1.0, 1.0),
    assumed=None,
    was=None,
    bands=3,
    dtype="uint8",
    nodata=None,
    footprint=None,
)

REGION = RegionFacts(
    scenes=(SCENE,),
    groups=(),
    left_out=(),
    training=PartFacts(4_000_000, {"land": 0.6, "sea": 0.4}, 0.1),
    validation=None,
    holds=1000,
    valid_share=0.95,
    looked_at=1.0,
    ground_pixel=1.0,
    coverage=Coverage(1e6, 0.0),
    borders=NO_BORDERS,
    bands=(band(1, 90), band(2, 110), band(3, 150)),
)

SOUND = Facts(
    source=REGION,
    target=replace(REGION, training=PartFacts(4_000_000, None, None)),
    distances=(BandDistance(0.1, 0.01, 0.05, 0.01),) * 3,
    choices=Choices(256, 0.25, "region", "per_domain", adapts=True),
)


@pytest.fixture
def sound():
    """Facts that call for no finding."""
    return SOUND


@pytest.fixture
def make_band():
    """A band by number, mean, deviation and name."""
    return band


@pytest.fixture
def changed():
    """Facts with changes to the source, the target and both."""

    def change(*, source=None, target=None, **both):
        facts = replace(SOUND, **both)
        return replace(
            facts,
            source=replace(facts.source, **(source or {})),
            target=replace(facts.target, **(target or {})),
        )

    return change
