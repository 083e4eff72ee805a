"""Check: whether data sets are all there, in pairs and sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsadapt import build
from rsadapt.config import DatasetSettings, FolderSettings, load_dataset, load_yaml, ready
from rsadapt.data.folder import FolderDataset
from rsadapt.data.folder_check import DatasetReport, check_dataset
from rsadapt.errors import ConfigError, MissingFileError
from rsadapt.progress import Progress


def check(
    names: Sequence[str], data: Path, *, decode: bool = True, progress: Progress | None = None
) -> list[DatasetReport]:
    """Count, pair and decode the files of data sets.

    Args:
        names: data sets such as "gta5", "rome" or "loveda", or a YAML file that describes one; or
            configurations and ready recipes of driving data sets, whose data sets, folders and
            splits are looked at.
        data: the folder that holds the data sets' folders.
        decode: False only counts and pairs, in seconds.
        progress: called with a split's name, frames decoded and frames in all.

    Returns:
        A report of each data set, in the order asked for; what is missing or damaged is in it.

    Raises:
        ConfigError: for a configuration of GeoTIFF regions.
        MissingFileError: for a name that is neither, or a configuration that is not there.
    """
    reports = []
    for name in names:
        regions = _of_regions(name)
        if regions is not None:
            from rsadapt.build.part_check import check_parts  # driving data sets need no rasterio

            reports.append(check_parts(regions, data, decode=decode, progress=progress))
            continue
        reports += [
            check_dataset(dataset, folder, splits, progress, decode=decode)
            for dataset, folder, splits in _named(name, data)
        ]
    return reports


def _of_regions(name: str) -> DatasetSettings | None:
    """The data set of regions so called, or described by a file; None where it is none."""
    file = Path(name)
    described = file.suffix in (".yaml", ".yml") and file.is_file() and "parts" in load_yaml(file)
    return load_dataset(name, Path()) if described or name in ready("datasets") else None


def _named(name: str, data: Path) -> list[tuple[FolderDataset, Path, list[str] | None]]:
    """Data sets with their folders and the splits to look at, None for the usual ones."""
    known = build.known_datasets()
    if name in known:
        return [(known[name], data / known[name].folder, None)]
    try:
        settings = build.configuration(Path(name), data=data)
    except MissingFileError as error:
        raise MissingFileError(
            f"no data set is called '{name}' (there are "
            f"{', '.join((*known, *ready('datasets')))}); {error}"
        ) from error
    found: dict[tuple[Path, str], tuple[FolderDataset, list[str]]] = {}
    for domain in (settings.source, settings.target):
        if not isinstance(domain, FolderSettings):
            raise ConfigError(
                f"{name}: its regions are GeoTIFF scenes; look at them with: rsadapt inspect; at a "
                f"whole data set by its name: rsadapt check {next(iter(ready('datasets')))}"
            )
        folder = build.dataset_folder(settings, domain)
        dataset = build.dataset(domain)
        splits = found.setdefault((folder, dataset.title), (dataset, []))[1]
        splits += [s for s in (domain.split, domain.validation_split) if s and s not in splits]
    return [(dataset, folder, splits) for (folder, _), (dataset, splits) in found.items()]
