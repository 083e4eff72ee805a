"""The settings of methods, which each method declares itself, in its own file."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

import pydantic
from pydantic import BaseModel, ConfigDict

from rsadapt.errors import ConfigError

if TYPE_CHECKING:
    from rsadapt.adapt.method import Method
else:  # whose import brings torch
    Method = Any

__all__ = ["STRICT", "Method", "method_group", "read_method"]

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
"""Unknown fields are refused, and values of other types than asked for."""


def read_method(value: Any) -> Method:
    """The method that a configuration describes by its name and settings; a method as it is.

    Raises:
        ConfigError: for anything else, and for a name that no method has.
        pydantic.ValidationError: for wrong settings, see `method_group`.
    """
    from rsadapt.adapt import method  # with torch, as all of them

    if isinstance(value, method.Method):
        return value
    if not isinstance(value, dict):
        raise ConfigError(f"'method': expected a name and settings, found {value!r}")
    kind = _kind(value.get("name"))
    settings = {key: each for key, each in value.items() if key != "name"}
    return kind(**dict(_settings_group(kind).model_validate(settings)))


@cache
def _settings_group(kind: type[Method]) -> type[BaseModel]:
    """A group of fields as a method's class declares them."""
    hints = get_type_hints(kind, include_extras=True)
    declared: dict[str, Any] = {
        field.name: (hints[field.name], _default(field))
        for field in fields(kind)  # type: ignore[arg-type]
    }
    return pydantic.create_model(kind.__name__, __config__=STRICT, **declared)


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return pydantic.Field(default_factory=field.default_factory)
    return ... if field.default is MISSING else field.default


def _kind(name: Any) -> type[Method]:
    """The class of a method.

    Raises:
        ConfigError: where no method is called so.
    """
    from rsadapt.build.methods import METHODS

    if not isinstance(name, str) or name not in METHODS:
        *most, last = METHODS
        raise ConfigError(f"'method.name': expected {', '.join(most)} or {last}, found {name!r}")
    return METHODS[name]


def method_group(name: str) -> type[BaseModel]:
    """The group of fields of the method that has a name; raises as `read_method` does."""
    return _settings_group(_kind(name))
