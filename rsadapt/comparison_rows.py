"""The rows of a comparison: methods by their names, and named ones from a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsadapt import config
from rsadapt.build.methods import METHODS
from rsadapt.config.methods import method_group
from rsadapt.errors import ConfigError
from rsadapt.study import ADAPTED_BATCH_NORM_STEPS, Row, with_predecessors

Values = dict[str, Any]

FIRST = "first"
"""The row, supervised and not reported, that all start from unless they say otherwise."""

BASELINES = ("source_only", "adapted_batch_norm")
"""Rows that every comparison has."""

SNAPSHOTS = 4
"""Validations of each reported run, evenly spread, where the configuration asks for none."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")


@dataclass(frozen=True)
class Rows:
    """What can be compared.

    Attributes:
        all: by name, each after the one that it starts from.
        refused: by name, why a row cannot be trained with this configuration.
    """

    all: Mapping[str, Row]
    refused: Mapping[str, str]

    @property
    def reported(self) -> list[str]:
        """The names that can be asked for."""
        return [row.name for row in self.all.values() if row.reported]

    def choose(self, names: Sequence[str]) -> list[Row]:
        """The baselines, the rows of these names, and those that they start from.

        Raises:
            ConfigError: for an unknown name, one given twice, or a row that cannot be trained.
        """
        wanted = {name for name in BASELINES if name in self.all}
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"'{name}' is asked for more than once; name each method once")
            if name in self.refused:
                raise ConfigError(self.refused[name])
            if name not in self.all or not self.all[name].reported:
                there = ", ".join(self.reported)
                raise ConfigError(f"no method or row is called '{name}'; there are {there}")
            wanted.add(name)
        return with_predecessors(list(self.all.values()), wanted)


def comparison_rows(values: Values, *, given: Values, first_steps: int | None = None) -> Rows:
    """Every row that can be named: the baselines, all methods, and those given.

    A method by its name has the configuration's settings where that names the same method, else
    its own defaults; the weights of the supervised loss ("segmentation") are the configuration's
    for all.

    Args:
        values: the whole configuration.
        given: by name, a row's changes by dotted field. "method" may be a method's name alone;
            "after" names the row that it starts from, "first" unless given, null for the
            configuration's own initial weights; "reported: false" keeps it out of tables. What is
            given in the name of another row replaces it; "first" is the supervised first part.
        first_steps: steps of the first part, 0 for none. Unless given those of the row "first";
            without that there is one of twice the configuration's steps where networks begin with
            random weights, and none elsewhere.

    Raises:
        ConfigError: for a row that is no mapping, has no fit name, or starts from an unknown one.
    """
    begins = values.get("init_from") is not None or values["network"]["pretrained"]
    steps = values["training"]["steps"]
    if first_steps is None and FIRST in given:
        usual = steps if begins else 2 * steps
        first_steps = _changes(FIRST, given, values).get("training.steps", usual)
    elif first_steps is None:
        first_steps = 0 if begins else 2 * steps
    first = FIRST if first_steps else None
    rows: dict[str, Row] = {}
    if first_steps:
        supervised = {"method": method_values("source_only", values)}
        changes = supervised | _changes(FIRST, given, values) | {"training.steps": first_steps}
        rows[FIRST] = Row(FIRST, changes, reported=False)
    for name in dict.fromkeys([*BASELINES, *METHODS]):
        rows[name] = _of_method(name, values, first)
    for name in given:
        if name != FIRST:
            rows[name] = _given(name, given, values, list(rows), first)
    return _checked({name: _validated(row, values) for name, row in rows.items()}, values)


def method_values(name: str, values: Values) -> Values:
    """The settings of a method by its name, see `comparison_rows`.

    Raises:
        ConfigError: where no method is called so.
    """
    own: Values = values["method"]
    if own["name"] == name:
        return own
    kind, levels = METHODS.get(name), values["network"]["levels"]
    if kind is None:
        raise ConfigError(f"no method is called '{name}'; there are {', '.join(METHODS)}")
    fields = method_group(name).model_fields
    found: Values = {"name": name}
    for field in kind.by_level:
        usual = fields[field].get_default(call_default_factory=True)
        found[field] = ([0.0] * levels + list(usual or []))[-levels:]
    if "segmentation" in fields and "segmentation" in own:
        found["segmentation"] = own["segmentation"]
    return found


