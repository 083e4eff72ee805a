import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rsadapt.classes import ClassScheme
from rsadapt.data.frames import Frames, FrameSamples
from rsadapt.data.gta5 import GTA5
from rsadapt.data.images import write_png
from rsadapt.data.prepared import FACTS, Prepared, frame_bytes, prepare
from rsadapt.errors import ConfigError, DataError, MissingFileError, OutputExistsError
from rsadapt.geo.normalise import Normaliser

SCHEME = ClassScheme(("sky", "road"), ((23,), (7,)), ((0, 0, 9), (9, 0, 9)))
OTHER = ClassScheme(("road", "sky"), ((7,), (23,)), ((9, 0, 9), (0, 0, 9)))


@pytest.fixture
def frames(tmp_path):
    random = np.random.default_rng(0)
    root = tmp_path / "GTA5"
    for number in range(1, 5):
        image = random.integers(0, 256, (20, 30, 3)).astype(np.uint8)
        write_png(root / f"images/{number:05d}.png", image)
        write_png(root / f"labels/{number:05d}.png", random.integers(0, 30, (20, 30), np.uint8))
    return Frames("source", tuple(GTA5.frames(root, "all")), GTA5, (12, 16), (3, 2, 1))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "prepared"


def samples(frames, scheme, prepared=None):
    normalise = Normaliser((1.0, 2.0, 3.0), (1.0, 2.0, 1.0))
    return FrameSamples(frames, seed=5, normalise=normalise, scheme=scheme, prepared=prepared)


@pytest.mark.parametrize("scheme", [SCHEME, None])
@pytest.mark.parametrize("kept", [SCHEME, None])
def test_samples_are_those_from_the_files(frames, out, scheme, kept):
    prepare(frames, kept, out)
    if scheme is not None and kept is None:
        with pytest.raises(ConfigError, match=r"expected classes .*found None"):
            Prepared.open(out, frames, scheme)
        return
    fast, slow = (
        samples(frames, scheme, Prepared.open(out, frames, scheme)),
        samples(frames, scheme),
    )
    for number in range(6):
        assert torch.equal(fast[number].image, slow[number].image)
        assert fast[number].name == slow[number].name
        assert (scheme is None) or torch.equal(fast[number].label, slow[number].label)


def test_other_bands_share_a_cache(frames, out):
    prepared = prepare(frames, SCHEME, out)
    other = replace(frames, bands=(1, 2, 3))
    image = samples(other, None, Prepared.open(out, other, None))[0].image
    assert torch.equal(image, samples(other, None)[0].image)
    assert prepared == Prepared.open(out, other, SCHEME)


def test_stopped_work_goes_on(frames, out):
    def stop(_task, done, _total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(frames, SCHEME, out, stop)
    with pytest.raises(MissingFileError, match=r"expected 4 prepared frames, \d are missing"):
        Prepared.open(out, frames, SCHEME)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.npy")}
    prepared = prepare(frames, SCHEME, out)
    assert len(before) == 2
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert torch.equal(samples(frames, SCHEME, prepared)[1].image, samples(frames, SCHEME)[1].image)


def test_disk_needed_is_said_before_and_is_what_it_takes(frames, out):
    calls = []
    prepare(frames, SCHEME, out, lambda *call: calls.append(call))
    assert calls[0][0].endswith("GB")
    assert [call[1:] for call in calls] == [(done, 4) for done in range(5)]
    sizes = {path.stat().st_size for path in out.glob("*.npy")}
    assert sizes == {frame_bytes(frames, SCHEME)}


def test_disk_that_is_too_small_is_refused(frames, out):
    with pytest.raises(DataError, match=r"need \d+\.\d GB, the disk has .* GB free"):
        prepare(replace(frames, size=(10**7, 10**7)), SCHEME, out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "scheme", "complaint"),
    [
        ({"size": (6, 8)}, SCHEME, r"expected size \[6, 8\], found \[12, 16\]"),
        ({}, OTHER, "expected classes"),
        ({"dataset": replace(GTA5, title="Other")}, SCHEME, "expected dataset Other, found GTA5"),
    ],
)
def test_cache_of_something_else_is_refused(frames, out, change, scheme, complaint):
    prepare(frames, SCHEME, out)
    with pytest.raises(ConfigError, match=complaint):
        Prepared.open(out, replace(frames, **change), scheme)
    with pytest.raises(OutputExistsError, match="holds prepared frames of another choice"):
        prepare(replace(frames, **change), scheme, out)


def test_cache_of_other_frames_is_refused(frames, out):
    prepare(frames, SCHEME, out)
    fewer = replace(frames, frames=frames.frames[:-1])
    with pytest.raises(ConfigError, match="expected frames 3, found 4"):
        Prepared.open(out, fewer, SCHEME)
    turned = replace(frames, frames=frames.frames[::-1])
    with pytest.raises(ConfigError, match=r"prepared\.json: the frames' names differ; prepare"):
        Prepared.open(out, turned, SCHEME)


