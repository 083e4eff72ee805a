"""What is wrong with a configuration, in sentences."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from rsadapt.config.schema import GROUPS, UNIONS, ClassSettings, Configuration, Settings


def explain(fault: dict[str, Any]) -> str:
    """Turn one of pydantic's faults into a sentence."""
    path = _path(fault["loc"])
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], _known_fields(fault["loc"][:-1]), 1, 0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        return f"unknown key '{key}'{hint}"
    if fault["type"] == "missing":
        return f"'{key}' is missing"
    message = fault["msg"].removeprefix("Value error, ")
    if not key:
        return str(message)
    return f"'{key}': {message[0].lower()}{message[1:]}, found {fault['input']!r}"


def _path(loc: tuple[str | int, ...]) -> list[str]:
    """The keys of a place in the configuration, without the members of unions in pydantic's."""
    return [
        str(part)
        for before, part in zip((None, *loc), loc, strict=False)
        if not (before in UNIONS and part in GROUPS)
    ]


def _known_fields(loc: tuple[str | int, ...]) -> list[str]:
    """The names of the fields of the group at a place in the configuration."""
    group: type[Settings] = Configuration
    for part in loc:
        if part in GROUPS:
            group = GROUPS[str(part)]
        elif isinstance(part, int):
            group = ClassSettings
        elif part not in ("classes", *UNIONS):
            group = _group(group.model_fields[str(part)].annotation)
    return list(group.model_fields)


def _group(annotation: Any) -> type[Settings]:
    """The group that a field holds, which may be None."""
    members = get_args(annotation) or (annotation,)
    group: type[Settings] = next(member for member in members if member is not type(None))
    return group
