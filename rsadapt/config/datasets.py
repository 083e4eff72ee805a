"""Whole data sets of regions in YAML files, and configurations that name a part of one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field, ValidationError, model_validator

from rsadapt.config.faults import explain
from rsadapt.config.files import load_yaml, ready
from rsadapt.config.schema import ClassSettings, FolderSettings, RegionSettings, Settings
from rsadapt.errors import ConfigError

DRIVING = get_args(FolderSettings.model_fields["dataset"].annotation)
"""Data sets of image folders, which are no files."""

FILES = ("scenes", "labels", "listed")
"""The fields of a part that name files, and that a validation part brings."""

OWN = ("each", "count")
"""The fields of a part that a region has not."""


class CommonSettings(RegionSettings):
    """What holds for every part of a data set."""

    def _check_named(self) -> None:
        """Leave files to the parts."""


class PartSettings(RegionSettings):
    """A part of a data set: a region, and what it should hold."""

    each: dict[str, list[str]] = Field(default={})
    """Names by key: a pattern that holds {key} stands for as many, one with each of the names."""
    count: Annotated[int, Field(ge=1)] | None = None
    """Scenes that it officially has."""


class DatasetSettings(Settings):
    """A data set: where its files lie once unpacked, and what they mean."""

    title: str
    homepage: str = ""
    licence: str = ""
    """Its terms in a few words, and where they stand."""
    download: str = "the files that its parts name"
    """What to get and how to unpack it, in words, for `rsadapt check`."""
    folder: str
    """Where it lies, relative to a configuration's `root`."""
    classes: Annotated[list[ClassSettings], Field(min_length=1)]
    ignored_ids: list[int] = Field(default=[255])
    choices: dict[str, list[str]] = Field(default={})
    """As `each` of all parts, but configurations may give other names; these are the default."""
    common: CommonSettings = CommonSettings()
    """Fields of a region that all parts have."""
    parts: Annotated[dict[str, PartSettings], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> DatasetSettings:
        taken = {"dataset", "part", "validation_part", *PartSettings.model_fields}
        clash = sorted(taken & self.choices.keys())
        if clash:
            raise ValueError(
                f"choices.{clash[0]}: regions have a field of that name; choose another"
            )
        for name, part in self.parts.items():
            known = self.choices.keys() | part.each.keys()
            for pattern in itertools.chain(part.scenes, part.labels, part.listed):
                for key in _keys(pattern):
                    if key not in known:
                        raise ValueError(
                            f"parts.{name}: '{pattern}' holds {{{key}}}, of which neither "
                            f"'choices' nor the part's 'each' tells the names"
                        )
        return self

    def region(self, part: str, chosen: Mapping[str, Sequence[str]] | None = None) -> Values:
        """The fields of a part's region.

        Args:
            part: its name, one of `parts`.
            chosen: names in place of those of `choices`.
        """
        own = self.parts[part]
        names = {**self.choices, **own.each, **(chosen or {})}
        fields = merged(
            {"folder": self.folder},
            self.common.model_dump(exclude_unset=True),
            own.model_dump(exclude_unset=True, exclude=set(OWN)),
        )
        patterns = {
            field: [text for pattern in fields[field] for text in _filled(pattern, names)]
            for field in FILES
            if field in fields
        }
        return fields | patterns


Values = dict[str, Any]


def load_dataset(name: str, folder: Path) -> DatasetSettings:
    """Read a data set's file.

    Args:
        name: of a ready data set, or a YAML file.
        folder: what a relative file's name starts at.

    Raises:
        MissingFileError: for a file that is not there.
        ConfigError: for a name that is neither, or naming every wrong field.
    """
    known = ready("datasets")
    file = known.get(name, folder / name)
    if name not in known and file.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"no data set is called '{name}'; there are {', '.join((*DRIVING, *known))}, or name "
            f"the YAML file of one"
        )
    try:
        return DatasetSettings.model_validate(load_yaml(file))
    except ValidationError as error:
        faults = [explain(dict(fault), DatasetSettings) for fault in error.errors()]
        raise ConfigError(f"{file}: {'; '.join(faults)}") from error


