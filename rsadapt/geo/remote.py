"""Where remote rasters are read: threads of their own, with settings that local ones lack.

GDAL's settings belong to a thread where they are made in any but the main one, so that nothing
else in the process sees these. And GDAL keeps connections open for each thread: processes that
fork from this one, as data loaders do, inherit none, and never share one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import rasterio

from rsadapt.geo.location import Location, is_networked

SETTINGS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # else servers are asked for sidecars
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_MAX_RETRY": "3",  # of answers such as 503, not of refusals
    "GDAL_HTTP_RETRY_DELAY": "1",
}
"""GDAL's settings for remote rasters, seconds; what the user's environment sets is left alone."""

THREADS = 8
"""The most remote reads of a process at once."""

Result = TypeVar("Result")

_this = threading.local()


def where_read(location: Location, work: Callable[[], Result]) -> Result:
    """Do work that opens or reads a raster: here, or where remote ones are read."""
    if not is_networked(location) or hasattr(_this, "environment"):
        return work()
    return _threads().submit(work).result()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "remote rasters", initializer=_prepare)


def _prepare() -> None:
    """Set up a thread, for as long as it lives."""
    _this.environment = rasterio.Env(
        **{key: value for key, value in SETTINGS.items() if key not in os.environ}
    )
    _this.environment.__enter__()


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_threads.cache_clear)
