"""Where a raster lies: a local file, an address on the network, or a data set within a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SCHEMES = {
    "http://": "/vsicurl/http://",
    "https://": "/vsicurl/https://",
    "s3://": "/vsis3/",
    "gs://": "/vsigs/",
    "az://": "/vsiaz/",
}
"""How addresses begin, and how GDAL's name of the same begins."""

NETWORKED = re.compile(r"/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)[/?_]")
"""GDAL's file systems that ask a server, also inside another such as /vsizip/."""

_SUBDATASET = re.compile(
    r"(?P<before>(?i:NETCDF|HDF5|HDF4_SDS:\w+|HDF4_EOS:\w+|ZARR|BAG|GPKG|NITF_IM:\d+|SENTINEL2_\w+"
    r'|GTIFF_DIR:(?:off:)?\d+):"?)(?P<file>(?<=")[^"]+|[^":]+)(?P<after>.*)'
)
"""A data set in a file as GDAL names it: of the formats whose names are made so."""


@dataclass(frozen=True)
class Remote:
    """A raster that is no file of this machine's folders: an address, or a name such as /vsizip/...

    Attributes:
        url: as the user wrote it.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def gdal(self) -> str:
        """The name that GDAL opens."""
        for scheme, begins in SCHEMES.items():
            if self.url.lower().startswith(scheme):
                return begins + self.url[len(scheme) :]
        return self.url

    @property
    def networked(self) -> bool:
        """Whether a server is asked for it."""
        return NETWORKED.search(self.gdal) is not None

    @property
    def name(self) -> str:
        """The last part of its path, without a query."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self._path.stem

    @property
    def suffix(self) -> str:
        """What the name ends in, with its dot."""
        return self._path.suffix

    @property
    def parent(self) -> Remote:
        """The folder it lies in."""
        return Remote(self._bare.rstrip("/").rpartition("/")[0])

    @property
    def _bare(self) -> str:
        return re.split(r"[?#]", self.url, maxsplit=1)[0] if "://" in self.url else self.url

    @property
    def _path(self) -> PurePosixPath:
        return PurePosixPath(self._bare)


@dataclass(frozen=True)
class Subdataset:
    """One of several data sets in a file, by the name that GDAL gives it: `NETCDF:"a.nc":red`.

    Attributes:
        before: what stands before the file in that name.
        file: that holds it.
        after: what stands after the file.
    """

    before: str
    file: Path | Remote
    after: str

    def __str__(self) -> str:
        return f"{self.before}{self.file}{self.after}"

    @property
    def gdal(self) -> str:
        """The name that GDAL opens."""
        return f"{self.before}{gdal_name(self.file)}{self.after}"

    @property
    def networked(self) -> bool:
        """Whether a server is asked for it."""
        return is_networked(self.file)

    @property
    def name(self) -> str:
        """The file's name, and which data set of it."""
        return f"{self.file.name}:{self._which}"

    @property
    def stem(self) -> str:
        """The same without a suffix, as a name for files."""
        return f"{self.file.stem}_{self._which}"

    @property
    def suffix(self) -> str:
        """The file's."""
        return self.file.suffix

    @property
    def parent(self) -> Path | Remote:
        """The folder that the file lies in."""
        return self.file.parent

    @property
    def _which(self) -> str:
        return re.sub(r"\W+", "_", self.after or self.before.partition(":")[2]).strip("_")


Location = Path | Remote | Subdataset
"""Where a raster lies. All have name, stem, suffix and parent, and read as the user wrote them."""


def located(text: Path | str, root: Path = Path()) -> Location:
    """Understand what a user names.

    Args:
        text: a path; an address beginning with http, https, s3, gs or az; a name of GDAL's virtual
            file systems (/vsi...); or a data set within a file, as GDAL lists it.
        root: what a relative path starts at.
    """
    if isinstance(text, Path):
        return root / text
    if is_address(text):
        return Remote(text)
    found = _SUBDATASET.fullmatch(text)
    if found:
        file = found["file"]
        inner = Remote(file) if is_address(file) else root / file
        return Subdataset(found["before"], inner, found["after"])
    return root / text


def is_address(text: str) -> bool:
    """Whether a text names what is no path: an address, or a name of GDAL's file systems."""
    return text.lower().startswith((*SCHEMES, "/vsi"))


def gdal_name(location: Location) -> str:
    """The name by which GDAL opens it."""
    return str(location) if isinstance(location, Path) else location.gdal


def is_networked(location: Location) -> bool:
    """Whether a server is asked for it."""
    return not isinstance(location, Path) and location.networked
