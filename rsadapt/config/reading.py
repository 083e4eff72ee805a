"""Values of configurations: changed, checked, and written out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rsadapt.config.datasets import expand
from rsadapt.config.faults import explain
from rsadapt.config.files import Loader
from rsadapt.config.schema import Configuration
from rsadapt.errors import ConfigError, MissingFileError


def assign(values: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Return `values` with "dotted.key=value" assignments applied; values are YAML.

    Raises:
        ConfigError: for an assignment without "=", a path through something that is no group, or
            a value that is not YAML.
    """
    changes = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise ConfigError(f"'{assignment}': expected key=value, such as training.steps=500")
        try:
            changes[key] = yaml.load(text, Loader)
        except yaml.YAMLError as error:
            why = getattr(error, "problem", None) or error
            raise ConfigError(f"'{assignment}': the value is not valid YAML ({why})") from error
    return change(values, changes)


def change(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with fields replaced, each named by its dotted path.

    Raises:
        ConfigError: for a path through something that is no group.
    """
    out = dict(values)
    for key, value in changes.items():
        *groups, leaf = key.split(".")
        place = out
        for group in groups:
            inner = place.get(group, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"'{key}': '{group}' is a value, not a group of fields")
            place[group] = dict(inner)
            place = place[group]
        place[leaf] = value
    return out


def parse(values: dict[str, Any], *, where: object, folder: Path | None = None) -> Configuration:
    """Check values against the schema; parts of data sets become plain regions before.

    Args:
        values: of a configuration.
        where: they come from, for messages.
        folder: what relative names of data sets' files start at, the working directory by default.

    Raises:
        MissingFileError: for a data set's file that is not there.
        ConfigError: naming every wrong field, and the nearest known one for an unknown.
    """
    try:
        expanded = expand(values, folder=folder or Path())
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    try:
        return Configuration.model_validate(expanded)
    except ValidationError as error:
        faults = [explain(dict(fault)) for fault in error.errors()]
        raise ConfigError(f"{where}: {'; '.join(faults)}") from error


def dump(configuration: Configuration) -> str:
    """The configuration as YAML, every field written out."""
    text: str = yaml.safe_dump(configuration.model_dump(), sort_keys=False, allow_unicode=True)
    return text


def renewed(text: str) -> str:
    """A configuration, YAML, with fields that came since it was written, as they are by default.

    What this version cannot read comes back as it is.
    """
    try:
        values = yaml.safe_load(text)
        return dump(parse(values, where="an older run")) if isinstance(values, dict) else text
    except (yaml.YAMLError, ConfigError, MissingFileError):
        return text
