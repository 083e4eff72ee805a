"""What is wrong with a configuration, in sentences."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel

from rsadapt.config.schema import GROUPS, UNIONS, Configuration, Settings


def explain(
    fault: dict[str, Any], root: type[BaseModel] = Configuration, *, within: tuple[str, ...] = ()
) -> str:
    """Turn one of pydantic's faults into a sentence, or several where it holds others.

    Args:
        fault: one of `ValidationError.errors()`.
        root: whose fields are meant.
        within: where that stands in the configuration.
    """
    path = [*within, *_path(fault["loc"])]
    if fault["type"] == "settings":
        held = fault["ctx"]
        inner = (explain(dict(each), held["group"], within=tuple(path)) for each in held["faults"])
        return "; ".join(inner)
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], _known_fields(fault["loc"][:-1], root), 1, 0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        return f"unknown key '{key}'{hint}"
    if fault["type"] == "missing":
        return f"'{key}' is missing"
    if fault["type"] == "sentence":
        return str(fault["msg"])
    message = fault["msg"].removeprefix("Value error, ")
    if not key:
        return str(message)
    return f"'{key}': {message[0].lower()}{message[1:]}, found {fault['input']!r}"


def _path(loc: tuple[str | int, ...]) -> list[str]:
    """The keys of a place in the configuration, without what pydantic's have besides them."""
    return [
        str(part)
        for before, part in zip((None, *loc), loc, strict=False)
        if not (before in UNIONS and part in GROUPS) and part != "[key]"
    ]


def _known_fields(loc: tuple[str | int, ...], root: type[BaseModel]) -> list[str]:
    """The names of the fields of the group at a place in the configuration."""
    group = root
    for part in loc:
        if part in GROUPS:
            group = GROUPS[str(part)]
        elif part in group.model_fields:  # else a number or name among several groups of a kind
            group = _group(group.model_fields[str(part)].annotation) or group
    return list(group.model_fields)


def _group(annotation: Any) -> type[Settings] | None:
    """The group that a field holds, by itself or several of it; None where it holds none."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return next(filter(None, map(_group, get_args(annotation))), None)
