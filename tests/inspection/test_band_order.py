"""Orders of bands: told where they differ, of names and of imagery, and not where they do not."""

from pathlib import Path

import numpy as np
import pytest

from rsadapt.geo.raster import Raster
from rsadapt.geo.statistics import PERCENTILES, band_statistics
from rsadapt.inspection.band_order import likely_order, named_order
from rsadapt.inspection.facts import BandFacts

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="no real imagery in ../shared/data")


def facts(files, bands=None):
    """The bands of some files, in an order."""
    blocks = (Raster(file).read(None, bands) for file in files)
    found = band_statistics(blocks)
    return [
        BandFacts(
            number=n + 1,
            name=f"band {n + 1}",
            colour=None,
            mean=found.mean[n],
            std=found.std[n],
            minimum=found.minimum[n],
            maximum=found.maximum[n],
            percentiles=dict(zip(map(str, PERCENTILES), found.percentiles[n], strict=True)),
            histogram=found.histograms[n],
        )
        for n in range(len(found.mean))
    ]


def test_names_in_another_order():
    ours = ["red", "green", "blue", "nir"]
    assert named_order(ours, ["NIR", "Red", "Green", "Blue"]) == (1, 2, 3, 0)
    assert named_order(ours, ["Red", "green", "blue", "nir"]) is None
    assert named_order(ours, ["red", "green", "blue", "swir"]) is None
    assert named_order(["a", "a"], ["a", "a"]) is None
    assert named_order(["a", None], [None, "a"]) is None


@pytest.mark.parametrize("order", [[3, 2, 1, 4], [4, 1, 2, 3], [4, 3, 2, 1], [2, 3, 4, 1]])
def test_common_orders_of_the_same_imagery_are_found(world, order):
    expected = tuple(order.index(n) for n in (1, 2, 3, 4))
    assert likely_order(facts(world.source_images), facts(world.source_images, order)) == expected


def test_other_land_under_another_sensor_gives_no_alarm(world):
    assert likely_order(facts(world.source_images), facts(world.target_images)) is None


def test_orders_that_no_file_has_are_not_believed(world):
    swapped = facts(world.source_images, [1, 3, 2, 4])
    assert likely_order(facts(world.source_images), swapped) is None


def test_constant_bands_stay_where_they_are(world, make_band):
    ours, theirs = facts(world.source_images, [1, 2, 3]), facts(world.source_images, [3, 2, 1])
    alpha = make_band(4, 255, 0)
    assert likely_order([*ours, alpha], [*theirs, alpha]) == (2, 1, 0, 3)
    assert likely_order([alpha, *ours], [alpha, *theirs]) == (0, 3, 2, 1)


@pytest.mark.parametrize("count", [1, 7])
def test_one_band_has_no_order_and_many_are_not_tried(make_band, count):
    means = np.linspace(10, 200, count)
    bands = [make_band(n, mean, 5) for n, mean in enumerate(means)]
    assert likely_order(bands, bands[::-1]) is None


@needs_data
@pytest.mark.parametrize("kampala", ["area_a_15cm.tif", "area_a_7cm.tif"])
def test_kampala_and_banepa(kampala):
    ours = facts([DATA / "buildings" / "kampala" / kampala])
    core = [DATA / "buildings" / "banepa" / "core.tif"]
    assert likely_order(ours, facts(core)) is None
    assert likely_order(ours, facts(core, [3, 2, 1])) == (2, 1, 0)


@needs_data
def test_seasons_give_no_alarm_and_one_season_backwards_does():
    images = DATA / "suncheon_seasons" / "images"
    autumn, winter = (sorted(images.glob(f"{month}_*.tif")) for month in ("202309", "202412"))
    assert likely_order(facts(autumn), facts(winter)) is None
    assert likely_order(facts(autumn), facts(autumn, [3, 2, 1, 4])) == (2, 1, 0, 3)
