"""Seams of a trained network: few pixels change with the tile, and not along its borders."""

import importlib
from pathlib import Path

import pytest

from rsadapt.config import PredictionSettings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """How maps from tiles of two sizes differ, by these, at the default overlap and blending."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        prediction = importlib.import_module("prediction")
    folder = tmp_path_factory.mktemp("seams")
    prediction.write_world(folder / "world", seed=200, size=prediction.SEAM_SIDE)
    changes = prediction.SEAM_NETWORKS["sees as far as it was trained"]
    usual = PredictionSettings()
    found = prediction.measured_seams([folder / "world"], folder / "run", changes, [usual.overlap])
    assert found["training"]["right pixels of the whole image at once"] > 0.7
    return {tuple(row["tiles"]): row for row in found["rows"] if row["blending"] == usual.blending}


@pytest.mark.parametrize(
    ("tiles", "most"),
    [
        ((256, "whole"), 0.03),
        ((512, "whole"), 0.01),
        ((1024, "whole"), 0.001),
        ((256, 512), 0.03),
        ((512, 1024), 0.01),
    ],
)
def test_few_pixels_change_with_the_tile_and_not_along_its_borders(rows, tiles, most):
    assert 0 < rows[tiles]["share"] < most
    assert rows[tiles]["along borders"] <= 1.1 * rows[tiles]["elsewhere"]
