"""Options that several verbs have, and what their texts mean."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rsadapt.errors import MissingFileError, OutputExistsError


class Domain(StrEnum):
    """The region that scenes belong to."""

    target = "target"
    source = "source"


class Names(StrEnum):
    """Whose tensor names a weight file has."""

    published = "published"
    own = "own"


class VectorFormat(StrEnum):
    """The format of polygons."""

    gpkg = "gpkg"
    parquet = "parquet"
    fgb = "fgb"


class Variant(StrEnum):
    """How a benchmark trains."""

    published = "published"
    paper = "paper"


class Blending(StrEnum):
    """How tiles share their overlap."""

    hann = "hann"
    crop = "crop"


class Translating(StrEnum):
    """How the source takes on the target's look."""

    cyclegan = "cyclegan"
    fcan = "fcan"


class Precision(StrEnum):
    """What a network computes in."""

    float32 = "32-true"
    bfloat16 = "bf16-mixed"
    float16 = "16-mixed"


class Device(StrEnum):
    """What a network computes on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Turns(StrEnum):
    """What a network sees of each tile."""

    none = "none"
    flips = "flips"
    dihedral = "dihedral"


class MosaicKind(StrEnum):
    """How maps of several scenes become one."""

    vrt = "vrt"
    cog = "cog"


SmallestArea = Annotated[
    float, typer.Option(metavar="M2", min=0, help="Smaller pieces are given to a neighbour.")
]

Simplify = Annotated[
    float,
    typer.Option(metavar="METRES", min=0, help="Smooth outlines by about this; leaves no gap."),
]

Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field, as in training.steps=500."),
]

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A configuration, YAML, or a ready recipe's name.")
]

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="The folder of the data, in place of its root."),
]

Recipe = Annotated[
    Path | None,
    typer.Option(
        "--recipe", metavar="CONFIG", help="What a bare weight file belongs to: a recipe's name."
    ),
]


def new_file(path: Path | None) -> Path | None:
    """Refuse a file that is there already, before any work is done."""
    if path is not None and path.exists():
        raise OutputExistsError(f"{path}: exists already; choose another name")
    if path is not None and not path.parent.is_dir():
        raise MissingFileError(f"{path}: there is no folder {path.parent}; make it first")
    return path


Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=new_file,
        help="Write the figures to a new file too.",
    ),
]


def command(verb: str, *words: Path | str) -> str:
    """A line with a command to go on with, quoted for a shell to take as it is."""
    return f"  {shlex.join(['rsadapt', verb, *map(str, words)])}"


def parts_of(text: str) -> list[str]:
    """What commas separate; nothing between two of them counts for nothing."""
    return [part.strip() for part in text.split(",") if part.strip()]


def shares_of(assignments: Sequence[str]) -> dict[str, float]:
    """Numbers by name, of texts such as forest=0.9."""
    shares = {}
    for text in assignments:
        name, _, value = text.rpartition("=")
        try:
            shares[name] = float(value)
        except ValueError:
            raise typer.BadParameter(
                f"expected such as forest=0.9, found '{text}'", param_hint="'--expect'"
            ) from None
    return shares


def pair_of(text: str) -> tuple[float, float]:
    """Two numbers, separated by a comma."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"expected two numbers such as 0,3000, found '{text}'", param_hint="'--input-range'"
        ) from None
    return low, high


def numbers_of(text: str) -> list[int]:
    """Numbers of 0 or more, separated by commas."""
    parts = parts_of(text)
    if not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(
            f"expected numbers such as 0,1,2, found '{text}'", param_hint="'--seeds'"
        )
    return [int(part) for part in parts]


def write_json(values: Mapping[str, Any], file: Path | None) -> None:
    """Write figures to a file, where one is named."""
    if file is not None:
        file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
