"""Several processes train one run: as one does with all their batches, and none is left alone."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from rsadapt import build, config
from rsadapt.adapt import checkpoint
from rsadapt.errors import OutputExistsError
from rsadapt.model import load
from rsadapt.processes import Started, started
from rsadapt.run import RunFolder
from rsadapt.scoring import judge, score
from rsadapt.training import train_run

PATIENCE = 120  # seconds

EXACT = ["device.precision=64-true", "training.tile=32"]
FROZEN = [*EXACT, "training.steps=10", "network.batch_norm=frozen"]
SYNCHRONISED = [*EXACT, "network.batch_norm_sync=true", "training.accumulate=2"]
CBST = [*FROZEN, "method={name: cbst, kld: 0.1}", "optimiser.rate=0.01"]
IAST = [*FROZEN, "method={name: iast, first: 0.1, beta: 0.6}", "optimiser.rate=0.01"]
UNCHANGED = "jitter: 0.0, blur: 0.0"  # each process draws its own changes
MEAN_TEACHER = f"method={{name: mean_teacher, threshold: 0.36, decay: 0.5, {UNCHANGED}}}"
TAUGHT = [*FROZEN, MEAN_TEACHER, "optimiser.rate=0.001"]  # sure of a part of the eighth step
BY_METHOD = {
    name: [*FROZEN, "training.steps=3", f"method={{name: {name}}}"]
    for name in ("advent", "min_ent", "clan", "multi_scale_features")
}
SELF_TRAINING = {"cbst": CBST, "iast": IAST, "mean_teacher": TAUGHT}
AS_ONE = {"frozen": FROZEN, "synchronised": SYNCHRONISED} | SELF_TRAINING | BY_METHOD
OWN = ["training.steps=12", "training.workers=1", "training.batch_size=1"]


def start(*command, count=2):
    """Start `python COMMAND` so many times, each as one of a run's processes, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    place |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": 1}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ
            | {key: str(value) for key, value in place.items()}
            | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def finish(processes):
    """Wait for processes; their exit codes, and what each said on stdout and stderr."""
    try:
        said = [process.communicate(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], said


def changed(values, *assignments):
    return config.parse(config.assign(values, list(assignments)), where="test")


def learned(run):
    return checkpoint.load(run.checkpoint)


def losses(run):
    return [event["losses"] for event in run.events() if "losses" in event]


@pytest.fixture
def spotted(values):
    """The configuration, of a source that is labelled in few, uneven places."""
    values["classes"] = values["classes"][2:3] + values["classes"][5:]
    values["ignored_ids"] = [0, 1, 2, 4, 5, 255]
    return values


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("several")


@pytest.fixture
def trained(folder, spotted):
    """The folder in which two processes have trained all of it, once for this file."""
    if not any(folder.iterdir()):
        for name, changes in (*AS_ONE.items(), ("own", OWN)):
            settings = changed(spotted, *changes)
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings.model_dump()))
        codes, said = finish(start(Path(__file__).with_name("trained_by_several.py"), folder))
        assert codes == [1, 1], said
        (folder / "said.json").write_text(json.dumps([err for _, err in said]))
    return folder


# What they exchange


def test_gradients_become_their_mean_and_none_stays_none(trained):
    one, other = (torch.load(trained / f"exchanged-{rank}.pt") for rank in (0, 1))
    for found in (one, other):
        assert found["both"].tolist() == [1.5, 1.5]
        assert found["one"].tolist() == [0.5, 0.5]
        assert found["none"] is None
        assert found["running"].tolist() == [1.5] * 3
        assert found["weights"].tolist() == [1, 1]
        assert found["means"] == {"a": 3.0, "b": 6.0}  # (4 + 8) / 4 and (8 + 16) / 4
        assert found["any"] == (True, False)
        assert found["first"] == "from 0"


# As one process with all their batches


@pytest.mark.parametrize("name", AS_ONE)
def test_two_processes_learn_what_one_does_with_twice_the_batch(trained, spotted, name, tmp_path):
    settings = changed(spotted, *AS_ONE[name], "training.batch_size=4")
    one = train_run(settings, tmp_path / "one").run
    two = RunFolder(trained / name)
    assert len(losses(two)) == settings.training.steps
    for ours, theirs in zip(losses(one), losses(two), strict=True):
        assert theirs == pytest.approx(ours, abs=1e-6)
        assert theirs == pytest.approx(ours, rel=1e-9)
    assert all(any(each[name] for each in losses(two)) for name in losses(two)[0])
    for part in ("network", "statistics"):
        for key, value in learned(one)[part].items():
            torch.testing.assert_close(learned(two)[part][key], value, rtol=1e-9, atol=1e-12)


