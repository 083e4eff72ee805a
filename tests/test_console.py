"""The tables say what the dictionaries say; progress is bars on a terminal and lines elsewhere."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from rsadapt import console
from rsadapt.data.folder_check import DatasetReport, SplitReport
from rsadapt.infer.metrics import ConfusionMatrix


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def cells(text, first):
    """The cells of the line that starts with a name."""
    (line,) = (line for line in text.splitlines() if line.strip().startswith(first))
    return line.split(first, 1)[1].split()


@pytest.fixture
def report():
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 255]))
    return matrix.to_dict(["water [deep]", "wood", "rock"])


def test_lines_are_few_and_end_with_the_whole(capsys):
    with console.progress() as progress:
        for done in range(1, 1001):
            progress("train", done, 1000)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert 5 <= len(lines) <= 12
    assert lines[0] == "train: 1 of 1,000"
    assert all("/s, " in line and line.endswith(" left") for line in lines[1:])
    assert lines[-1].startswith("train: 1,000 of 1,000")


LOGGED = {
    "step": 100,
    "losses": {"segmentation_1": 0.51234, "adversarial_1": 0.7},
    "figures": {
        "accuracy_source_1": 1.0,
        "accuracy_target_1": 0.5,
        "share_target": [0.5, 0.5],
        "images_per_second": 12.34,
    },
    "rates": {"network": 2.5e-4, "discriminator_1": 1e-4},
    "seconds": 1.0,
}
WORDS = (
    "segmentation 1 0.512, adversarial 1 0.7, rate 2.50e-04, discriminators right 75.0 %, "
    "images per second 12.3"
)


def test_line_of_the_log_names_single_figures():
    assert console.log_words(LOGGED) == WORDS
    assert console.log_words(LOGGED | {"waiting": 0.031}) == f"{WORDS}, waiting 3.1 %"
    assert console.log_words({"step": 1, "losses": {}}) == ""


def test_lines_tell_what_was_logged_last(capsys):
    with console.progress() as progress:
        progress.watch({"step": 100, "validation": {}})
        progress.watch(LOGGED)
        progress("train", 100, 1000)
        progress("score", 10, 10)
    train, score = capsys.readouterr().err.splitlines()
    assert train == f"train: 100 of 1,000; {WORDS}"
    assert score == "score: 10 of 10"


def test_long_tenths_get_lines_between(capsys, monkeypatch):
    times = iter(range(0, 10**6, 25))
    monkeypatch.setattr(console.time, "perf_counter", lambda: next(times))
    with console.progress() as progress:
        for done in range(100, 110):
            progress("train", done, 10_000)
    told = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == [f"train: {done} of 10" for done in (100, 103, 106, 109)]


def test_terminal_shows_figures_below_the_bars(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.progress() as progress:
        progress.watch(LOGGED)
        progress("train", 100, 1000)
    assert "100/1000" in terminal.getvalue()
    assert "segmentation 1 0.512, adversarial 1 0.7, rate 2.50e-04" in terminal.getvalue()


def test_rate_of_a_resumed_task_counts_from_its_first_report(capsys, monkeypatch):
    times = iter([0.0, 10.0])
    monkeypatch.setattr(console.time, "perf_counter", lambda: next(times))
    with console.progress() as progress:
        progress("train", 500, 1000)
        progress("train", 600, 1000)
    assert capsys.readouterr().err.splitlines()[-1] == "train: 600 of 1,000, 10/s, 40 s left"


def test_terminal_gets_a_bar_for_each_task(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.progress() as progress:
        for task in ("one [1]", "two"):
            progress(task, 1, 10)
            progress(task, 10, 10)
    assert all(text in terminal.getvalue() for text in ("one [1]", "two", "10/10"))


def test_evaluation_shows_every_figure_and_what_was_left_out(report, capsys):
    console.show(console.report_tables(report, "target"))
    text = capsys.readouterr().out
    figures, confusion = text.split("confusion matrix")
    assert cells(figures, "water [deep]") == ["66.7", "80.0", "100.0", "66.7", "3"]
    assert cells(figures, "wood") == ["66.7", "80.0", "66.7", "100.0", "2"]
    assert cells(figures, "rock") == ["-", "-", "-", "-", "0"]
    assert cells(figures, "mean or total") == ["66.7", "80.0", "5"]
    assert "overall accuracy 80.0 %" in figures
    words = " ".join(figures.split())
    assert "left out of the means: rock" in words
    assert "1 labelled pixels have no class" in words
    assert cells(confusion, "water [deep]") == ["66.7", "33.3", "0.0"]
    assert cells(confusion, "rock") == ["-", "-", "-"]


def test_initial_weights_are_said_where_they_are_known(report, capsys):
    words = "init.pth (sha256 0123456789ab): own names"
    tables = console.report_tables(report | {"initial_weights": words}, "target")
    console.show(tables)
    assert f"initial weights: {words}" in " ".join(capsys.readouterr().out.split())
    console.show(console.report_tables(report, "target"))
    assert "initial weights" not in capsys.readouterr().out


def test_statistics_of_a_sample_are_said(report, capsys):
    for basis in ("all pixels", "a sample of 12 % of pixels"):
        console.show(console.report_tables(report | {"statistics": basis}, "target"))
    words = " ".join(capsys.readouterr().out.split())
    assert words.count("by the statistics of a sample of 12 % of pixels") == 1
    assert "all pixels" not in words


def split(name="train", **changes):
    sound = {
        "found": 2975,
        "official": 2975,
        "without_label": (),
        "without_image": (),
        "damaged": {},
        "sizes": {(1024, 2048): 2975},
        "unlike": 0,
    }
    return SplitReport(name, **sound | changes)


def dataset(*splits, decoded=True):
    return DatasetReport("Streets", Path("data/[streets]"), splits, decoded, "streets.zip")


def test_check_shows_counts_beside_the_official_ones(capsys):
    odd = {"sizes": {(4, 6): 5, (4, 7): 2, (3, 6): 1}, "damaged": {Path("a.png"): "a.png: cut"}}
    report = dataset(
        split(),
        split("val", found=8, official=None, without_label=("a", "b"), without_image=("c",), **odd),
    )
    console.show([console.check_table(report)])
    text = capsys.readouterr().out
    assert "Streets in data/[streets]" in text
    assert cells(text, "train") == ["2,975", "2,975", "0", "0", "0", "0"]
    assert cells(text, "val") == ["8", "?", "2", "1", "1", "3"]
    assert "none was decoded" not in text


def test_check_says_where_nothing_was_decoded(capsys):
    console.show([console.check_table(dataset(split(sizes={}), decoded=False))])
    assert "none was decoded" in capsys.readouterr().out


def test_sound_data_set_gives_no_findings():
    assert console.check_findings(dataset(split(), split("val"))) == []


def test_findings_name_the_first_files_the_reason_and_the_download():
    images = tuple("abcdefg")
    damaged = {Path(f"{n}.png"): f"{n}.png: cut short" for n in range(23)}
    report = dataset(split(), split("val", without_label=images, without_image=("z",)))
    assert console.check_findings(report) == [
        "val: images without label: a, b, c, d, e and 2 more",
        "val: labels without image: z",
        "Streets is not complete; it takes streets.zip",
    ]
    findings = console.check_findings(dataset(split(damaged=damaged)))
    assert findings[0] == "damaged: 0.png: cut short"
    assert findings[20:] == [
        "train: and 3 more damaged files",
        "Streets is not complete; it takes streets.zip",
    ]


def test_too_few_frames_are_a_finding_by_themselves():
    (line,) = console.check_findings(dataset(split(found=2974)))
    assert line == "Streets is not complete; it takes streets.zip"


def test_comparison_shows_mean_and_deviation(capsys):
    row = {"miou": 0.5, "std": 0.02, "seeds": {0: 0.5}, "classes": {"a": 0.25, "b": None}}
    summary = {"source-only": row | {"seconds": 75}, "adapted": row | {"std": None, "seconds": 9}}
    console.show([console.comparison_table(summary, "Target")])
    text = capsys.readouterr().out
    assert " ".join(cells(text, "source-only")) == "50.0 ± 2.0 25.0 - 1 1 min 15 s"
    assert " ".join(cells(text, "adapted")) == "50.0 25.0 - 1 9 s"


def test_files_and_pipes_get_plain_text_that_is_never_cut(report, capsys):
    names = [f"a class with quite a long name {number}" for number in range(19)]
    wide = ConfusionMatrix(len(names)).to_dict(names)
    console.show(console.report_tables(wide, "target"))
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert all(any(name in line for line in text.splitlines()) for name in names)


def test_narrow_terminal_still_gets_a_hundred_characters(report, monkeypatch, terminal):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", terminal)
    console.show(console.report_tables(report, "target"))
    assert max(map(len, terminal.getvalue().splitlines())) > 60
