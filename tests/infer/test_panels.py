"""Finished panels: whole or not there, whoever else writes the same."""

import numpy as np
import pytest
from affine import Affine

from rsadapt.errors import DataError
from rsadapt.geo.grid import Grid
from rsadapt.geo.maps import Bands
from rsadapt.geo.raster import Raster
from rsadapt.infer.panels import Panels, opened

GRID = Grid(32, 48, Affine(2, 0, 4e5, 0, -2, 5.6e6), None)
BANDS = {"classes": Bands(("class",), "uint8", 255)}
FACTS = {"run": 1}


def rows(value):
    return {"classes": np.full((1, 32, 48), value, np.uint8)}


def stop_after_one(folder):
    with opened(folder, "scene", FACTS) as panels:
        with panels.writing(0, 0, GRID, BANDS) as writer:
            writer.write_rows(rows(1))
        raise RuntimeError("stopped")


def names(panels):
    return sorted(path.name for path in panels.folder.iterdir())


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_of_two_that_write_one_panel_the_first_that_is_whole_stays(tmp_path):
    with opened(tmp_path, "scene", FACTS) as panels:
        with panels.writing(0, 1, GRID, BANDS) as late:
            with panels.writing(0, 1, GRID, BANDS) as first:
                late.write_rows(rows(2))
                first.write_rows(rows(1))
            assert panels.finished(0, 1)
            assert panels.all_finished() == {(0, 1)}
        values, _ = Raster(panels.file(0, 1, "classes")).read()
        assert (values == 1).all()
        assert names(panels) == ["journal.json", "lane-0-panel-1", "lock"]


def test_what_serves_no_later_call_is_dropped_and_who_is_still_at_it_fails(tmp_path):
    with pytest.raises(RuntimeError, match="stopped"):
        stop_after_one(tmp_path)
    panels = Panels(tmp_path / ".scene.panels", "earlier")
    forgotten = panels.writing(0, 1, GRID, BANDS)
    writer = forgotten.__enter__()
    panels.passing("work").touch()
    writer.write_rows(rows(2))
    with opened(tmp_path, "scene", FACTS) as again:
        assert names(again) == ["journal.json", "lane-0-panel-0", "lock"]
        with pytest.raises(DataError, match="cannot be written"):
            forgotten.__exit__(None, None, None)
        assert again.all_finished() == {(0, 0)}
