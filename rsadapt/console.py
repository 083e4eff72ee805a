"""How rsadapt looks on a terminal: progress and tables; plain text where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

Values = Mapping[str, Any]

LEAST_WIDTH = 100
"""Characters a line may have, however narrow the terminal: tables break up below that."""

UNBOUNDED = 10_000
"""Characters a line may have in a file or a pipe, where nothing needs to be cut."""

SHOWN = 5
"""Names that a line shows before it only counts them."""

DAMAGED_SHOWN = 20
"""Damaged files that are named, with what is wrong; a wrong folder can hold thousands."""

SCENES_SHOWN = 8
"""Scenes of a region that are shown one by one; more are shown by kind."""

GRAVITY_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}

LINES = 10
"""Lines that a task writes on its way where there is no terminal."""

PATIENCE = 60
"""Seconds after which it writes a further line, if its tenths take longer."""


def show(tables: Iterable[Table]) -> None:
    """Print tables, one below the other."""
    console = _console(sys.stdout)
    for table in tables:
        console.print(table)
        console.print()


def _console(file: TextIO) -> Console:
    console = Console(file=file)
    console.width = max(LEAST_WIDTH, console.width) if console.is_terminal else UNBOUNDED
    return console


# Progress


class Reports(Protocol):
    """Shows how far work is, and what a training comes to: a `Progress` and a `Watch`."""

    def __call__(self, task: str, done: int, total: int) -> None:
        """Take a task's name, the units done and the units in all."""
        ...

    def watch(self, event: Values) -> None:
        """Take an event of a training."""
        ...


@contextmanager
def progress() -> Iterator[Reports]:
    """Report progress on stderr: a bar for each task, or a few lines where it is no terminal.

    Below the bars, or after the figures of a line, stands what a training logged last. Rates and
    remaining times count from a task's first report, so that what was done before a run was resumed
    does not flatter them.
    """
    console = _console(sys.stderr)
    if not console.is_terminal:
        yield _Lines(sys.stderr)
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    with _Live(*columns, _Rate(), TimeRemainingColumn(), console=console) as bars:
        yield _Bars(bars)


def log_words(event: Values) -> str:
    """One line of a log in words: losses, rate, and every figure that is one number.

    Args:
        event: a line of the metrics that holds losses.
    """
    words = [f"{_spaced(name)} {value:.3g}" for name, value in event["losses"].items()]
    if "network" in event.get("rates", {}):
        words.append(f"rate {event['rates']['network']:.2e}")
    figures = {**event.get("figures", {}), **{k: event[k] for k in event if k == "waiting"}}
    single = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    accuracies = [value for name, value in single.items() if name.startswith("accuracy_")]
    if accuracies:
        words.append(f"discriminators right {_percent(sum(accuracies) / len(accuracies))} %")
    for name, value in single.items():
        if not name.startswith("accuracy_"):
            share = name == "waiting"
            words.append(f"{_spaced(name)} {_percent(value) + ' %' if share else f'{value:.3g}'}")
    return ", ".join(words)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


class _Live(Bars):
    """Bars, and below them the last figures of what is trained."""

    figures = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Give the bars and the figures."""
        yield from super().get_renderables()
        if self.figures:
            yield Text(self.figures, style="dim")


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        return Text(_rate(task.finished_speed or task.speed), style="progress.data.speed")


class _Bars:
    """One bar for each task."""

    def __init__(self, bars: _Live) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def watch(self, event: Values) -> None:
        if "losses" in event:
            self._bars.figures = log_words(event)

    def __call__(self, task: str, done: int, total: int) -> None:
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=total, completed=done)
        self._bars.update(self._tasks[task], completed=done, total=total)


class _Lines:
    """A line at a task's first report, at every tenth of it, and when long none came."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._started: dict[str, tuple[float, int]] = {}
        self._shown: dict[str, tuple[int, float]] = {}
        self._figures = ""

    def watch(self, event: Values) -> None:
        if "losses" in event:
            self._figures = log_words(event)

    def __call__(self, task: str, done: int, total: int) -> None:
        now = time.perf_counter()
        clock, first = self._started.setdefault(task, (now, done))
        part = LINES * done // max(total, 1)
        before, shown = self._shown.get(task, (-1, now))
        if part <= before and now - shown < PATIENCE:
            return
        self._shown[task] = part, now
        line = f"{task}: {done:,} of {total:,}"
        elapsed = now - clock
        if done > first and elapsed > 0:
            rate = (done - first) / elapsed
            line += f", {_rate(rate)}, {_duration((total - done) / rate)} left"
        if self._figures:
            line += f"; {self._figures}"
            self._figures = ""
        print(line, file=self._file, flush=True)


