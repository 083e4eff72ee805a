"""A scene's maps: all or none, on its grid, and the same bytes however often it was stopped."""

import shutil
import signal
import subprocess
import sys
import textwrap
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from affine import Affine

from rsadapt.classes import ClassScheme
from rsadapt.errors import ConfigError, DataError, OutputExistsError
from rsadapt.geo.grid import Grid
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.infer import predict as predicting
from rsadapt.infer import tiling
from rsadapt.infer.layers import LAYERS, layers
from rsadapt.infer.pipeline import Network
from rsadapt.infer.predict import Tiling, predict_scene

SCHEME = ClassScheme(
    names=("water", "forest", "field"),
    ids=((10,), (20,), (30,)),
    colours=((0, 0, 255), (0, 90, 0), (220, 200, 90)),
)
NORMALISE = Normaliser((100.0, 100.0), (50.0, 50.0))
MIXING = torch.tensor([[1.5, -0.5], [-1.0, 2.0], [0.3, -1.2]])
BIAS = torch.tensor([0.0, 0.02, 0.013])[:, None, None]
"""Keeps the two best logits 0.001 apart for every uint8 pixel, since blending may decide ties."""


def pixelwise(images):
    return (torch.einsum("cb,nbhw->nchw", MIXING, images) + BIAS).softmax(dim=1)


@pytest.fixture
def raster(tmp_path):
    return a_scene(tmp_path / "scene.tif", 50, 70)


def a_scene(path, height, width, *, seed=0):
    generator = np.random.default_rng(seed)
    values = generator.integers(1, 256, (2, height, width)).astype(np.uint8)
    values[:, generator.random((height, width)) < 0.1] = 0
    grid = Grid(height, width, Affine(2, 0, 4e5, 0, -2, 5.6e6), rasterio.CRS.from_epsg(32632))
    write_raster(path, values, grid, nodata=0)
    return Raster(path)


def scene_to(out, raster, *, predict=pixelwise, kinds=("classes", "confidence"), **options):
    return predict_scene(
        raster,
        out,
        network=Network(predict, NORMALISE, (1, 2), 3, batch_size=2),
        layers=layers(kinds, SCHEME),
        tiling=Tiling(32, 8),
        facts={"run": 42},
        tags={"run": "42"},
        **options,
    )


def whole(raster):
    values, valid = raster.read()
    return pixelwise(torch.from_numpy(NORMALISE(values, valid))[None])[0].numpy(), valid


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def failing_late(images):
    failing_late.calls += 1
    if failing_late.calls > 2:
        raise RuntimeError("power cut")
    return pixelwise(images)


def test_maps_lie_on_the_scene_and_open_styled(tmp_path, raster):
    written = scene_to(tmp_path / "maps", raster)
    assert written.layers["classes"] == tmp_path / "maps" / "scene_classes.tif"
    assert written.layers["confidence"] == tmp_path / "maps" / "scene_confidence.tif"
    assert written.pixels == 50 * 70
    assert written.seconds > 0
    for path in (written.layers["classes"], written.layers["confidence"]):
        result = Raster(path)
        assert result.grid == raster.grid
        assert (result.nodata, result.stored, result.count) == (255, "uint8", 1)
        with rasterio.open(path) as dataset:
            assert dataset.tags()["run"] == "42"
    with rasterio.open(written.layers["classes"]) as dataset:
        palette = dataset.colormap(1)
    assert [palette[code][:3] for code in SCHEME.codes] == list(SCHEME.colours)
    with rasterio.open(written.layers["confidence"]) as dataset:
        assert dataset.scales[0] == pytest.approx(1 / 254)


def test_maps_hold_what_the_network_said(tmp_path, raster):
    written = scene_to(tmp_path, raster, kinds=LAYERS)
    probabilities, valid = whole(raster)
    found = {}
    for name, path in written.layers.items():
        found[name], mapped = Raster(path).read()
        np.testing.assert_array_equal(mapped, valid)
    classes = SCHEME.decode(probabilities.argmax(axis=0).astype(np.uint8))
    np.testing.assert_array_equal(found["classes"][0][valid], classes[valid])
    ordered = np.sort(probabilities, axis=0)
    for name, expected in (
        ("confidence", ordered[-1:]),
        ("margin", ordered[-1:] - ordered[-2:-1]),
        ("probabilities", probabilities),
    ):
        np.testing.assert_allclose(
            found[name][:, valid], expected[:, valid], rtol=0, atol=0.51 / 254
        )