def test_cache_of_another_folder_is_refused_and_of_a_copy_is_not(frames, out, tmp_path):
    def moved(name):
        root = Path(shutil.copytree(tmp_path / "GTA5", tmp_path / name, copy_function=shutil.copy))
        return root, replace(frames, frames=tuple(GTA5.frames(root, "all")))

    prepared = prepare(frames, SCHEME, out)
    _, copy = moved("copy")
    assert Prepared.open(out, copy, SCHEME) == prepared
    root, other = moved("other")
    write_png(root / "labels/00003.png", np.zeros((20, 30), np.uint8))
    with pytest.raises(ConfigError, match="the label files differ in size"):
        Prepared.open(out, other, SCHEME)
    assert Prepared.open(out, other, None) == prepared
    write_png(root / "images/00003.png", np.zeros((20, 30, 3), np.uint8))
    for scheme in (SCHEME, None):
        with pytest.raises(ConfigError, match="the image files differ in size, as those of anoth"):
            Prepared.open(out, other, scheme)
        with pytest.raises(OutputExistsError, match=r"another choice \(the image files differ"):
            prepare(other, scheme, out)
    (root / "images/00003.png").unlink()
    with pytest.raises(MissingFileError, match=r"00003\.png: expected a file of the data set"):
        Prepared.open(out, other, None)


def test_labelled_frames_serve_where_no_labels_are_asked_for(frames, out):
    unlabelled = replace(frames, frames=tuple(replace(f, label=None) for f in frames.frames))
    prepared = prepare(frames, SCHEME, out)
    assert prepare(unlabelled, None, out) == prepared
    (out / "000001.npy").unlink()
    with pytest.raises(MissingFileError, match="expected 4 prepared frames, 1 are missing"):
        prepare(unlabelled, None, out)
    assert prepare(frames, SCHEME, out) == prepared


def test_unlabelled_frames_do_not_serve_where_labels_are_asked_for(frames, out):
    prepare(frames, None, out)
    with pytest.raises(OutputExistsError, match=r"expected classes .*found None\); choose another"):
        prepare(frames, SCHEME, out)


def test_folder_of_other_files_is_left_alone(frames, out):
    out.mkdir()
    (out / "thesis.txt").write_text("draft")
    with pytest.raises(OutputExistsError, match="found other files"):
        prepare(frames, SCHEME, out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    (out / "thesis.txt").rename(out / "scores.npy")
    with pytest.raises(OutputExistsError, match="found other files"):
        prepare(frames, SCHEME, out)


def test_arrays_of_others_are_no_frames(frames, out):
    prepared = prepare(frames, SCHEME, out)
    (out / "scores.npy").touch()
    assert prepare(frames, SCHEME, out) == prepared


@pytest.mark.parametrize("victim", [FACTS, "000002.npy"])
def test_stop_while_writing_a_file_is_got_over(frames, out, monkeypatch, victim):
    """As a power cut leaves it: the part is there and never becomes the file."""
    replaced = Path.replace

    def cut(part, path):
        if path.name == victim:
            shutil.copy(part, out / f"left{part.suffix}")
            raise KeyboardInterrupt
        return replaced(part, path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            prepare(frames, SCHEME, out)
    assert [path.name for path in out.glob("*.part")] == ["left.part"]
    assert prepare(frames, SCHEME, out) == Prepared.open(out, frames, SCHEME)


def test_two_at_once_write_to_files_of_their_own(frames, out, monkeypatch):
    replaced, parts = Path.replace, []

    def watch(part, path):
        parts.append(part)
        return replaced(part, path)

    monkeypatch.setattr(Path, "replace", watch)
    prepare(frames, SCHEME, out)
    shutil.rmtree(out)
    prepare(frames, SCHEME, out)
    assert len(set(parts)) == len(parts) == 10
    assert not list(out.glob(".*"))


def test_nothing_prepared_is_said(frames, out):
    with pytest.raises(MissingFileError, match="prepare the frames first"):
        Prepared.open(out, frames, SCHEME)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"noise" * 99])
def test_damaged_frame_is_named(frames, out, content):
    prepared = prepare(frames, SCHEME, out)
    (out / "000002.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"000002.npy: expected what `prepare` writes"):
        prepared.image(2)


def test_shortened_frame_is_named(frames, out):
    prepared = prepare(frames, SCHEME, out)
    path = out / "000002.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"000002.npy: expected what `prepare` writes"):
        prepared.label(2)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_facts_are_named(frames, out, content):
    prepare(frames, SCHEME, out)
    (out / FACTS).write_text(content)
    with pytest.raises(DataError, match=r"prepared.json: expected what `prepare` writes"):
        Prepared.open(out, frames, SCHEME)
