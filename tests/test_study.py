"""Studies: rows and seeds, kept when finished, refused when changed."""

import copy
import math
import signal
from pathlib import Path

import pytest
import yaml

from rsadapt import config, study
from rsadapt.adapt import checkpoint
from rsadapt.data.region import Region
from rsadapt.errors import ConfigError, InterruptedTrainingError, OutputExistsError
from rsadapt.run import RunFolder
from rsadapt.study import Result, Row, best_snapshots, run_study, standard_rows, summary

SOURCE_ONLY = Row("plain", {"method": {"name": "source_only"}, "training.steps": 1})
ADAPTED = Row("adapted", {"training.steps": 2, "network.batch_norm": "both"}, after="plain")


@pytest.fixture
def base(values):
    return lambda seed: values


def read(path):
    return yaml.safe_load((path / "config.yaml").read_text())


def test_every_row_runs_with_every_seed(base, tmp_path):
    before = copy.deepcopy(base(0))
    told = []
    results = run_study(
        [SOURCE_ONLY, ADAPTED], [3, 5], base, tmp_path, progress=lambda *args: told.append(args)
    )
    assert [(r.row, r.seed) for r in results] == [
        ("plain", 3),
        ("adapted", 3),
        ("plain", 5),
        ("adapted", 5),
    ]
    assert told == [
        (f"{row}, seed {seed}", done, steps)
        for seed in (3, 5)
        for row, steps in (("plain", 1), ("adapted", 2))
        for done in range(1, steps + 1)
    ]
    for result in results:
        assert result.run == tmp_path / f"seed-{result.seed}" / result.row
        assert read(result.run)["seed"] == result.seed
        assert set(result.validation) == {"source", "target"}
        assert result.seconds > 0
    adapted = read(tmp_path / "seed-5" / "adapted")
    assert adapted["init_from"] == str(tmp_path / "seed-5" / "plain")
    assert adapted["network"]["batch_norm"] == "both"
    assert adapted["network"]["rates"] == [1, 3]
    assert base(0) == before


def test_statistics_of_imagery_that_rows_share_are_taken_once(base, tmp_path, monkeypatch):
    taken, whole = [], Region.statistics

    def statistics(self, *args, **options):
        taken.append(self.name)
        return whole(self, *args, **options)

    monkeypatch.setattr(Region, "statistics", statistics)
    on_target = Row("on-target", SOURCE_ONLY.changes | {"source": base(0)["target"]})
    results = run_study([SOURCE_ONLY, ADAPTED, on_target], [0, 1], base, tmp_path)
    assert taken == ["source", "target"]
    assert len((tmp_path / "seed-1" / "on-target" / "statistics.json").read_text()) > 100
    assert len(results) == 6


def test_rows_that_others_start_from_may_go_unreported(base, tmp_path):
    first = Row("plain", SOURCE_ONLY.changes, reported=False)
    results = run_study([first, ADAPTED], [0], base, tmp_path)
    assert [result.row for result in results] == ["adapted"]


