"""Comparisons from end to end: with and without target labels, killed, resumed and extended."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from rsadapt.errors import ConfigError, OutputExistsError
from rsadapt.infer.validators import BETTER
from rsadapt.run import RunFolder
from rsadapt.verbs.compare import compare

QUICK = ["training.steps=2", "training.batch_size=1", "training.validators=3"]


def run(configuration, out, methods=("output_space", "min_ent"), seeds=(0, 1), **options):
    options = {"first_steps": 1, "assignments": QUICK} | options
    return compare(configuration, methods, out=out, seeds=seeds, **options)


@pytest.fixture(scope="module")
def compared(configuration, tmp_path_factory):
    return run(configuration, tmp_path_factory.mktemp("compared") / "new")


def snapshots(result, seed=0):
    """Every validation of one seed: what labels and what validators said."""
    found = json.loads(result.figures.read_text())["snapshots"]
    return [each for each in found if each["seed"] == seed]


def test_all_is_there(compared):
    names = ["source_only", "adapted_batch_norm", "output_space", "min_ent"]
    assert list(compared.measured) == list(compared.validators) == names
    text = compared.markdown.read_text()
    for name in names:
        assert text.count(f"\n| {name} | ") == 5  # target, gains, validators, choices within, cost
    assert "gap closed" not in text
    with compared.table.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(each["row"], each["seed"]) for each in lines] == [(n, s) for n in names for s in "01"]
    for each in lines:
        row = compared.measured[each["row"]]
        assert float(each["target_miou"]) == row["seeds"][int(each["seed"])]
        assert float(each["seconds"]) > 0
        assert float(each["entropy"]) > 0
        assert int(each["peak_resident_bytes"] or 1e9) > 1e8
    pictures = [picture.name for picture in compared.pictures]
    assert pictures == ["comparison.png", "validators.png", *(f"maps-{n}.png" for n in (1, 2, 3))]
    assert all(f"]({name})" in text for name in pictures)
    assert all(picture.stat().st_size > 10_000 for picture in compared.pictures)


def test_figures_are_those_that_runs_logged(compared):
    found = json.loads(compared.figures.read_text())
    shared = [each for each in found["snapshots"] if each["row"] == "min_ent" and each["seed"] == 1]
    logged = RunFolder(compared.figures.parent / "runs" / "seed-1" / "min_ent")
    assert [each["step"] for each in shared] == [1, 2] == list(logged.validations())
    for each in shared:
        assert each["validators"] == logged.validators()[each["step"]]
        assert each["miou"] == logged.validation(each["step"])["target"]["totals"]["miou"]
        assert 0 < each["validators"]["pixels"] <= 3 * 48**2  # the validation part is 48 wide


def test_killed_and_resumed_it_is_the_same(compared, configuration, tmp_path):
    told = []

    def stop(task, done, _total):
        if task == "min_ent, seed 0":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(configuration, tmp_path / "out", seeds=[0], progress=stop)
    again = run(
        configuration, tmp_path / "out", seeds=[0], progress=lambda *args: told.append(args[0])
    )
    assert set(told) == {"min_ent, seed 0"}  # others were finished
    assert snapshots(again) == snapshots(compared)


def test_without_target_labels_validators_are_the_table(configuration, tmp_path):
    blind = yaml.safe_load(configuration.read_text())
    del blind["target"]["labels"]
    blind["root"] = str(configuration.parent)
    file = tmp_path / "blind.yaml"
    file.write_text(yaml.safe_dump(blind))
    found = run(file, tmp_path / "out", ["min_ent"], seeds=[0])
    assert found.measured == {}
    text = found.markdown.read_text()
    assert "**The target has no labels to score with." in text
    assert "mIoU" not in text
    for name in BETTER:
        assert found.validators["min_ent"][name]["mean"] is not None
        assert found.judgement[name]["correlation"] == {"snapshots": None, "final": None}
        assert found.judgement[name]["chooses"]["final"]["miou"] is None
    assert found.pictures[0].name == "validators.png"


def test_a_class_that_is_nowhere_and_rows_of_a_file(configuration, tmp_path):
    values = yaml.safe_load(configuration.read_text())
    values["classes"].append({"name": "lava", "id": 9, "colour": "#ff0000"})
    values["root"] = str(configuration.parent)
    file = tmp_path / "more.yaml"
    file.write_text(yaml.safe_dump(values))
    rows = {
        "weak": {"method.adversarial": [0.0, 0.001]},
        "ceiling": {"method": "source_only", "source": values["target"]},
    }
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump(rows, sort_keys=False))
    found = run(file, tmp_path / "out", [], seeds=[0], rows=tmp_path / "rows.yaml")
    assert list(found.measured) == ["source_only", "adapted_batch_norm", "weak", "ceiling"]
    text = found.markdown.read_text()
    assert "in no choice or correlation below: ceiling." in text
    assert "| trained | over source_only | over adapted_batch_norm | of the gap closed, % |" in text
    assert found.gains["ceiling"]["closed"] in (1.0, None)  # where labels bring nothing, no gap
    told = {each["chooses"]["final"]["row"] for each in found.judgement.values()}
    assert "ceiling" not in told
    assert 0 < found.measured["weak"]["miou"] < 1


def test_mistakes_leave_nothing(configuration, tmp_path):
    out = tmp_path / "out"
    for methods, options, says in (
        (["magic"], {}, "no method or row is called 'magic'"),
        ([], {}, "no method is named"),
        (["cbst"], {"seeds": [1, 1]}, r"each once, found \[1, 1\]"),
        (["cbst"], {"assignments": ["training.epochs=3"]}, "unknown key 'training.epochs'"),
    ):
        with pytest.raises(ConfigError, match=says):
            run(configuration, out, methods, **options)
    assert not out.exists()
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="holds no comparison"):
        run(configuration, tmp_path)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["note.txt"]


def test_other_settings_are_refused_in_the_same_folder(compared, configuration):
    with pytest.raises(OutputExistsError, match="holds a run of another configuration"):
        run(configuration, compared.figures.parent, assignments=[*QUICK, "optimiser.rate=0.5"])


def test_what_others_trained_in_the_folder_is_reported_too(compared, configuration):
    out, before = compared.figures.parent, snapshots(compared)
    more = run(configuration, out, ["clan"], seeds=[2])
    assert set(more.measured) == {*compared.measured, "clan"}
    assert list(more.measured["source_only"]["seeds"]) == [0, 1, 2]
    assert list(more.measured["clan"]["seeds"]) == [2]
    assert snapshots(more) == before