def _of_method(name: str, values: Values, first: str | None) -> Row:
    changes: Values = {"method": method_values(name, values)}
    policy = METHODS[name].needs_policy
    if policy is not None:
        changes["network.batch_norm"] = policy
    if name != "adapted_batch_norm":
        return Row(name, changes, after=first)
    changes["training.steps"] = min(ADAPTED_BATCH_NORM_STEPS, values["training"]["steps"])
    return Row(name, changes, after="source_only")


def _given(name: str, given: Values, values: Values, known: list[str], first: str | None) -> Row:
    """A row of a file; one of a known name takes the place of that."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"row '{name}': expected a name of lower-case letters, digits and _ . + -, which "
            f"becomes a folder's"
        )
    changes, fields = _changes(name, given, values), given[name] or {}
    usual = "source_only" if name == "adapted_batch_norm" and name in known else first
    after, reported = fields.get("after", usual), fields.get("reported", True)
    before = known[: known.index(name)] if name in known else known
    if after is not None and after not in before:
        raise ConfigError(
            f"row '{name}': starts after '{after}', and no row before it is called so; there are "
            f"{', '.join(before)}"
        )
    if not isinstance(reported, bool):
        raise ConfigError(f"row '{name}': 'reported' is true or false, found {reported!r}")
    return Row(name, changes, after=after, reported=reported)


def _changes(name: str, given: Values, values: Values) -> Values:
    """The changed fields of a row of a file, the method first."""
    fields = {} if given.get(name) is None else given[name]
    if not isinstance(fields, dict):
        raise ConfigError(
            f"row '{name}': expected changes such as 'method: cbst', found {fields!r}"
        )
    _check_keys(fields, f"row '{name}'")
    changes = {key: value for key, value in fields.items() if key not in ("after", "reported")}
    method = changes.get("method")
    if isinstance(method, str):
        changes = {"method": method_values(method, values)} | {
            key: value for key, value in changes.items() if key != "method"
        }
    return changes


def _validated(row: Row, values: Values) -> Row:
    """The row with validations on its way, where it is reported and the configuration has none."""
    training = config.change(values, row.changes)["training"]
    if not isinstance(training, dict) or not isinstance(training.get("steps"), int):
        return row  # which cannot be trained, and is told of by `_checked`
    if not row.reported or training.get("validate_every"):
        return row
    every = max(1, training["steps"] // SNAPSHOTS)
    return replace(row, changes=row.changes | {"training.validate_every": every})


def _checked(rows: Mapping[str, Row], values: Values) -> Rows:
    """Rows that can be trained, and those that cannot, such as without batch norm to adapt."""
    refused: dict[str, str] = {}
    for row in rows.values():
        try:
            config.parse(config.change(values, row.changes), where=f"row '{row.name}'")
        except ConfigError as error:
            refused[row.name] = str(error)
        if row.after in refused:
            refused[row.name] = f"row '{row.name}': starts after '{row.after}': " + str(
                refused[row.after]
            )
    return Rows({name: row for name, row in rows.items() if name not in refused}, refused)


def load_rows(file: Path | None) -> Values:
    """The rows of a YAML file, or of a ready one by its name.

    Raises:
        MissingFileError: where there is none.
        ConfigError: for text that is not YAML, or no mapping.
    """
    if file is None:
        return {}
    known = config.ready("rows")
    path = known.get(str(file), file)
    rows = config.load_yaml(path)
    _check_keys(rows, str(path))
    return rows


def _check_keys(values: Mapping[Any, Any], where: str) -> None:
    """Refuse names that YAML took for numbers or truth values.

    Raises:
        ConfigError: with the cure.
    """
    for key in values:
        if not isinstance(key, str):
            raise ConfigError(f'{where}: expected a name, found {key!r}; write it in "quotes"')
