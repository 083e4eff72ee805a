"""Checkpoints: whole or not at all, and never code."""

import argparse
import pickle
import zipfile

import pytest
import torch
from canary import Canary

from rsadapt.adapt.checkpoint import load, save
from rsadapt.errors import CheckpointError, DamagedCheckpointError, MissingFileError

STATE = {
    "step": 3,
    "facts": "{}",
    "network": {"weight": torch.arange(600.0).reshape(20, 30)},
    "optimisers": {"network": {"state": {}, "param_groups": [{"betas": (0.9, 0.99)}]}},
    "random": torch.arange(9, dtype=torch.uint8),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.pt"


def test_state_reads_back_the_same(path):
    save(path, STATE)
    found = load(path)
    for name in ("step", "facts", "optimisers"):
        assert found[name] == STATE[name]
    assert torch.equal(found["network"]["weight"], STATE["network"]["weight"])
    assert torch.equal(found["random"], STATE["random"])
    assert list(path.parent.iterdir()) == [path]


def test_writing_that_fails_leaves_the_old_state(path, monkeypatch):
    save(path, STATE)
    before = path.read_bytes()

    def full(state, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"step": 4})
    assert path.read_bytes() == before
    assert load(path)["step"] == 3


@pytest.mark.parametrize(
    "write", [torch.save, lambda o, path: path.write_bytes(pickle.dumps(o, 2))]
)
def test_code_is_refused_and_not_run(path, tmp_path, write):
    canary = tmp_path / "canary"
    write({"network": {}, "extra": Canary(canary)}, path)
    with pytest.raises(
        CheckpointError, match=r"checkpoint\.pt: .*could run code \(it asks for \w+\.mkdir\)"
    ):
        load(path)
    assert not canary.exists()
    torch.load(path, weights_only=False) if write is torch.save else pickle.loads(path.read_bytes())
    assert canary.exists()  # it would have


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"options": argparse.Namespace(lr=1)}, "argparse.Namespace"),
    ],
)
def test_what_a_refused_file_asks_for_is_named(path, content, asked, modern):
    torch.save(content, path, _use_new_zipfile_serialization=modern)
    with pytest.raises(CheckpointError, match=rf"could run code \(it asks for {asked}\)") as caught:
        load(path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("text", ["<!DOCTYPE html>", "version https://git-lfs.github.com/spec/v1"])
def test_a_file_of_another_kind_is_told_from_one_with_code(path, text):
    path.write_text(text + "\n")
    with pytest.raises(CheckpointError, match=r"not in PyTorch's format.* web page or a git-lfs"):
        load(path)


@pytest.mark.parametrize("kept", [0, 1, 2, 100, 0.3, 0.9, 0.999])
def test_file_cut_short_is_named(path, kept):
    save(path, STATE)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: "):
        load(path)


@pytest.mark.parametrize("kept", [100, 0.3, 0.9, 0.999])
@pytest.mark.parametrize(
    ("modern", "says"),
    [(True, "cut short"), (False, r"unexpected EOF, expected \d+ more bytes|EOFError")],
)
def test_file_cut_short_is_told_in_short(path, kept, modern, says):
    torch.save({"weight": torch.zeros(9999)}, path, _use_new_zipfile_serialization=modern)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(CheckpointError, match=rf"damaged or no checkpoint \(({says})\); copy it"):
        load(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"]}q",
        b"hello, this is a text file\n" * 9,
        b"X\x01",
        b"h\x53.",
        b"s+=",
        b"\x00" * 500,
    ],
)
def test_file_that_is_no_checkpoint_is_named(path, data):
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: "):
        load(path)


def test_damage_inside_is_noticed(path):
    save(path, STATE)
    data = bytearray(path.read_bytes())
    place = data.index(torch.tensor([300.0, 301.0]).numpy().tobytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: damaged"):
        load(path)


def test_no_flipped_bit_goes_unnoticed(path):
    """Wherever it is: in tensors, names, the table of contents or the digest."""
    small = {"step": 3, "network": {"weight": torch.arange(9.0)}, "list": [1, "two", (3.0,)]}
    save(path, small)
    data, harmless = path.read_bytes(), 0
    for place in [*range(0, len(data) - 200, 11), *range(len(data) - 200, len(data))]:
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        try:
            found = load(path)
        except DamagedCheckpointError:
            continue
        harmless += 1
        assert torch.equal(found.pop("network")["weight"], small["network"]["weight"])
        assert found == {name: small[name] for name in ("step", "list")}
    assert harmless <= 7  # of the words that say that a digest follows


def test_other_programs_read_it(path):
    save(path, STATE)
    assert torch.load(path, weights_only=True)["step"] == 3
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"sha256:")


def test_bare_tensor_is_no_state(path):
    torch.save(torch.zeros(2), path)
    with pytest.raises(CheckpointError, match="expected named tensors, found a Tensor"):
        load(path)


def test_missing_file(path):
    with pytest.raises(MissingFileError, match="no checkpoint here"):
        load(path)