def test_existing_maps_are_refused_and_untouched(tmp_path, raster):
    confidence = tmp_path / "scene_confidence.tif"
    confidence.write_text("mine")
    with pytest.raises(OutputExistsError, match="scene_confidence"):
        scene_to(tmp_path, raster, predict=None)
    assert confidence.read_text() == "mine"
    assert not (tmp_path / "scene_classes.tif").exists()
    scene_to(tmp_path, raster, overwrite=True)
    assert Raster(confidence).grid == raster.grid


def test_maps_go_into_a_folder(tmp_path, raster):
    with pytest.raises(OutputExistsError, match=r"expected a folder .* a file at .*scene\.tif"):
        scene_to(raster.path, raster)


def test_a_failure_before_any_panel_leaves_nothing(tmp_path, raster):
    failing_late.calls = 0
    with pytest.raises(RuntimeError, match="power cut"):
        scene_to(tmp_path / "maps", raster, predict=failing_late)
    assert not (tmp_path / "maps").exists()


def test_batches_hold_a_tile(tmp_path, raster):
    with pytest.raises(ConfigError, match="batch_size"):
        predict_scene(
            raster,
            tmp_path / "maps",
            network=Network(pixelwise, NORMALISE, (1, 2), 3, batch_size=0),
            layers=layers(["classes"], SCHEME),
            tiling=Tiling(32, 8),
            facts={},
        )


def test_a_failure_midway_keeps_the_maps_to_be_overwritten(tmp_path, raster):
    written = scene_to(tmp_path / "maps", raster)
    before = written.layers["classes"].read_bytes(), written.layers["confidence"].read_bytes()
    failing_late.calls = 0
    with pytest.raises(RuntimeError, match="power cut"):
        scene_to(tmp_path / "maps", raster, predict=failing_late, overwrite=True)
    assert (
        written.layers["classes"].read_bytes(),
        written.layers["confidence"].read_bytes(),
    ) == before
    assert {path.suffix for path in (tmp_path / "maps").iterdir()} == {".tif", ".xml", ".qml"}


def test_a_map_that_cannot_be_finished_takes_the_other_with_it(tmp_path, raster, monkeypatch):
    copy, copied = rasterio.shutil.copy, []

    def copy_once(*places, **options):
        if copied:
            raise OSError("disk full")
        copied.append(places)
        copy(*places, **options)

    monkeypatch.setattr(rasterio.shutil, "copy", copy_once)
    with pytest.raises(DataError, match="disk full"):
        scene_to(tmp_path / "maps", raster)
    assert copied
    hidden = [path.name for path in (tmp_path / "maps").iterdir()]
    assert hidden == [".scene.panels"]  # the finished panels, with which the next call goes on
    monkeypatch.undo()
    again = scene_to(tmp_path / "maps", raster, predict=None)
    assert again.predicted == 0
    assert Raster(again.layers["classes"]).grid == raster.grid


# Going on


@pytest.fixture
def small_panels(monkeypatch):
    monkeypatch.setattr(tiling, "PANEL_ROWS", 16)
    monkeypatch.setattr(predicting, "PANEL_ROWS", 16)


@pytest.mark.usefixtures("small_panels")
def test_panels_that_are_finished_are_not_predicted_again(tmp_path, raster):
    undisturbed = scene_to(tmp_path / "whole", raster, kinds=LAYERS)
    assert undisturbed.predicted == undisturbed.pixels
    for stop in range(1, 12):
        calls = 0

        def until(images, stop=stop):
            nonlocal calls
            calls += 1
            if calls > stop:
                raise RuntimeError("power cut")
            return pixelwise(images)

        out = tmp_path / f"maps-{stop}"
        try:
            scene_to(out, raster, predict=until, kinds=LAYERS)
        except RuntimeError:
            left = (
                sorted(path.name for path in (out / ".scene.panels").glob("lane-*"))
                if out.exists()
                else []
            )
            done = scene_to(out, raster, kinds=LAYERS)
            assert done.predicted == done.pixels - 70 * 16 * len(left)
            assert ("predicted before" in done.note) == bool(left)
        whole_bytes, resumed = contents(tmp_path / "whole"), contents(out)
        assert whole_bytes.keys() == resumed.keys()
        for name, written in resumed.items():
            if name.endswith(".tif"):
                with rasterio.open(out / name) as a, rasterio.open(tmp_path / "whole" / name) as b:
                    np.testing.assert_array_equal(a.read(), b.read())
            else:
                assert written == whole_bytes[name]


