"""Markdown of results: every figure in its place, measured apart from published."""

import pytest

from rsadapt.published import PublishedFigure
from rsadapt.tables import benchmark_markdown, comparison_markdown

MEASURED = {
    "plain": {
        "miou": 0.3,
        "std": None,
        "seeds": {0: 0.3},
        "classes": {"sky": 0.25, "road": 0.35},
    },
    "adapted": {
        "miou": 0.5,
        "std": 0.0123,
        "seeds": {0: 0.4913, 7: 0.5087},
        "classes": {"sky": None, "road": 0.5},
    },
}
BEST = {row: {"miou": line["miou"] + 0.1, "std": line["std"]} for row, line in MEASURED.items()}
PUBLISHED = {
    "adapted": PublishedFigure(
        0.424, "Paper, table 1", {"sky": 0.4, "road": 0.448}, "as quoted elsewhere"
    ),
    "plain": PublishedFigure(0.366, "Paper, table 2", {"sky": 0.3, "sea": 0.432}),
    "never trained": PublishedFigure(0.9, "Paper, table 3", {"sky": 0.9, "road": 0.9}),
}
RECORDS = {
    "plain": {"batch_norm": "both", "initial_weights": "random", "commit": None},
    "adapted": {"batch_norm": "both", "initial_weights": {"seed 0": "a", "seed 7": "b"}}
    | {"commit": None},
}


def report(**changes):
    options = {"measured": MEASURED, "best": BEST, "published": PUBLISHED, "records": RECORDS}
    return benchmark_markdown("Streets", **{"notes": []} | options | changes)


def tables(text):
    """The rows of each table as lists of cells; every row as long as its heading."""
    found = [[]]
    for line in text.splitlines():
        if line.startswith("| "):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    found = [table for table in found if table]
    assert all(len(row) == len(table[0]) for table in found for row in table)
    return found


def test_comparison_shows_means_classes_and_seeds():
    ((heading, rule, *rows),) = tables(comparison_markdown(MEASURED))
    assert heading == ["trained", "mIoU", "sky", "road", "by seed"]
    assert set("".join(rule)) == set("-:")
    assert rows == [
        ["plain", "30.0", "25.0", "35.0", "30.0"],
        ["adapted", "50.0 ± 1.2", "-", "50.0", "49.1, 50.9"],
    ]


def test_overview_sets_each_row_beside_what_was_published_of_it():
    overview = tables(report())[0]
    assert overview[2:] == [
        ["plain", "30.0", "1", "40.0", "36.6", "Paper, table 2"],
        ["adapted", "50.0 ± 1.2", "2", "60.0 ± 1.2", "42.4", "Paper, table 1"],
    ]


def test_rows_that_nobody_published_have_dashes():
    text = report(published={})
    assert [row[-2:] for row in tables(text)[0][2:]] == [["-", "-"], ["-", "-"]]
    assert "Published by others" not in text


def test_published_classes_stand_apart_with_where_they_were_found():
    _, found, after = report().partition("## Published by others, by class")
    assert found
    ((heading, _, *rows),) = tables(after)
    assert heading == ["row", "sky", "road", "where"]
    assert rows == [["adapted", "40.0", "44.8", "as quoted elsewhere"]]


@pytest.mark.parametrize("said", ["chosen with the target's own validation labels", "not measured"])
def test_report_says_what_its_figures_are_not(said):
    assert said in report()


def test_why_figures_are_not_comparable_stands_below_the_title():
    parts = report(notes=["other frames", "other weights"]).split("\n\n")
    assert parts[1:3] == [
        "**Not comparable with the published figures: other frames.**",
        "**Not comparable with the published figures: other weights.**",
    ]
    assert "Not comparable" not in report()


def test_facts_are_said_once_or_with_the_rows_they_hold_for():
    lines = report().splitlines()
    assert "- batch norm: both" in lines
    assert "- initial weights: random (plain); seed 0 a, seed 7 b (adapted)" in lines
    assert "- commit: unknown" in lines


def test_words_of_nested_facts_have_no_unknown_as_none():
    records = {"plain": {"packages": {"torch": "2.6", "rasterio": None}}}
    assert "- packages: torch 2.6, rasterio unknown" in report(records=records)
