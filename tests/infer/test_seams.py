"""Seams of a trained network: few pixels change with the tile, and not along its borders."""

import importlib
from pathlib import Path

import pytest

from rsadapt.config import PredictionSettings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_trained_network_draws_no_borders_of_tiles(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    prediction = importlib.import_module("prediction")
    prediction.write_world(tmp_path / "world", seed=200, size=prediction.SEAM_SIDE)
    changes = prediction.SEAM_NETWORKS["sees as far as it was trained"]
    overlap = PredictionSettings().overlap

    found = prediction.measured_seams(tmp_path / "world", tmp_path / "run", changes, [overlap])

    assert found["training"]["right pixels of the whole image at once"] > 0.7
    rows = {tuple(row["tiles"]): row for row in found["rows"] if row["blending"] == "hann"}
    for tiles, most in (((512, "whole"), 0.01), ((1024, "whole"), 0.001), ((512, 1024), 0.01)):
        row = rows[tiles]
        assert 0 < row["share"] < most
        # Measured of three trainings: 0.2 to 1.12 times; overlapping by 128, 2.3 to 3.1 times.
        assert row["along borders"] < 1.3 * row["elsewhere"]