def _rate(speed: float | None) -> str:
    if not speed:
        return ""
    if speed >= 1e6:
        return f"{speed / 1e6:.3g} M/s"
    return f"{speed:,.0f}/s" if speed >= 100 else f"{speed:.3g}/s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


# Plans


def plan_table(plan: Values) -> Table:
    """Lay out what a training would do, a `Plan.to_dict` of the verb `plan`."""
    training, method, optimiser = plan["training"], plan["method"], plan["optimiser"]
    table = _table(f"Training into {plan['run']}", ["", "what would run"])
    table.columns[1].justify = "left"
    for name, domain in plan["domains"].items():
        words = _part_words(domain["kind"], domain["training"])
        kept = domain["validation"]
        after = "no validation part" if kept is None else _part_words(domain["kind"], kept)
        unseen = name == "target" and domain["training"]["labelled"]
        words += " (training sees none of the labels)" * unseen
        _row(table, name, f"{words}; validation: {after}")
    _row(table, "classes", f"{len(plan['classes'])}: {', '.join(plan['classes'])}")
    sizes = [f"{name} {count / 1e6:.2f} M" for name, count in plan["parameters"].items()]
    _row(table, "network", f"{plan['encoder']}, {plan['levels']} levels")
    _row(table, "parameters", ", ".join(sizes))
    _row(table, "method", _settings_words(method))
    if plan["style"] is not None:
        words = _settings_words(plan["style"])
        _row(table, "style", f"{words}; source samples get the look of target samples")
    _row(table, "optimiser", _settings_words(optimiser))
    each = f"{training['batch_size']} of each domain"
    sides = ", ".join(f"{field} {pixels}" for field, pixels in plan["image_sides"].items())
    _row(table, "batch", f"{each}, {training['accumulate']} a step and process ({sides})")
    horizon = training["horizon"] or training["steps"]
    _row(table, "steps", f"{training['steps']:,}; rates reach zero at {horizon:,}")
    processes = f"{plan['processes']} process{'es' * (plan['processes'] > 1)}"
    _row(table, "computed", f"{plan['precision']} on {plan['device']}, {processes}")
    parts = {name: size / 1e6 for name, size in plan["memory"].items()}
    total = parts.pop("total")
    rest = ", ".join(f"{_spaced(name)} {size:,.0f}" for name, size in parts.items())
    _row(table, "memory", f"about {total:,.0f} MB a step and process ({rest}), PyTorch's own apart")
    often = _every(training["save_every"])
    size, free = plan["checkpoint_bytes"] / 1e6, plan["free_bytes"] / 1e9
    _row(
        table,
        "checkpoint",
        f"{often}, {training['keep']} of about {size:,.1f} MB are kept; {free:,.1f} GB free",
    )
    _row(table, "validation", _every(training["validate_every"]))
    return table


def _part_words(kind: str, part: Values) -> str:
    labels = "labelled" if part["labelled"] else "without labels"
    images = kind[:-1] if part["images"] == 1 else kind
    return f"{part['images']:,} {images}, {part['pixels'] / 1e6:,.2f} M pixels, {labels}"


def _settings_words(settings: Values) -> str:
    """A group of settings, its name first."""
    rest = (f"{_spaced(key)} {value}" for key, value in settings.items() if key != "name")
    return ", ".join([settings["name"], *rest])


def _every(steps: int) -> str:
    return f"every {steps:,} steps and at the end" if steps else "at the end"


# Evaluation


def report_tables(report: Values, title: str) -> list[Table]:
    """Lay out a report of `ConfusionMatrix.to_dict`.

    Args:
        report: of one domain, or of one folder of maps.
        title: what was evaluated.

    Returns:
        The figures of each class with their means, and the confusion matrix.
    """
    return [_class_table(report, title), _confusion_table(report, title)]


