"""Comparisons' figures by hand and against SciPy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from rsadapt.comparison import (
    Snapshot,
    best,
    chosen,
    correlation,
    figures,
    gains,
    judgement,
    spearman,
    within_runs,
)


def snapshot(row, seed, step, miou, *, entropy=None, agreement=None, final=False):
    values = {"entropy": entropy, "agreement": agreement}
    return Snapshot(row, seed, step, final, miou, values)


ALL = [
    snapshot("a", 0, 1, 0.2, entropy=0.9, agreement=0.5),
    snapshot("a", 0, 2, 0.3, entropy=0.5, agreement=0.9, final=True),
    snapshot("a", 1, 1, 0.6, entropy=0.2, agreement=0.8),
    snapshot("a", 1, 2, 0.5, entropy=0.3, agreement=0.8, final=True),
    snapshot("b", 0, 1, 0.4, entropy=0.4, agreement=None, final=True),
]


def test_spearman_is_scipys_with_ties_too():
    random = np.random.default_rng(0)
    for count in (3, 10, 50):
        ours, theirs = random.integers(0, 6, (2, count)).tolist()
        assert spearman(ours, theirs) == pytest.approx(stats.spearmanr(ours, theirs).statistic)
    assert spearman([1, 2, 3], [1, 10, 1000]) == pytest.approx(1)


def test_spearman_of_too_few_or_equal_values_is_unknown():
    assert spearman([1, 2], [1, 2]) is None
    assert spearman([1, 1, 1], [1, 2, 3]) is None


def test_less_entropy_is_better():
    assert correlation(ALL, "entropy") == pytest.approx(1)
    assert chosen(ALL, "entropy") == best(ALL) == ALL[2]


def test_choices_leave_out_what_is_unknown():
    assert chosen(ALL, "agreement") == ALL[1]
    assert chosen(ALL, "information") is None
    assert correlation(ALL, "agreement") == pytest.approx(
        stats.spearmanr([0.5, 0.9, 0.8, 0.8], [0.2, 0.3, 0.6, 0.5]).statistic
    )
    assert best([replace(each, miou=None) for each in ALL]) is None


def test_judgement_is_of_snapshots_and_of_final_iterations():
    found = judgement(ALL)["entropy"]
    assert found["correlation"] == {"snapshots": pytest.approx(1), "final": pytest.approx(1)}
    assert found["chooses"] == {
        "snapshots": {"row": "a", "seed": 1, "step": 1, "miou": 0.6},
        "final": {"row": "a", "seed": 1, "step": 2, "miou": 0.5},
    }


def test_choices_within_runs_are_means_over_seeds():
    found = within_runs(ALL)["a"]
    assert found["final"] == pytest.approx(0.4)
    assert found["entropy"] == pytest.approx(0.45)
    assert found["agreement"] == pytest.approx(0.45)  # the first of equals, as of step 1
    assert found["information"] is None
    assert found["best with labels"] == pytest.approx(0.45)
    assert within_runs(ALL)["b"]["agreement"] is None


def test_figures_are_those_of_final_iterations():
    found = figures(ALL)["a"]["entropy"]
    assert found == {"mean": pytest.approx(0.4), "std": pytest.approx(0.02**0.5)}
    assert figures(ALL)["b"]["agreement"] == {"mean": None, "std": None}


MEASURED = {
    "plain": {"seeds": {0: 0.4, 1: 0.5, 2: 0.9}},
    "statistics": {"seeds": {0: 0.5, 1: 0.5}},
    "ours": {"seeds": {0: 0.6, 1: 0.4}},
    "theirs": {"seeds": {7: 0.9}},
    "labels": {"seeds": {0: 0.8, 1: 0.7, 3: 0.1}},
}


def test_gains_are_of_the_seeds_that_both_rows_have():
    found = gains(MEASURED, ["plain", "statistics", "absent"], "labels")["ours"]
    assert found["over"] == {
        "plain": {"mean": pytest.approx(0.05), "seeds": 2, "ahead": 1},
        "statistics": {"mean": pytest.approx(0.0), "seeds": 2, "ahead": 1},
    }
    assert found["closed"] == pytest.approx(0.1 / 0.6)  # 0.2 - 0.1 of 0.4 + 0.2


def test_gains_of_other_seeds_and_gaps_without_ends_are_unknown():
    assert gains(MEASURED, ["plain"], "labels")["theirs"] == {
        "over": {"plain": None},
        "closed": None,
    }
    for baselines, ceiling in ((["plain"], None), (["absent"], "labels"), (["labels"], "plain")):
        assert gains(MEASURED, baselines, ceiling)["ours"]["closed"] is None
    assert gains(MEASURED, ["plain"], "labels")["plain"] == {"over": {}, "closed": 0.0}
    assert gains({}, ["plain"], "labels") == {}
