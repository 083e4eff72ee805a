"""Processes of this machine: the same pixels as one, and a clear end where one is killed."""

import pytest

from rsadapt.errors import ConfigError, WorkerError
from rsadapt.infer.devices import several
from rsadapt.infer.work import ask_device


@pytest.fixture(scope="module")
def pool(shared):  # which puts the networks on the path that processes start with
    with several(2, "cpu") as pool:
        yield pool


@pytest.mark.parametrize("blending", ["hann", "crop"])
def test_processes_predict_the_same_pixels(shared, alone, pool, blending):
    told = []
    made = shared.predict(
        f"two-{blending}", shared.load("two"), blending, pool, progress=lambda *a: told.append(a)
    )
    shared.same(made, alone[blending])
    assert made.predicted == made.pixels
    assert len(told) == 6
    assert told[-1] == ("scene.tif, pixels", made.pixels, made.pixels)
    loaders = shared.loaders("two")
    assert len(loaders) == len(set(loaders)) <= 2  # once a process, for both blendings


def test_panels_finished_before_are_not_predicted_again(shared, alone, pool):
    def stop_midway(_, done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared.predict("again", None, progress=stop_midway)
    kept = list((shared.folder / "again" / ".scene.panels").glob("lane-*"))
    assert kept
    made = shared.predict("again", shared.load("again"), "hann", pool)
    shared.same(made, alone["hann"])
    assert 0 < made.predicted < made.pixels


def test_a_stop_ends_what_is_under_way(shared, alone, pool):
    def stop(*_):
        raise KeyboardInterrupt

    load = shared.load("stopped", pause=0.05)
    with pytest.raises(KeyboardInterrupt):
        shared.predict("stopped", load, "hann", pool, progress=stop)
    folder = shared.folder / "stopped" / ".scene.panels"
    assert not list(folder.glob("unfinished-work-*"))
    before = len(list(folder.glob("lane-*")))
    assert 0 < before < 6
    shared.same(shared.predict("stopped", load, "hann", pool), alone["hann"])


def test_what_goes_wrong_there_is_said_here(shared, pool):
    with pytest.raises(ConfigError, match="on cpu, and another worker on cuda"):
        shared.predict("wrong", shared.load("wrong"), "hann", pool, device="cuda")
    with pytest.raises(WorkerError, match=r"does not find .*/far/checkpoint\.pt.* same paths"):
        ask_device(pool, shared.networks.Missing())


def test_a_killed_process_ends_it_and_the_next_call_goes_on(shared, alone, tmp_path):
    (tmp_path / "order").touch()
    load = shared.load("killed", deadly=tmp_path)
    with (
        pytest.raises(WorkerError, match=r"was killed, .* the same command goes on"),
        several(1, "cpu") as pool,
    ):
        shared.predict("killed", load, "hann", pool)
    shared.same(shared.predict("killed", load, "hann"), alone["hann"])


def test_more_processes_than_gpus_are_refused(monkeypatch):
    with (
        pytest.raises(ConfigError, match="at most 1 devices, those of kind mps"),
        several(2, "mps"),
    ):
        pass