def test_finished_runs_are_kept(base, tmp_path, monkeypatch):
    first = run_study([SOURCE_ONLY], [0, 1], base, tmp_path)

    def fail(*args, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(study, "train_run", fail)
    assert run_study([SOURCE_ONLY], [0, 1], base, tmp_path) == first


def test_broken_runs_go_on(base, tmp_path):
    rows = [Row("long", {"training.steps": 3})]

    def stop(_task, done, _total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        run_study(rows, [0], base, tmp_path / "broken", progress=stop)
    told = []
    run_study(rows, [0], base, tmp_path / "broken", progress=lambda *a: told.append(a[1]))
    assert told == [1, 2, 3]  # nothing had been saved
    run_study(rows, [0], base, tmp_path / "whole")
    ours, theirs = (
        checkpoint.load(tmp_path / name / "seed-0" / "long" / "checkpoint.pt")["network"]
        for name in ("broken", "whole")
    )
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_interrupted_runs_go_on_where_they_were(base, tmp_path):
    rows = [Row("long", {"training.steps": 3})]

    def stop(_task, done, _total):
        if done == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(InterruptedTrainingError, match="stopped at step 2"):
        run_study(rows, [0], base, tmp_path, progress=stop)
    told = []
    run_study(rows, [0], base, tmp_path, progress=lambda *args: told.append(args[1]))
    assert told == [3]


def test_changed_configuration_is_refused(base, tmp_path):
    run_study([SOURCE_ONLY], [0], base, tmp_path)
    changed = Row("plain", SOURCE_ONLY.changes | {"optimiser.rate": 0.5})
    with pytest.raises(OutputExistsError, match="plain: holds a run of another configuration"):
        run_study([changed], [0], base, tmp_path)


def test_wrong_field_names_the_row(base, tmp_path):
    with pytest.raises(ConfigError, match=r"^row 'odd': unknown key 'training\.epochs'"):
        run_study([Row("odd", {"training.epochs": 3})], [0], base, tmp_path)


def test_standard_rows_are_configurations_that_start_from_earlier_rows(values):
    values["method"] |= {"segmentation": [0.1, 1.0], "adversarial": [0.2, 0.7]}
    rows = standard_rows(values)
    names = list(rows)
    for name, row in rows.items():
        assert row.name == name
        assert row.after is None or names.index(row.after) < names.index(name)
        settings = config.parse(config.change(values, row.changes), where=name)
        target_supervised = settings.source == settings.target
        assert target_supervised is name.startswith("target")
    adversarial = {
        name: config.change(values, rows[name].changes)["method"]["adversarial"]
        for name in ("weight-zero", "single-level", "multi-level")
    }
    assert adversarial == {
        "weight-zero": [0.0, 0.0],
        "single-level": [0.0, 0.7],
        "multi-level": [0.2, 0.7],
    }


# Summaries


def result(row, seed, miou, ious, seconds):
    classes = {name: {"iou": iou} for name, iou in zip(("water", "lava"), ious, strict=True)}
    report = {"totals": {"miou": miou}, "classes": classes}
    other = {"totals": {"miou": 0.9}, "classes": {}}
    return Result(row, seed, Path(), {"target": report, "source": other}, seconds)


def test_summary_is_worked_out_by_hand():
    found = summary(
        [
            result("b", 0, 0.5, (0.4, None), 10.0),
            result("a", 0, 0.1, (0.2, None), 5.0),
            result("b", 7, 0.8, (0.6, 0.3), 30.0),
        ]
    )
    assert list(found) == ["b", "a"]
    assert found["b"] == {
        "miou": pytest.approx(0.65),
        "std": pytest.approx(math.sqrt(0.045)),  # (0.15^2 + 0.15^2) / (2 - 1)
        "seeds": {0: 0.5, 7: 0.8},
        "classes": {"water": pytest.approx(0.5), "lava": 0.3},
        "seconds": 20.0,
    }
    assert found["a"] == {
        "miou": 0.1,
        "std": None,
        "seeds": {0: 0.1},
        "classes": {"water": 0.2, "lava": None},
        "seconds": 5.0,
    }


def test_summary_of_the_source():
    assert summary([result("a", 0, 0.1, (0.2, None), 5.0)], "source")["a"]["miou"] == 0.9


# Best snapshots


def snapshots(folder, row, seed, mious, final=0.0):
    """A run whose target was validated at steps 1, 2, ... and reached these mIoU."""
    path = folder / f"seed-{seed}" / row
    run = RunFolder(path)
    run.create("", {})
    for step, miou in enumerate(mious, start=1):
        report = {"totals": {"miou": miou}, "classes": {"water": {"iou": miou and miou / 2}}}
        other = {"totals": {"miou": 1 - (miou or 0.0)}, "classes": {"water": {"iou": None}}}
        run.append({"step": step, "validation": {"target": report, "source": other}})
    return Result(row, seed, path, {"target": {"totals": {"miou": final}}}, 1.0)


def test_best_snapshots_are_worked_out_by_hand(tmp_path):
    found = best_snapshots(
        [
            snapshots(tmp_path, "b", 0, [0.1, 0.4, 0.2]),
            snapshots(tmp_path, "a", 0, [None, 0.3]),
            snapshots(tmp_path, "b", 7, [0.8, 0.6, 0.7]),
        ]
    )
    assert list(found) == ["b", "a"]
    assert found["b"] == {
        "miou": pytest.approx(0.6),
        "std": pytest.approx(math.sqrt(0.08)),  # (0.2^2 + 0.2^2) / (2 - 1)
        "seeds": {0: 0.4, 7: 0.8},
        "classes": {"water": pytest.approx(0.3)},
        "steps": {0: 2, 7: 1},
    }
    assert (found["a"]["std"], found["a"]["steps"]) == (None, {0: 2})


def test_best_snapshot_is_chosen_by_the_domain_it_is_scored_on(tmp_path):
    results = [snapshots(tmp_path, "b", 0, [0.1, 0.4, 0.2])]
    found = best_snapshots(results, "source")["b"]
    assert found["steps"] == {0: 1}
    assert found["miou"] == pytest.approx(0.9)
    assert found["classes"] == {"water": None}


def test_best_snapshot_is_the_first_of_equals(tmp_path):
    assert snapshots(tmp_path, "b", 0, [0.2, 0.5, 0.5]).best()[0] == 2


def test_best_snapshot_is_no_worse_than_the_final_iteration(base, tmp_path):
    row = Row("plain", SOURCE_ONLY.changes | {"training.steps": 3, "training.validate_every": 1})
    results = run_study([row], [0], base, tmp_path)
    (best,), (final,) = best_snapshots(results).values(), summary(results).values()
    assert best["miou"] >= final["miou"]
    step = best["steps"][0]
    logged = RunFolder(results[0].run).validation(step)["target"]["totals"]["miou"]
    assert best["seeds"] == {0: logged}