def test_those_processes_had_unequal_shares_of_labelled_pixels(spotted):
    settings = changed(spotted, *FROZEN)
    places = build.places(settings)
    taken = build.take_statistics(settings, places)
    normalise = build.normalisers(settings, places, taken)
    samples = build.training_samples(settings, places, normalise, "source")
    counts = [int((samples[number].label != 255).sum()) for number in range(40)]
    shares = [sum(counts[at : at + 2]) / sum(counts[at : at + 4]) for at in range(0, 40, 4)]
    assert all(abs(share - 0.5) > 0.01 for share in shares), shares
    assert max(shares) - min(shares) > 0.3


def test_figures_are_those_of_one_process(trained):
    for name in ("frozen", "own"):
        run = RunFolder(trained / name)
        model = load(run.path)
        scored = build.scored(model.facts.settings)
        alone = score(scored, model.parts, model.facts, device=model.device)
        assert json.loads(json.dumps(alone)) == run.validation(model.step)
        places = build.places(model.facts.settings)
        judged = judge(places, model.parts, model.facts, device=model.device)
        assert judged == run.validators()[model.step]


# Going on


def test_resuming_several_processes_changes_nothing(trained):
    whole, parts = (learned(RunFolder(trained / name)) for name in ("own", "parts"))
    for part in ("network", "statistics", "others"):
        torch.testing.assert_close(parts[part], whole[part], rtol=0, atol=0)
    assert losses(RunFolder(trained / "parts")) == losses(RunFolder(trained / "own"))


def test_record_says_how_many_and_another_number_is_refused(trained, spotted):
    run = RunFolder(trained / "own")
    record = json.loads(run.record.read_text())
    assert (record["processes"], record["batch"]) == (2, 2)
    with pytest.raises(
        OutputExistsError, match=r"expected 2 processes.* found 1.*nproc-per-node 2"
    ):
        train_run(changed(spotted, *OWN), run.path, resume=True)


# Ending together


def wait_for(run, step):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if run.metrics.exists() and any(event["step"] >= step for event in run.events()):
            return
        time.sleep(0.05)


def test_one_that_is_killed_ends_all_with_one_sentence(values, tmp_path):
    values["training"] |= {"steps": 100_000, "save_every": 2, "workers": 1}
    file, run = tmp_path / "long.yaml", RunFolder(tmp_path / "run")
    file.write_text(yaml.safe_dump(values))
    processes = start("-m", "rsadapt", "train", file, "--out", run.path)
    wait_for(run, 3)
    processes[1].kill()
    codes, ((out, err), (_, silent)) = finish(processes)
    assert codes == [1, -signal.SIGKILL]
    (saved,) = re.findall(
        r"another process of this run ended, in step \d+; the state of step (\d+) is saved; the "
        r"same command with --resume goes on",
        err.splitlines()[-1],
    )
    assert learned(run)["step"] == int(saved) >= 2
    assert not [text for text in (out, err, silent) if "Traceback" in text]


def test_a_mistake_is_told_once(trained):
    told = "".join(json.loads((trained / "said.json").read_text()))
    assert re.fullmatch(r"error: no recipe is called .nowhere.*\n", told)


def test_a_dry_run_of_two_speaks_once(values, tmp_path):
    file = tmp_path / "pair.yaml"
    file.write_text(yaml.safe_dump(values))
    command = ["-m", "rsadapt", "train", file, "--out", tmp_path / "run", "--dry-run"]
    codes, ((out, err), silent) = finish(start(*command))
    assert (codes, silent) == ([0, 0], ("", "")), err
    assert "2 processes" in out
    codes, said = finish(start(*command, "--set", "training.tile=512"))
    assert codes == [1, 1]
    assert "".join(err for _, err in said).count("error: ") == 1


# Where they come from


def test_the_environment_says_which_processes_there_are():
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert started(torchrun) == Started(3, 4, 1, 2, "torchrun")
    step = {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "4"}
    assert started(step | {"SLURM_STEP_NUM_NODES": "2"}) == Started(3, 4, 1, 2, "SLURM")
    assert started(step | {"SLURM_STEP_NUM_TASKS": "1"}) == Started()  # of a batch script
    assert started({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) == Started()
    assert started({}) == Started()


@pytest.mark.slow
def test_demo_runs_under_torchrun(tmp_path):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    out = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, *command, "-m", "rsadapt", "demo", "--out", str(out)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("adapted") >= 1
    assert done.stdout.count("The maps open in QGIS") == 1
    for row in ("source-only", "adapted", "target-trained"):
        assert json.loads((out / "runs" / "seed-0" / row / "run.json").read_text())["batch"] == 8
        assert list((out / "maps" / row).glob("*.tif"))
