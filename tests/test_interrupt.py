"""Ctrl-C as a terminal sends it: to the whole process group, loader workers included."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from rsadapt.data.procedural.world import write_world
from rsadapt.run import RunFolder

NAMES = ["water", "forest", "field", "grass", "bare", "building", "road"]
PAIR = {
    "classes": [
        {"name": name, "id": number, "colour": "#000000"} for number, name in enumerate(NAMES, 1)
    ],
    "ignored_ids": [0],
    "source": {"scenes": ["source/*.tif"], "labels": ["source/labels/*.tif"]},
    "target": {"scenes": ["target/*.tif"]},
    "network": {"encoder": "small", "rates": [1]},
    "method": {"name": "output_space", "discriminator_width": 4},
    "training": {"steps": 100_000, "tile": 64, "batch_size": 2, "workers": 2, "log_every": 1},
    "device": {"accelerator": "cpu"},
}
COMMAND = [sys.executable, "-c", "from rsadapt.cli import main; main()", "train"]
PATIENCE = 120  # seconds


def last_step(run):
    events = run.events() if run.metrics.exists() else []
    return events[-1]["step"] if events else 0


def train_and_signal(number, run, *arguments):
    """Train until a step was logged, signal the group, and return exit code and stderr."""
    before = last_step(run)
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE
    while last_step(run) <= before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_saves_and_goes_on(tmp_path, number):
    write_world(tmp_path, size=160)
    file = tmp_path / "pair.yaml"
    file.write_text(yaml.safe_dump(PAIR))
    run = RunFolder(tmp_path / "run")
    for extra in ([], ["--resume"]):
        before = last_step(run)
        code, said = train_and_signal(number, run, file, "--out", run.path, *extra)
        assert code == 130, said
        assert re.fullmatch(
            r"stopped at step \d+ of 100000; the state is saved; the same command with --resume "
            "goes on",
            said.splitlines()[-1],
        )
        assert "Traceback" not in said
        assert last_step(run) > before
    assert run.checkpoint.is_file()