def _class_table(report: Values, title: str) -> Table:
    totals = report["totals"]
    caption = (
        f"overall accuracy {_percent(totals['overall_accuracy'])} %, "
        f"kappa {_number(totals['kappa'])}"
    )
    if totals["missed"]:
        caption += f"; {totals['missed']:,} labelled pixels have no class in the map"
    if report["left_out"]:
        caption += (
            f"; neither present nor predicted, left out of the means: "
            f"{', '.join(report['left_out'])}"
        )
    if "initial_weights" in report:
        caption += f"; initial weights: {report['initial_weights']}"
    if report.get("statistics", "all pixels") != "all pixels":
        caption += f"; standardised by the statistics of {report['statistics']}"
    headings = ["class", "IoU %", "F1 %", "user's %", "producer's %", "pixels"]
    table = _table(title, headings, caption)
    for name, figures in report["classes"].items():
        shown = [figures[key] for key in ("iou", "f1", "users_accuracy", "producers_accuracy")]
        _row(table, name, *map(_percent, shown), f"{figures['support']:,}")
    table.add_section()
    means = _percent(totals["miou"]), _percent(totals["mean_f1"])
    _row(table, "mean or total", *means, "", "", f"{totals['pixels']:,}")
    return table


def _confusion_table(report: Values, title: str) -> Table:
    names = list(report["classes"])
    table = _table(
        f"{title}: confusion matrix",
        ["reference", *names],
        "rows: reference, % of the class's pixels; columns: class in the map",
    )
    for name, counts in zip(names, report["counts"], strict=True):
        support = sum(counts)
        _row(table, name, *(_percent(n / support if support else None) for n in counts))
    return table


# Reference samples


def sample_table(units: Mapping[str, int], hectares: Mapping[str, float]) -> Table:
    """Lay out how many points of each class of a map were drawn."""
    table = _table("Sample, stratified by map class", ["class", "ha in the map", "points"])
    for name, number in units.items():
        _row(table, name, f"{hectares[name]:,.2f}", f"{number:,}")
    table.add_section()
    _row(table, "total", f"{sum(hectares.values()):,.2f}", f"{sum(units.values()):,}")
    return table


def assessment_tables(report: Values) -> list[Table]:
    """Lay out a report of the verb `assess`: estimates, and the points that they rest on."""
    unweighted = report["unweighted"]["totals"]["overall_accuracy"]
    caption = (
        f"overall accuracy {_interval(report['overall'])} %, of the points alone "
        f"{_percent(unweighted)} %; all with 95 % intervals, adjusted for area (Olofsson et al. "
        f"2014)"
    )
    headings = ["class", "ha in the map", "ha", "user's %", "producer's %"]
    estimates = _table("Accuracy and area", headings, caption)
    for entry in report["classes"]:
        area = entry["area"]
        _row(
            estimates,
            entry["name"],
            f"{entry['mapped'] / 1e4:,.2f}",
            f"{area['value'] / 1e4:,.2f} ± {area['margin'] / 1e4:,.2f}",
            _interval(entry["users"]),
            _interval(entry["producers"]),
        )
    names = [entry["name"] for entry in report["classes"]]
    points = _table("Points", ["class in the map", *names], "columns: reference")
    for name, row in zip(names, report["counts"], strict=True):
        _row(points, name, *map(str, row))
    return [estimates, points]


def _interval(estimate: Values | None) -> str:
    if estimate is None:
        return "-"
    return f"{_percent(estimate['value'])} ± {_percent(estimate['margin'])}"


# Data sets


def check_table(report: Any) -> Table:
    """Lay out what was found of a data set, a `DatasetReport`."""
    caption = None if report.decoded else "files were counted and paired, none was decoded"
    headings = ["split", "images", "should be", "no label", "no image", "damaged", "odd sizes"]
    table = _table(f"{report.title} in {report.root}", headings, caption)
    for split in report.splits:
        counts = (
            len(split.without_label),
            len(split.without_image),
            len(split.damaged),
            split.odd_sizes,
        )
        official = "?" if split.official is None else f"{split.official:,}"
        _row(table, split.split, f"{split.found:,}", official, *map("{:,}".format, counts))
    return table


def check_findings(report: Any) -> list[str]:
    """What is wrong with a data set, a line for each kind, and where to get what is missing."""
    lines = []
    for split in report.splits:
        for what, names in (
            ("images without label", split.without_label),
            ("labels without image", split.without_image),
        ):
            if names:
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                lines.append(f"{split.split}: {what}: {', '.join(names[:SHOWN])}{more}")
        reasons = list(split.damaged.values())  # each names its file
        lines += [f"damaged: {reason}" for reason in reasons[:DAMAGED_SHOWN]]
        if len(reasons) > DAMAGED_SHOWN:
            lines.append(f"{split.split}: and {len(reasons) - DAMAGED_SHOWN} more damaged files")
    if not report.complete:
        lines.append(f"{report.title} is not complete; it takes {report.download}")
    return lines