@pytest.mark.usefixtures("small_panels")
def test_panels_of_other_settings_are_not_taken(tmp_path, raster):
    failing_late.calls = 0
    with pytest.raises(RuntimeError, match="power cut"):
        scene_to(tmp_path, raster, predict=failing_late)
    assert list((tmp_path / ".scene.panels").glob("lane-*"))
    other = predict_scene(
        raster,
        tmp_path,
        network=Network(pixelwise, NORMALISE, (1, 2), 3, batch_size=2),
        layers=layers(["classes", "confidence"], SCHEME),
        tiling=Tiling(32, 8),
        facts={"run": 43},
    )
    assert other.predicted == other.pixels
    assert not (tmp_path / ".scene.panels").exists()


def test_two_processes_do_not_write_the_same_maps(tmp_path, raster):
    def meanwhile(images):
        with pytest.raises(OutputExistsError, match="another process is predicting the same"):
            scene_to(tmp_path, raster)
        return pixelwise(images)

    scene_to(tmp_path, raster, predict=meanwhile)


def test_more_is_made_of_the_maps_before_they_are_published(tmp_path, raster):
    def extras(maps):
        assert not (tmp_path / "maps" / maps["classes"].name).exists()
        maps["classes"].with_suffix(".txt").write_text("more")

    written = scene_to(tmp_path / "maps", raster, extras=extras)
    assert tmp_path / "maps" / "scene_classes.txt" in written.files
    assert (tmp_path / "maps" / "scene_classes.txt").read_text() == "more"


def test_a_stop_while_maps_are_published_is_mended(tmp_path, raster, monkeypatch):
    replace = Path.replace

    def once(self, target):
        if Path(target) == tmp_path / "maps" / "scene_confidence.tif":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", once)
    with pytest.raises(KeyboardInterrupt):
        scene_to(tmp_path / "maps", raster)
    monkeypatch.undo()
    assert (tmp_path / "maps" / "scene_classes.tif").exists()
    again = scene_to(tmp_path / "maps", raster, predict=None)
    assert all(path.exists() for path in again.files)
    assert not (tmp_path / "maps" / ".scene.panels").exists()


def test_maps_that_the_same_call_finished_are_kept(tmp_path, raster):
    first = scene_to(tmp_path / "maps", raster)
    before = contents(tmp_path / "maps")
    again = scene_to(tmp_path / "maps", raster, predict=None)
    assert (again.files, again.predicted, again.note) == (first.files, 0, "predicted before")
    assert contents(tmp_path / "maps") == before
    for other in (
        {"kinds": ("classes",)},  # another call
        {"extra_files": ["scene_more.txt"]},  # the same, of which less was made
    ):
        with pytest.raises(OutputExistsError, match="scene_classes"):
            scene_to(tmp_path / "maps", raster, predict=None, **other)
    assert contents(tmp_path / "maps") == before
    replaced = scene_to(tmp_path / "maps", raster, overwrite=True)
    assert replaced.predicted == replaced.pixels


SCRIPT = """
    import sys
    import time
    from datetime import datetime
    from pathlib import Path
    import torch
    from rsadapt.classes import ClassScheme
    from rsadapt.geo.normalise import Normaliser
    from rsadapt.geo.raster import Raster
    from rsadapt.infer import panels, predict as predicting, tiling
    from rsadapt.infer.layers import layers
    from rsadapt.infer.pipeline import Network

    scene, out, started, resting = sys.argv[1:]
    tiling.PANEL_ROWS = predicting.PANEL_ROWS = 512
    torch.set_num_threads(1)
    mixing = torch.tensor([[1.5, -0.5], [-1.0, 2.0], [0.3, -1.2]])
    scheme = ClassScheme(("a", "b", "c"), ((1,), (2,), (3,)), ((0, 0, 255),) * 3)
    join, publish, replace = predicting._join, panels.Panels.publish, Path.replace

    class Clock(datetime):
        now = classmethod(lambda cls, tz: datetime.fromisoformat(started))

    def told(stage, step):
        def work(*arguments):
            print(stage, flush=True)
            return step(*arguments)
        return work

    def slowly(part, whole):
        time.sleep(float(resting))
        return replace(part, whole)

    def answer(images):
        time.sleep(float(resting) / 5)
        return torch.einsum("cb,nbhw->nchw", mixing, images).softmax(dim=1)

    def moved(self, out):
        print("publishing", flush=True)
        Path.replace = slowly
        return publish(self, out)

    panels.datetime = Clock
    predicting._join = told("joining", join)
    panels.Panels.publish = moved
    print("predicting", flush=True)
    predicting.predict_scene(
        Raster(scene),
        Path(out),
        network=Network(
            answer, Normaliser((100.0, 100.0), (50.0, 50.0)), (1, 2), 3, batch_size=2
        ),
        layers=layers(["classes", "entropy"], scheme),
        tiling=predicting.Tiling(256, 64),
        facts={},
    )
    print("done", flush=True)
"""
FIRST, LATER = "2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"


