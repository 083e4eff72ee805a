"""Recipes: each can be read, and the wheel carries them."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rsadapt import build, config
from rsadapt.benchmark_rows import AS_IN_THE_PAPER
from rsadapt.data.driving import DRIVING_TABLES
from rsadapt.data.procedural.street import STREET_CLASSES
from rsadapt.errors import MissingFileError

ROOT = Path(__file__).parents[1]
RECIPES = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
REAL = ROOT.parent / "shared" / "data" / "buildings"


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_valid(name):
    settings = build.configuration(Path(name))
    scheme = build.class_scheme(settings)
    tables = DRIVING_TABLES | {"streets": STREET_CLASSES}
    if settings.class_table is None:
        assert list(scheme.names) == [entry.name for entry in settings.classes]
    else:
        assert scheme == tables[settings.class_table]
    assert build.method(settings).uses_target


def test_recipe_of_the_paper_is_the_published_one_but_for_the_known_differences():
    published = config.load_yaml(config.recipe("gta5-cityscapes"))
    paper = config.load_yaml(config.recipe("gta5-cityscapes-paper"))
    assert paper == config.change(published, AS_IN_THE_PAPER)
    assert paper != published


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real imagery at {REAL}")
@pytest.mark.parametrize("name", ["kampala-banepa", "banepa-kampala"])
def test_recipes_of_real_regions_find_them(name):
    places = build.places(build.configuration(config.recipe(name)))
    assert places.bands == 3
    assert set(places.scored()) == {"source", "target"}


def test_unknown_recipe_names_the_known():
    with pytest.raises(MissingFileError, match="demo"):
        config.recipe("demos")


@pytest.mark.slow
def test_wheel_carries_recipes_and_runs_in_an_empty_folder(tmp_path):
    """Built, unpacked elsewhere, and asked for the demo's recipe from an empty folder."""
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    (wheel,) = tmp_path.glob("*.whl")
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(installed)
    assert (installed / "rsadapt" / "inspection" / "page.html").is_file()
    empty.mkdir()
    script = (
        "from pathlib import Path; import rsadapt; from rsadapt.verbs.demo import demo; "
        f"assert Path(rsadapt.__file__).is_relative_to({str(installed)!r}); "
        "r = demo(Path('out'), size=224, first={'training.steps': 1}, assignments="
        "['training.steps=1', 'training.tile=64']); print(sorted(r.table))"
    )
    environment = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=empty,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout.strip().endswith("['adapted', 'source-only', 'target-trained']")
