"""The checkpoints of a run: which are kept, which is read, and that one is always there."""

import contextlib
import os
import warnings

import pytest
import torch

from rsadapt.adapt import checkpoint
from rsadapt.checkpoints import Keeper, candidates, load
from rsadapt.errors import CheckpointError, MissingFileError
from rsadapt.run import RunFolder


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


def state(step):
    return {"step": step, "network": {"weight": torch.full((9,), float(step))}}


def write(keeper, *steps):
    for step in steps:
        keeper.write(step, state(step))


def there(run):
    """The steps of the checkpoints that can be read, newest first."""
    return [checkpoint.load(file)["step"] for file in candidates(run)]


def spoil(file):
    """Change one bit of a file, in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("keep", "every", "left"),
    [
        (1, 0, [60]),
        (2, 0, [60, 50]),
        (4, 0, [60, 50, 40, 30]),
        (1, 20, [60, 40, 20]),
        (2, 30, [60, 50, 30]),
        (9, 0, [60, 50, 40, 30, 20, 10]),
    ],
)
def test_the_last_and_every_nth_are_kept(run, keep, every, left):
    write(Keeper(run, keep=keep, keep_every=every), 10, 20, 30, 40, 50, 60)
    assert there(run) == left
    assert candidates(run)[0] == run.checkpoint
    assert len(list(run.path.iterdir())) == len(left)


def test_older_ones_say_their_step(run):
    write(Keeper(run, keep=2, keep_every=0), 10, 20)
    assert run.older_checkpoints() == [(10, run.path / "checkpoint-00000010.pt")]


def test_a_damaged_newest_is_named_and_the_one_before_it_used(run):
    write(Keeper(run, keep=3, keep_every=0), 10, 20, 30)
    spoil(run.checkpoint)
    says = r"checkpoint\.pt: damaged .*Used instead: checkpoint-00000020\.pt, of step 20"
    with pytest.warns(UserWarning, match=says):
        found = load(run.path)
    assert (found.file.name, found.state["step"]) == ("checkpoint-00000020.pt", 20)
    spoil(found.file)
    with pytest.warns(UserWarning, match=r"checkpoint\.pt: .*0020\.pt: .*0010\.pt, of step 10"):
        assert load(run.path).state["step"] == 10
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: damaged"):
        load(run.checkpoint)  # asked for by its own name


@pytest.mark.parametrize("content", [b"", bytes(4000)])  # as file systems leave after a power cut
def test_a_file_of_zeros_is_damaged(run, content):
    write(Keeper(run, keep=2, keep_every=0), 10, 20)
    run.checkpoint.write_bytes(content)
    with pytest.warns(UserWarning, match="of step 10"):
        assert load(run.path).state["step"] == 10


def test_where_none_is_whole_all_are_named(run):
    write(Keeper(run, keep=2, keep_every=0), 10, 20)
    for file in candidates(run):
        spoil(file)
    with pytest.raises(
        CheckpointError, match=r"none of its 2 .*\(checkpoint\.pt, checkpoint-00000010\.pt\); copy"
    ):
        load(run.path)


def test_no_checkpoint_at_all(run):
    with pytest.raises(MissingFileError, match=r"checkpoint\.pt: no checkpoint here"):
        load(run.path)


def test_code_in_the_newest_is_no_damage(run, tmp_path):
    write(Keeper(run, keep=2, keep_every=0), 10, 20)
    torch.save({"extra": torch.nn.Linear(1, 1)}, run.checkpoint)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: .*could run code"):
        load(run.path)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_going_on_from_an_older_one_leaves_no_damaged_one(run, keep):
    write(Keeper(run, keep=3, keep_every=0), 10, 20, 30)
    for file in candidates(run)[:2]:
        spoil(file)
    with pytest.warns(UserWarning, match="of step 10"):
        found = load(run.path)
    write(Keeper(run, keep=keep, keep_every=0, found=found), 20)
    assert there(run) == [20, 10][:keep]


class KilledError(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("older", [False, True])
def test_a_kill_between_any_two_operations_leaves_a_whole_one(
    tmp_path, monkeypatch, links, keep, older
):
    """Every operation on the folder fails from the n-th on, for all n until none does."""
    real = {name: getattr(os, name) for name in ("fsync", "link", "replace", "unlink")}
    left = 0

    def killed(name):
        def operation(*args, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError
            if name == "link" and not links:
                raise PermissionError("no second names here")
            return real[name](*args, **options)

        return operation

    for count in range(99):
        run = RunFolder(tmp_path / str(count))
        run.path.mkdir()
        write(Keeper(run, keep=2, keep_every=0), 10, 20)
        if older:
            spoil(run.checkpoint)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load(run.path)
        keeper = Keeper(run, keep=keep, keep_every=0, found=found)
        with monkeypatch.context() as patch:
            for name in real:
                patch.setattr(os, name, killed(name))
            left = count
            with contextlib.suppress(KilledError):
                write(keeper, 30)
        finished = left > 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again = load(run.path)
        assert again.state["step"] in {found.state["step"], 30}
        write(Keeper(run, keep=2, keep_every=0, found=again), 40)
        assert there(run) == [40, again.state["step"]]
        assert len(list(run.path.iterdir())) == 2
        if finished:
            break
    assert 3 < count < 20