def a_process(scene, out, started, *, resting=0.0):
    """Predicts a scene, as begun at some time; says at which stage it is; may rest in between."""
    arguments = [str(scene.path), str(out), started, str(resting)]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stage_times(process):
    """Seconds that each stage of an undisturbed process lasts."""
    with process:
        begun = [(line.strip(), time.perf_counter()) for line in process.stdout]
        assert process.wait() == 0, process.stderr.read()
    return {stage: after - at for (stage, at), (_, after) in pairwise(begun)}


@pytest.mark.slow
def test_killed_at_twenty_moments_it_ends_with_the_same_bytes(tmp_path):
    """While it predicts, joins panels and publishes maps; the second start goes on or is refused.

    The clock of the second start is a year ahead, so that a time of its own would change the bytes.
    """
    raster = a_scene(tmp_path / "scene.tif", 3000, 2500)
    stages = stage_times(a_process(raster, tmp_path / "whole", FIRST, resting=0.05))
    expected = contents(tmp_path / "whole")
    assert sorted(expected) == [
        *("scene_classes.qml", "scene_classes.tif", "scene_classes.tif.aux.xml"),
        "scene_entropy.tif",
    ]
    random, went_on = np.random.default_rng(0), []
    for stage in ["predicting"] * 9 + ["joining"] * 6 + ["publishing"] * 5:
        out = tmp_path / "maps"
        process = a_process(raster, out, FIRST, resting=0.05)
        while process.stdout.readline().strip() != stage:
            assert process.poll() is None
        time.sleep(random.uniform(0, stages[stage]))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        begun = (out / ".scene.panels" / "journal.json").exists()
        for map_file in out.glob("*.tif"):  # what has a result's name is whole
            assert map_file.read_bytes() == expected[map_file.name]
        again = a_process(raster, out, LATER if begun else FIRST)
        told, error = again.communicate()
        if again.returncode:  # all was published before the kill
            assert "exists already" in error
        elif begun:
            went_on.append((stage, "joining" in told))
        assert contents(out) == expected
        shutil.rmtree(out)
    assert went_on.count(("predicting", True)) >= 5
    assert went_on.count(("joining", True)) >= 4
    assert went_on.count(("publishing", False)) >= 2


@pytest.fixture
def little_room(tmp_path):
    """A folder on a file system of 5 MB, and what gives it 100 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*mount, "size=5m", "tmpfs", folder], check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder, lambda: subprocess.run([*mount, "remount,size=100m", folder], check=True)
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_is_told_and_finished_panels_serve_once_there_is_room(tmp_path, little_room):
    raster = a_scene(tmp_path / "scene.tif", 3000, 2500)
    stage_times(a_process(raster, tmp_path / "whole", FIRST))
    folder, make_room = little_room
    _, error = a_process(raster, folder / "maps", FIRST).communicate()
    assert "DataError" in error
    assert "check that the folder may be written to and that the disk has room" in error
    finished = sorted((folder / "maps" / ".scene.panels").glob("lane-*/*.tif"))
    assert len(finished) >= 2
    for panel in finished:
        with rasterio.open(panel) as dataset:
            assert dataset.read().size
    before = {panel.name: panel.stat().st_mtime_ns for panel in finished}
    make_room()
    again = a_process(raster, folder / "maps", LATER, resting=0.5)
    while again.stdout.readline().strip() != "joining":
        assert again.poll() is None
    assert {panel.name: panel.stat().st_mtime_ns for panel in finished} == before
    _, error = again.communicate()
    assert again.returncode == 0, error
    assert contents(folder / "maps") == contents(tmp_path / "whole")
