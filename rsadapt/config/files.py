"""YAML files of configurations: read, and found among those that come with the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError

from rsadapt.errors import ConfigError, MissingFileError


class Loader(yaml.SafeLoader):
    """Reads 1e-4 as the number that YAML 1.2 says it is, and refuses a key that stands twice.

    PyYAML takes the one for text, and of the other the last value without a word.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read a mapping as YAML's parser sees it, nothing merged in (`<<`) yet."""
        node = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            first = seen.setdefault((key.tag, str(key.value)), key)
            if first is not key:
                words = f"found '{key.value}' a second time"
                raise ComposerError(None, None, words, key.start_mark)
        return node


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def recipe(name: str) -> Path:
    """The file of a ready configuration, in a checkout or as installed.

    Raises:
        MissingFileError: naming the ones there are.
    """
    known = ready(".")
    if name not in known:
        raise MissingFileError(
            f"no recipe is called '{name}'; there are {', '.join(known) or 'none'}"
        )
    return known[name]


def ready(folder: str) -> dict[str, Path]:
    """The files in a folder of the ready configurations by name, in its order."""
    package = Path(__file__).parents[1]
    places = (package / "configs", package.parent / "configs")
    found = next((place for place in places if place.is_dir()), package)
    return {path.stem: path for path in sorted((found / folder).glob("*.yaml"))}


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
        values = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines, found {type(values).__name__}")
    return values