# Comparisons


def comparison_table(summary: Values, title: str) -> Table:
    """Lay out a comparison of `study.summary`: a line for each row, a column for each class."""
    classes = list(next(iter(summary.values()))["classes"])
    caption = "IoU in %; mean ± sample standard deviation over the seeds, final iteration"
    table = _table(title, ["", "mIoU %", *classes, "seeds", "training"], caption)
    for name, row in summary.items():
        spread = "" if row["std"] is None else f" ± {_percent(row['std'])}"
        shown = [_percent(row["classes"][key]) for key in classes]
        seeds = str(len(row["seeds"]))
        _row(table, name, _percent(row["miou"]) + spread, *shown, seeds, _duration(row["seconds"]))
    return table


# Inspections


def inspection_tables(inspection: Values) -> list[Table]:
    """Lay out both regions of `Inspection.to_dict` side by side, and the findings."""
    regions = {name: inspection[name] for name in ("source", "target")}
    tables = [
        _scene_table(regions),
        _part_table(regions),
        _frequency_table(regions),
        _band_table(regions),
        _distance_table(regions, inspection["distances"]),
    ]
    return [*tables, _finding_table(inspection["findings"])]


def _scene_table(regions: Values) -> Table:
    """A row for each scene, or where a region has many for those that are alike."""
    headings = ["scene", "region", "pixels", "CRS", "pixel", "on the ground", "bands", "nodata"]
    warped = any(scene["was"] for region in regions.values() for scene in region["scenes"])
    table = _table("Scenes", headings + ["the file's own"] * warped)
    for name, region in regions.items():
        many = len(region["scenes"]) > SCENES_SHOWN
        rows = map(_group_cells, region["groups"]) if many else map(_scene_cells, region["scenes"])
        for first, *cells, own in rows:
            _row(table, first, name, *cells, *[own] * warped)
    return table


def _scene_cells(scene: Values) -> tuple[str, ...]:
    by_crs, by_pixel = _assumed_words(scene)
    return (
        Path(scene["path"]).name,
        _sides(scene["shape"]),
        _shortened(scene["crs"] or "none") + by_crs,
        _sides(scene["pixel_size"]),
        "-" if scene["ground_size"] is None else f"{_sides(scene['ground_size'])} m{by_pixel}",
        f"{scene['bands']} {scene['dtype']}",
        scene["nodata"] or "-",
        _own_grid(scene["was"]),
    )


def _group_cells(group: Values) -> tuple[str, ...]:
    by_crs, by_pixel = _assumed_words(group)
    return (
        f"{group['count']:,} scenes: {group['first']} ..."
        if group["count"] > 1
        else group["first"],
        _span(group["shape"]),
        _shortened(group["crs"] or "none") + by_crs,
        _span(group["pixel_size"]),
        "-" if group["ground_size"] is None else f"{_span(group['ground_size'])} m{by_pixel}",
        f"{group['bands']} {group['dtype']}",
        group["nodata"] or "-",
        "the same" if group["own_crs"] is None else _shortened(group["own_crs"]),
    )


def _assumed_words(scenes: Values) -> tuple[str, str]:
    """What to say after the CRS and after the ground size of scenes whose place is assumed."""
    crs, pixel = (
        ", assumed" * (scenes["assumed"] == field) for field in ("assumed_crs", "assumed_pixel")
    )
    return crs, pixel


def _own_grid(grid: Values | None) -> str:
    """What a scene is in its file, where it is warped for training."""
    if grid is None:
        return "the same"
    points = " by control points" if grid["placed_by"] == "control points" else ""
    crs = _shortened(grid["crs"] or "none")
    return f"{_sides(grid['shape'])} of {_sides(grid['pixel_size'])} in {crs}{points}"


def _part_table(regions: Values) -> Table:
    headings = ["region", "scenes", "ground", "training", "valid %", "validation"]
    least = min(region["looked_at"] for region in regions.values())
    caption = None if least == 1 else f"statistics are those of a sample, of {least:.1%} or more"
    table = _table("Pixels", headings, caption)
    for name, region in regions.items():
        validation = region["validation"]
        _row(
            table,
            name,
            f"{len(region['scenes']):,}",
            _area(region["coverage"]),
            f"{region['training']['pixels']:,}",
            _percent(region["valid_share"]),
            "none" if validation is None else f"{validation['pixels']:,}",
        )
    return table