def expand(values: Values, *, folder: Path) -> Values:
    """Put regions in place of parts of data sets, and classes where none are given.

    Args:
        values: of a configuration.
        folder: what relative names of data sets' files start at.

    Raises:
        MissingFileError: for a data set's file that is not there.
        ConfigError: for a data set or part that there is not, parts that do not go together, or
            data sets of different classes where the configuration gives none.
    """
    out = dict(values)
    datasets: dict[str, DatasetSettings] = {}
    for domain in ("source", "target"):
        region = values.get(domain)
        if isinstance(region, dict) and "dataset" in region and region["dataset"] not in DRIVING:
            datasets[domain] = load_dataset(str(region["dataset"]), folder)
            out[domain] = _region(domain, datasets[domain], region)
    if not datasets or values.get("classes") or values.get("class_table"):
        return out
    first, *others = datasets.values()
    if any(_table(other) != _table(first) for other in others) and _labelled(out["target"]):
        raise ConfigError(
            f"'classes' is missing: {first.title} and {others[0].title} have different classes; "
            f"give those that both are read with"
        )
    fields = first.model_dump(include={"classes", "ignored_ids"})
    return fields | {name: value for name, value in out.items() if name != "classes"}


def _region(domain: str, dataset: DatasetSettings, given: Values) -> Values:
    """The fields of a region that names a part, with the configuration's own over them."""
    changes = dict(given)
    del changes["dataset"]
    chosen = {name: changes.pop(name) for name in dataset.choices if name in changes}
    for name, value in chosen.items():
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise ConfigError(f"'{domain}.{name}': expected a list of names, found {value!r}")
    part, kept = changes.pop("part", None), changes.pop("validation_part", None)
    _check_part(f"{domain}.part", dataset, part)
    fields = dataset.region(part, chosen)
    if kept is not None:
        _check_part(f"{domain}.validation_part", dataset, kept)
        if kept == part:
            raise ConfigError(f"'{domain}.validation_part' is the part to train on; name another")
        validation = dataset.region(kept, chosen)
        for name in sorted((fields.keys() | validation.keys()) - set(FILES)):
            if fields.get(name) != validation.get(name):
                raise ConfigError(
                    f"'{domain}.validation_part': '{kept}' is of another {name} than '{part}' "
                    f"({validation.get(name)}, {fields.get(name)}); name one that is alike"
                )
        fields["validation"] = {name: validation[name] for name in FILES if name in validation}
    return {"validation": {"share": 0.0}} | merged(fields, changes)  # parts are splits already


def _check_part(field: str, dataset: DatasetSettings, part: object) -> None:
    if part not in dataset.parts:
        listed = ", ".join(dataset.parts)
        found = "none" if part is None else f"'{part}'"
        raise ConfigError(
            f"'{field}': expected a part of {dataset.title} ({listed}), found {found}"
        )


def _table(dataset: DatasetSettings) -> Any:
    """What label ids mean."""
    return [(entry.name, entry.id) for entry in dataset.classes], dataset.ignored_ids


def _labelled(region: object) -> bool:
    """Tell whether label ids of a region are read."""
    if not isinstance(region, dict):
        return False
    validation = region.get("validation")
    return bool(region.get("labels")) or _labelled(validation)


def merged(*layers: Values) -> Values:
    """Lay groups of fields over one another, later ones over earlier, down to single fields."""
    out: Values = {}
    for layer in layers:
        for name, value in layer.items():
            below = out.get(name)
            both = isinstance(below, dict) and isinstance(value, dict)
            out[name] = merged(below, value) if both else value  # type: ignore[arg-type]
    return out


def _keys(pattern: str) -> list[str]:
    return re.findall(r"\{([^{}]*)\}", pattern)


def _filled(pattern: str, names: Mapping[str, Sequence[str]]) -> list[str]:
    """A pattern with each of the names in place of its keys."""
    keys = list(dict.fromkeys(_keys(pattern)))
    filled = []
    for choice in itertools.product(*(names[key] for key in keys)):
        text = pattern
        for key, name in zip(keys, choice, strict=True):
            text = text.replace(f"{{{key}}}", name)
        filled.append(text)
    return filled
