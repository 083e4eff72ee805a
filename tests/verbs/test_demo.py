"""The demo: from nothing to maps, on a small world in a few steps."""

import json

import pytest

from rsadapt.errors import OutputExistsError
from rsadapt.geo.raster import Raster
from rsadapt.verbs.demo import demo

SHORT = ["training.steps=2", "training.batch_size=2", "training.tile=64"]
ROWS = ["source-only", "adapted", "target-trained"]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "new"
    first = {"training.steps": 2, "optimiser.rate": 0.002}
    return demo(out, seed=3, size=224, assignments=SHORT, first=first)


def test_table_has_three_rows_with_every_class(result):
    assert list(result.table) == ROWS
    for row in result.table.values():
        assert len(row["classes"]) == 7
        assert 0 <= row["miou"] <= 1


def test_every_file_it_names_is_there(result):
    assert all(file.exists() for file in result.files.values())
    for name in ("maps side by side", "IoU by class"):
        assert result.files[name].read_bytes().startswith(b"\x89PNG")


def test_maps_lie_on_the_target_and_say_where_they_come_from(result):
    scene = Raster(result.files["the target's scene"])
    for row in ("source-only", "adapted"):
        written = Raster(result.files[f"map of the target, {row}"])
        assert written.grid.matches(scene.grid)
        assert written.tags["RSADAPT_RUN"].endswith(row)


def test_second_part_starts_from_the_first(result):
    run = result.files["run of the adapted network"]
    record = json.loads((run / "run.json").read_text())
    assert record["initial_weights"].endswith("source-first")
    assert record["batch_norm"] == "per_domain"


def test_folder_in_use_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputExistsError, match="no empty folder"):
        demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
