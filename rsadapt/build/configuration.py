"""From a file to checked settings and the class table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsadapt import config
from rsadapt.classes import ClassScheme
from rsadapt.data.driving import DRIVING_TABLES
from rsadapt.data.procedural.street import STREET_CLASSES


def configuration(
    path: Path, assignments: Sequence[str] = (), *, data: Path | None = None
) -> config.Configuration:
    """Read a configuration file, apply changes, and make its paths absolute.

    Args:
        path: the file, or the name of a ready recipe.
        assignments: "dotted.key=value" changes.
        data: the folder of the data, in place of `root`; relative to the working directory.

    Raises:
        MissingFileError: where there is no such file.
        ConfigError: naming every wrong field.
    """
    file = _named(path)
    values = config.assign(config.load_yaml(file), list(assignments))
    folder = file.resolve().parent
    settings = config.parse(values, where=file, folder=folder)
    root = folder / settings.root if data is None else data
    paths: dict[str, object] = {"root": str(root.resolve())}
    if settings.init_from is not None:
        paths["init_from"] = str((folder / settings.init_from).resolve())
    if isinstance(settings.network.pretrained, str):
        weights = str((folder / settings.network.pretrained).resolve())
        paths["network"] = settings.network.model_copy(update={"pretrained": weights})
    fcan = settings.translation.fcan
    if fcan.weights is not None:
        fcan = fcan.model_copy(update={"weights": str((folder / fcan.weights).resolve())})
        paths["translation"] = settings.translation.model_copy(update={"fcan": fcan})
    return settings.model_copy(update=paths)


def _named(path: Path) -> Path:
    """A configuration's file, or that of the ready recipe so called where there is no such file.

    A folder of a recipe's name, such as one that a demo was written to, is not in its way.
    """
    shadow = path.is_dir() and str(path) in config.ready(".")
    if (path.exists() and not shadow) or path.suffix or len(path.parts) > 1:
        return path
    return config.recipe(str(path))


def class_scheme(settings: config.Configuration) -> ClassScheme:
    """The class table."""
    if settings.class_table == "streets":
        return STREET_CLASSES
    if settings.class_table is not None:
        return DRIVING_TABLES[settings.class_table]
    return scheme_of(settings.classes, settings.ignored_ids)


def scheme_of(classes: Sequence[config.ClassSettings], ignored: Sequence[int]) -> ClassScheme:
    """The class table of listed classes.

    Raises:
        ConfigError: for a table that contradicts itself.
    """
    return ClassScheme(
        names=tuple(entry.name for entry in classes),
        ids=tuple(
            (entry.id,) if isinstance(entry.id, int) else tuple(entry.id) for entry in classes
        ),
        colours=tuple(_colour(entry.colour) for entry in classes),
        ignored=tuple(ignored),
    )


def _colour(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
