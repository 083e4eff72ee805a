"""Configurations from YAML files and from changes to them, checked, and written out again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rsadapt.config.faults import explain
from rsadapt.config.schema import Configuration
from rsadapt.errors import ConfigError, MissingFileError


class _Loader(yaml.SafeLoader):
    """Reads 1e-4 as the number that YAML 1.2 says it is; PyYAML's 1.1 takes it for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def recipe(name: str) -> Path:
    """The file of a ready configuration, in a checkout or as installed.

    Raises:
        MissingFileError: naming the ones there are.
    """
    package = Path(__file__).parents[1]
    folders = (package / "configs", package.parent / "configs")
    folder = next((folder for folder in folders if folder.is_dir()), package)
    file = folder / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise MissingFileError(f"no recipe is called '{name}'; there are {known or 'none'}")
    return file


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that must hold a mapping.

    Raises:
        MissingFileError: where there is none.
        ConfigError: for text that is not YAML, or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: no such configuration file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a readable text file ({error})") from error
    try:
        values = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines, found {type(values).__name__}")
    return values


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
            changes[key] = yaml.load(text, _Loader)
        except yaml.YAMLError as error:
            raise ConfigError(f"'{assignment}': the value is not valid YAML") from error
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


def parse(values: dict[str, Any], *, where: object) -> Configuration:
    """Check values against the schema.

    Raises:
        ConfigError: naming every wrong field, and the nearest known one for an unknown.
    """
    try:
        return Configuration.model_validate(values)
    except ValidationError as error:
        faults = [explain(dict(fault)) for fault in error.errors()]
        raise ConfigError(f"{where}: {'; '.join(faults)}") from error


def dump(configuration: Configuration) -> str:
    """The configuration as YAML, every field written out."""
    text: str = yaml.safe_dump(configuration.model_dump(), sort_keys=False, allow_unicode=True)
    return text
