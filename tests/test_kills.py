"""Runs that are killed at any moment go on to the same weights, bit for bit."""

import itertools
import json
import multiprocessing
import random
import signal
import time

import pytest
from nested import same

from rsadapt import config, weights
from rsadapt.adapt import checkpoint
from rsadapt.checkpoints import candidates
from rsadapt.run import RunFolder
from rsadapt.training import train_run

PROCESSES = multiprocessing.get_context("forkserver")
"""Each a fork of one that has loaded PyTorch, so that a start takes no seconds."""

PROCESSES.set_forkserver_preload(["rsadapt.training", "lightning_fabric", "rsadapt.data.geotiff"])

AIMS = ["checkpoint.pt.part", "network.safetensors.part", "config.yaml.part", "checkpoint.pt.part"]
"""Files that are there only while another is being written."""


class Runs:
    """Trains one configuration in processes, into folders of `path`."""

    def __init__(self, values, path):
        changes = ["training.steps=12", "training.save_every=2", "training.validate_every=4"]
        self.values = config.assign(values, [*changes, "device.threads=1"])
        self.path = path
        self.whole = RunFolder(path / "whole")
        self.finish(self.whole, 0)
        self.seconds = {}

    def start(self, run, workers):
        values = config.assign(self.values, [f"training.workers={workers}"])
        settings = config.parse(values, where="run")
        options = {"resume": run.path.exists()}
        process = PROCESSES.Process(target=train_run, args=(settings, run.path), kwargs=options)
        process.start()
        return process

    def finish(self, run, workers):
        process = self.start(run, workers)
        process.join(120)
        assert process.exitcode == 0

    def duration(self, workers):
        """How long a whole run takes, seconds."""
        if workers not in self.seconds:
            began = time.monotonic()
            self.finish(RunFolder(self.path / f"timed {workers}"), workers)
            self.seconds[workers] = time.monotonic() - began
        return self.seconds[workers]

    def kill(self, run, workers, ready):
        """Start or go on with a run and kill it once it is `ready`; whether it still ran."""
        process = self.start(run, workers)
        while process.is_alive() and not ready():
            time.sleep(0.0002)
        process.kill()
        process.join(120)
        return process.exitcode != 0

    def check(self, run):
        """A finished run must be as one that nothing happened to."""
        assert names(run) == names(self.whole)
        for ours, theirs in zip(candidates(run), candidates(self.whole), strict=True):
            assert same(*map(learned, (ours, theirs)))
        assert same(*(weights.read(found.weights) for found in (run, self.whole)))
        assert same(*(weights.safetensors_facts(found.weights) for found in (run, self.whole)))
        assert log(run) == log(self.whole)


def names(run):
    return sorted(file.name for file in run.path.iterdir())


def learned(file):
    return {name: part for name, part in checkpoint.load(file).items() if name != "facts"}


def log(run):
    """All that a run logged but for what a clock said, and the peak of its process' memory."""
    lines = [event for event in run.events() if "feeding" not in event]
    for event in lines:
        for measured in ("seconds", "waiting", "memory"):
            event.pop(measured, None)
        event.get("figures", {}).pop("images_per_second", None)
    return [json.dumps(event) for event in lines]


def survive(runs, kills, draw, *, each=3, workers=(0,)):
    """Kill runs so often in all, at drawn moments, and hold each in the end against the whole one.

    Returns:
        How often a file was half written, by name.
    """
    halves, done, numbers = [], 0, itertools.count()
    while done < kills:
        number = next(numbers)
        run, of = RunFolder(runs.path / f"killed {number}"), workers[number % len(workers)]
        had = False
        for turn in range(each):
            if turn == each - 1:
                aim, late = run.path / draw.choice(AIMS), draw.uniform(0, 0.003)
                killed = runs.kill(run, of, lambda aim=aim, late=late: seen(aim, late))
            else:
                end = time.monotonic() + draw.uniform(0, runs.duration(of))
                killed = runs.kill(run, of, lambda end=end: time.monotonic() > end)
            done += killed
            halves += [file.name for file in run.path.glob("*.part")] if killed else []
            assert run.checkpoint.exists() or not had
            had = run.checkpoint.exists()
            for file in candidates(run):
                checkpoint.load(file)
        runs.finish(run, of)
        runs.check(run)
    return {name: halves.count(name) for name in halves}


def seen(file, late):
    """Whether a file is there, told so many seconds after it came."""
    if not file.exists():
        return False
    time.sleep(late)
    return True


@pytest.fixture
def runs(values, tmp_path):
    return Runs(values, tmp_path)


def test_three_kills(runs):
    survive(runs, 3, random.Random(0))


@pytest.mark.slow
def test_thirty_kills(runs, capsys):
    halves = survive(runs, 30, random.Random(1), workers=(0, 2))
    with capsys.disabled():
        print(f"\nhalf written when killed: {halves}")
    assert halves["checkpoint.pt.part"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
def test_signals_while_a_checkpoint_is_written(runs, signals):
    """One lets it be finished and ends the run; a second ends it at once."""
    run = RunFolder(runs.path / "stopped")
    process = runs.start(run, workers=2)
    while process.is_alive() and not (run.path / "checkpoint.pt.part").exists():
        time.sleep(0.0002)
    for _ in range(signals):
        process.terminate()
    process.join(120)
    assert process.exitcode in ({1} if signals == 1 else {1, -signal.SIGTERM})
    if signals == 1:
        assert not list(run.path.glob("*.part"))
        assert checkpoint.load(run.checkpoint)["step"] == run.events()[-1]["step"] == 2
    for file in candidates(run):
        checkpoint.load(file)
    runs.finish(run, workers=2)
    runs.check(run)
