"""Figures that others published, each with its paper and table; nothing here was measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rsadapt.data.driving import DRIVING_TABLES

PAPER = "Tsai et al. 2018 (arXiv 1802.10349)"


@dataclass(frozen=True)
class PublishedFigure:
    """Mean IoU that a paper or repository reports for a row of a benchmark.

    Attributes:
        miou: 0..1, over the classes of the benchmark's table.
        source: the paper or repository, and the table in it.
        classes: IoU of each class by name, 0..1; empty where none was found.
        classes_source: where those were found, if not in `source`.
    """

    miou: float
    source: str
    classes: Mapping[str, float] = field(default_factory=dict)
    classes_source: str = ""


def _percent(text: str) -> dict[str, float]:
    """Per cent of each of the 19 classes, in their order."""
    values = [round(float(value) / 100, 4) for value in text.split()]
    return dict(zip(DRIVING_TABLES["cityscapes-19"].names, values, strict=True))


_GTA5 = f"{PAPER}, table 1"
_SYNTHIA = f"{PAPER}, table 4 (the table's number from memory, not looked up)"
_QUOTED = f"{_GTA5}, as quoted in Math. Probl. Eng. 2022, 1848857, table 1"

PUBLISHED: dict[str, dict[str, PublishedFigure]] = {
    "gta5-cityscapes": {
        "source-only": PublishedFigure(
            0.366,
            _GTA5,
            _percent(
                "75.8 16.8 77.2 12.5 21.0 25.5 30.1 20.1 81.3 24.6 70.3 53.8 26.4 49.9 17.2 25.9 "
                "6.5 25.3 36.0"
            ),
            _QUOTED,
        ),
        "feature": PublishedFigure(0.393, _GTA5),
        "single": PublishedFigure(0.414, _GTA5),
        "multi": PublishedFigure(
            0.424,
            _GTA5,
            _percent(
                "86.5 36.0 79.9 23.4 23.3 23.9 35.2 14.8 83.4 33.3 75.6 58.5 27.6 73.7 32.5 35.4 "
                "3.9 30.1 28.1"
            ),
            _QUOTED,
        ),
        "lsgan": PublishedFigure(
            0.441, "the authors' repository, and appendix of arXiv 1802.10349 as of October 2019"
        ),
        "vgg": PublishedFigure(0.350, _GTA5),
        "target-trained": PublishedFigure(0.651, f"{PAPER}, table 2"),
    },
    "synthia-cityscapes": {
        "source-only": PublishedFigure(0.386, _SYNTHIA),
        "feature": PublishedFigure(0.408, _SYNTHIA),
        "single": PublishedFigure(0.459, _SYNTHIA),
        "multi": PublishedFigure(0.467, _SYNTHIA),
        "target-trained": PublishedFigure(0.717, f"{PAPER}, table 5"),
    },
}
"""By benchmark and row. Figures without a source that can be named, such as those of Cross-City
and of the other rows' classes, are left out."""
