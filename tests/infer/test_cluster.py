"""Workers of dask: the same pixels as one process, whoever of them is lost."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from rsadapt.errors import ConfigError, WorkerError
from rsadapt.infer import cluster
from rsadapt.infer.cluster import connected, started
from rsadapt.infer.sharing import Sharing
from rsadapt.infer.work import ask_device

distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")


@pytest.fixture(scope="module")
def pool(shared):  # which puts the networks on the path that workers start with
    with started(2) as pool:
        yield pool


@pytest.mark.parametrize("blending", ["hann", "crop"])
def test_workers_predict_the_same_pixels(shared, alone, pool, blending):
    load = shared.load("dask")
    assert ask_device(pool, load) == "cpu"
    made = shared.predict(f"dask-{blending}", load, blending, pool)
    shared.same(made, alone[blending])
    assert made.predicted == made.pixels
    loaders = shared.loaders("dask")
    assert len(loaders) == len(set(loaders)) <= 2  # once a worker, for both blendings


def test_a_lost_worker_is_replaced_and_its_panels_tried_again(shared, alone, pool, tmp_path):
    (tmp_path / "order").touch()
    load = shared.load("lost", deadly=tmp_path)
    made = shared.predict("replaced", load, "hann", pool)
    assert not list(tmp_path.iterdir())  # one was killed
    shared.same(made, alone["hann"])


def test_panels_finished_before_are_not_predicted_again(shared, alone, pool):
    load = shared.load("again", pause=0.05)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared.predict("again", load, "hann", pool, progress=stop)
    assert not list((shared.folder / "again" / ".scene.panels").glob("unfinished-work-*"))
    made = shared.predict("again", load, "hann", pool)
    shared.same(made, alone["hann"])
    assert 0 < made.predicted < made.pixels


def test_what_goes_wrong_there_is_said_here(shared, pool):
    with pytest.raises(WorkerError, match=r"does not find .*/far/checkpoint\.pt.* same paths"):
        ask_device(pool, shared.networks.Missing())
    with pytest.raises(ConfigError, match="on cpu, and another worker on cuda"):
        shared.predict("wrong", shared.load("wrong"), "hann", pool, device="cuda")


@pytest.mark.slow
def test_a_panel_that_costs_every_worker_is_given_up(shared, tmp_path):
    """Dask counts the lost, and does not start those anew that are lost in their first moment."""
    for number in range(50):
        (tmp_path / str(number)).touch()
    with (
        pytest.raises(WorkerError, match=r"given up after 4 workers were lost|no worker is left"),
        started(1) as pool,
    ):
        shared.predict("given-up", shared.load("given-up", deadly=tmp_path), "hann", pool)


def test_without_dask_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    for way in (connected("tcp://127.0.0.1:1"), started(1)):
        with pytest.raises(ConfigError, match=r"pip install 'rsadapt\[cluster\]'"), way:
            pass


@pytest.mark.parametrize("address", ["nonsense", "foo://1.2.3.4:5"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match=f"{address}: expected the address"), connected(address):
        pass


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        pytest.raises(WorkerError, match=f"127.0.0.1:{port}: expected a dask scheduler to answer"),
        connected(f"tcp://127.0.0.1:{port}"),
    ):
        pass


def test_one_way_to_share_is_enough():
    with pytest.raises(ConfigError, match="give one of them"):
        Sharing(workers=2, devices=2)
    with pytest.raises(ConfigError, match="at least one process, found 0"):
        Sharing(workers=0)
    with Sharing().pool("cpu") as pool:
        assert pool is None


# A cluster that others started


@pytest.fixture
def scheduler(tmp_path):
    """The process of a scheduler and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = dask("scheduler", "--host", "127.0.0.1", "--port", str(port), cwd=tmp_path)
    yield process, f"tcp://127.0.0.1:{port}"
    end(process)


def dask(program, *arguments, cwd):
    command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--no-dashboard"]
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [*command, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def predict_by(address, shared, name, progress):
    load = shared.load(name, pause=0.02)
    with connected(address) as pool:
        assert ask_device(pool, load) == "cpu"
        return shared.predict(name, load, "hann", pool, progress=progress)


def end(process):
    process.kill()
    process.wait()


@pytest.mark.slow
def test_workers_elsewhere_that_are_killed(shared, alone, scheduler, tmp_path):
    """The first worker comes late; one of two is killed midway, and another joins."""
    _, address = scheduler
    workers = []

    def join(after=0.0):
        time.sleep(after)
        workers.append(dask("worker", address, "--no-nanny", "--nthreads", "2", cwd=tmp_path))

    def kill_one(*_):
        if len(workers) == 2:
            workers[0].send_signal(signal.SIGKILL)
            join()

    late = threading.Thread(target=lambda: (join(5), join()))
    late.start()
    try:
        with pytest.warns(UserWarning, match="has no workers yet; waiting for the first"):
            made = predict_by(address, shared, "elsewhere", kill_one)
        shared.same(made, alone["hann"])
        assert len(workers) == 3
    finally:
        late.join()
        for worker in workers:
            end(worker)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the scheduler at .* has no workers yet")
def test_a_lost_scheduler_ends_it_and_the_next_call_goes_on(shared, alone, scheduler, tmp_path):
    process, address = scheduler
    worker = dask("worker", address, "--no-nanny", "--nthreads", "1", cwd=tmp_path)
    try:
        with pytest.raises(
            WorkerError, match=r"the scheduler was lost; .* the same command goes on"
        ):
            predict_by(address, shared, "lost", lambda *_: end(process))
    finally:
        end(worker)
    made = shared.predict("lost", None)
    shared.same(made, alone["hann"])
    assert 0 < made.predicted < made.pixels