def _frequency_table(regions: Values) -> Table:
    columns = {
        f"{name} {part}": region[part]
        for name, region in regions.items()
        for part in ("training", "validation")
        if region[part] is not None and region[part]["classes"] is not None
    }
    table = _table("Classes, % of labelled pixels", ["class", *columns])
    for name in next(iter(columns.values()))["classes"]:
        _row(table, name, *(_percent(part["classes"][name]) for part in columns.values()))
    table.add_section()
    shares = [_percent(part["unlabelled"]) for part in columns.values()]
    _row(table, "unlabelled, % of valid", *shares)
    return table


def _band_table(regions: Values) -> Table:
    figures = ("mean ± std", "range")
    headings = [f"{name} {figure}" for name in regions for figure in figures]
    table = _table("Bands, valid pixels of the training part", ["band", *headings])
    for name, bands in _bands_together(regions):
        _row(table, name, *(cell for band in bands for cell in _band_cells(band)))
    return table


def _distance_table(regions: Values, distances: Sequence[Values]) -> Table:
    table = _table(
        "Bands, percentiles and how far the regions lie apart",
        ["band", *(f"{name} 2 / 50 / 98 %" for name in regions), "W", "JS", "own W", "own JS"],
        "W: Wasserstein distance, in standard deviations of the source; JS: Jensen-Shannon "
        "divergence, 0 to 1; own: after each region is standardised by its own statistics",
    )
    for (name, bands), distance in zip(_bands_together(regions), distances, strict=True):
        figures = ("wasserstein", "divergence", "own_wasserstein", "own_divergence")
        apart = ("-" if distance[key] is None else f"{distance[key]:.2f}" for key in figures)
        _row(table, name, *map(_percentiles, bands), *apart)
    return table


def _bands_together(regions: Values) -> Iterator[tuple[str, Sequence[Values]]]:
    """The bands that belong together, with their names."""
    for bands in zip(*(region["bands"] for region in regions.values()), strict=True):
        yield " / ".join(dict.fromkeys(str(band["name"]) for band in bands)), bands


def _band_cells(band: Values) -> tuple[str, str]:
    mean, std, low, high = (_number(band[key]) for key in ("mean", "std", "minimum", "maximum"))
    return f"{mean} ± {std}", f"{low} to {high}"


def _percentiles(band: Values) -> str:
    return " / ".join(_number(band["percentiles"][key]) for key in ("2", "50", "98"))


def _finding_table(findings: Sequence[Values]) -> Table:
    """Findings in their order, most grave first, each with its cure below."""
    table = Table.grid(padding=(0, 2), expand=False)
    table.title = Text("Findings", style="bold")
    table.title_justify = "left"
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        gravity = finding["gravity"]
        told = Text.assemble((f"{finding['topic']}: ", "bold"), finding["text"])
        table.add_row(Text(gravity, style=GRAVITY_STYLES[gravity]), told)
        table.add_row("", Text.assemble(("cure: ", "green"), finding["cure"]))
    if not findings:
        _row(table, "none", "nothing found that stands in the way of training")
    return table


# Cells


def _table(title: str, headings: Sequence[str], caption: str | None = None) -> Table:
    """A table whose first column holds names and whose others hold figures."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )
    table.title = Text(title, style="bold")
    table.caption = None if caption is None else Text(caption)
    for number, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if number else "left", overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    """Add a row of literal text; class names and paths may hold what rich takes for markup."""
    table.add_row(*map(Text, cells))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _sides(pair: Sequence[float]) -> str:
    return " x ".join(f"{side:.6g}" for side in pair)


def _span(pairs: Sequence[Sequence[float]]) -> str:
    """The least and greatest of pairs of lengths, as one pair where they are one."""
    ends = [
        sorted({f"{side:.6g}" for side in sides}, key=float) for sides in zip(*pairs, strict=True)
    ]
    return " x ".join(" to ".join(sides) for sides in ends)


def _area(coverage: Values | None) -> str:
    """The ground that scenes cover, in hectares or square kilometres."""
    if coverage is None:
        return "-"
    square_metres = coverage["area"]
    return (
        f"{square_metres / 1e6:.4g} km2"
        if square_metres >= 1e6
        else f"{square_metres / 1e4:.4g} ha"
    )


def _shortened(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:21]}..."
