"""A run's folder and record."""

import contextlib
import hashlib
import json
import os

import pytest
import yaml

from rsadapt.config import change
from rsadapt.errors import MissingFileError, OutputExistsError
from rsadapt.run import RECORDED, RunFolder, digest, environment


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.create("seed: 1\n", {"seed": 1})
    return folder


def test_new_folder_holds_configuration_and_record(run):
    assert run.configuration.read_text() == "seed: 1\n"
    assert json.loads(run.record.read_text()) == {"seed": 1}
    assert run.events() == []
    run.check_run("seed: 1\n")
    with pytest.raises(OutputExistsError, match="another configuration"):
        run.check_run("seed: 2\n")


BEGUN = {
    "root": "/data",
    "init_from": None,
    "classes": [{"name": "sea", "id": 1}] * 9,
    "method": {"name": "output_space", "adversarial": [0.0002, 1e-05]},
    "training": {"steps": 400, "workers": 2},
}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training.steps": 500}, r"config\.yaml: training\.steps: 400 there, 500 here\); go on"),
        (
            {"method": {"name": "source_only"}, "init_from": "/a"},
            r': init_from: null there, "/a" here; method\.name: "output_space" there, '
            r'"source_only" here; method\.adversarial: \[0\.0002, 1e-05\] there, null here\)',
        ),
        (
            {"classes": [], "method.name": "x", "training.steps": 1, "new": 1},
            r"classes: \[.{76}\.\.\. there, \[\] here; method\..*; training\..* here; \.\.\.\)",
        ),
    ],
)
def test_what_differs_from_the_run_is_named(tmp_path, changes, says):
    RunFolder(tmp_path).create(yaml.safe_dump(BEGUN), {})
    with pytest.raises(OutputExistsError, match=says):
        RunFolder(tmp_path).check_run(yaml.safe_dump(change(BEGUN, changes), sort_keys=False))


def test_what_changes_no_result_may_differ(tmp_path):
    RunFolder(tmp_path).create(yaml.safe_dump(BEGUN), {})
    moved = change(BEGUN, {"root": "/mnt/data", "training.workers": 0})
    RunFolder(tmp_path).check_run(yaml.safe_dump(moved, sort_keys=False))


def test_configuration_that_was_spoilt_is_told(tmp_path):
    RunFolder(tmp_path).create("a: [", {})
    with pytest.raises(OutputExistsError, match=r"config\.yaml: expected .* no YAML; mend it"):
        RunFolder(tmp_path).check_run("a: 1")


def test_empty_folder_may_be_used(tmp_path):
    RunFolder(tmp_path).create("", {})
    RunFolder(tmp_path).check_run("")


def test_folder_of_another_run_is_refused(run):
    with pytest.raises(OutputExistsError, match=r"already holds a run.*--resume"):
        run.create("seed: 2\n", {})
    assert run.configuration.read_text() == "seed: 1\n"


def test_folder_of_anything_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    for path in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(OutputExistsError, match="no empty folder"):
            RunFolder(path).check_free()


class KilledError(BaseException):
    """The process is gone."""


def test_folder_that_a_run_died_in_while_it_was_made_may_be_used(tmp_path, monkeypatch):
    """Every operation on a file fails from the n-th on, for all n until none does."""
    real = {name: getattr(os, name) for name in ("open", "replace", "fsync", "unlink", "mkdir")}
    left = 0

    def killed(name):
        def operation(*args, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError
            return real[name](*args, **options)

        return operation

    for count in range(99):
        run, left = RunFolder(tmp_path / str(count)), count
        with monkeypatch.context() as patch, contextlib.suppress(KilledError):
            for name in real:
                patch.setattr(os, name, killed(name))
            run.create("seed: 1\n", {"seed": 1}, {"source": 1})
        if not run.configuration.exists():
            assert run.unbegun() or not run.path.exists()
            run.create("seed: 2\n", {"seed": 2})
        run.check_run(run.configuration.read_text())
        assert not list(run.path.glob("*.part"))
        if left > 0:
            break
    assert 3 < count < 30


def test_folder_without_a_run_cannot_go_on(tmp_path):
    with pytest.raises(MissingFileError, match=r"no run here.*config\.yaml"):
        RunFolder(tmp_path).check_run("seed: 0\n")


def test_events_are_read_back_up_to_one_cut_off_by_a_crash(run):
    events = [{"step": 1, "seconds": 0.5}, {"step": 2, "validation": {"a": None}}]
    for event in events:
        run.append(event)
    with run.metrics.open("a") as file:
        file.write('{"step": 3, "los')
    assert run.events() == events


def test_validation_is_the_last_one_of_its_step(run):
    for event in (
        {"step": 2, "validation": "first"},
        {"step": 2, "losses": {}},
        {"step": 2, "validation": "second"},
        {"step": 4, "validation": "later"},
    ):
        run.append(event)
    assert run.validation(2) == "second"
    assert run.validation(3) is None
    assert run.validations() == {2: "second", 4: "later"}


def test_digest_tells_files_apart_and_not_their_names(tmp_path):
    contents = {"a": b"", "b": b"weights", "c": b"weights"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        expected = hashlib.sha256(content).hexdigest()
        assert expected.startswith(digest(tmp_path / name))
    digests = {name: digest(tmp_path / name) for name in contents}
    assert digests["b"] == digests["c"] != digests["a"]
    assert {len(found) for found in digests.values()} == {12}


def test_rewinding_forgets_what_came_after(run):
    for step in (1, 2, 3):
        run.append({"step": step, "seconds": 0.25})
    with run.metrics.open("a") as file:
        file.write('{"step"')
    run.rewind(2)
    run.append({"step": 3, "seconds": 1.0})
    assert [event["step"] for event in run.events()] == [1, 2, 3]
    assert run.seconds() == 1.5
    assert sorted(path.name for path in run.path.iterdir()) == [
        "config.yaml",
        "metrics.jsonl",
        "run.json",
    ]


def test_environment_says_what_made_the_run():
    found = json.loads(json.dumps(environment()))
    assert set(found["packages"]) == set(RECORDED)
    assert {"started", "command", "commit", "python", "platform"} <= set(found)
