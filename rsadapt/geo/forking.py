"""When this process may fork: not while another thread is inside GDAL, whose locks it copies."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

LINUX = sys.platform == "linux"

ENDING = 5.0
"""Seconds that a fork waits for threads that are ending; they take milliseconds."""


class Gate:
    """Lets this process fork only while no other thread is inside GDAL, or ending after it was.

    The child would find the locks shut that such a thread held, this module's, GDAL's, or those of
    the SQLite in which PROJ looks up projections, and wait for ever: see test_fork.py.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside, self._forking = 0, 0
        self._own = threading.local()
        self._been: set[int] = set()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._shut, after_in_parent=self._open, after_in_child=self._renew
            )

    def __enter__(self) -> None:
        depth = getattr(self._own, "depth", 0)
        with self._changed:
            if not depth:
                self._changed.wait_for(lambda: not self._forking)
            self._inside += 1
            self._been.add(threading.get_native_id())
        self._own.depth = depth + 1

    def __exit__(self, *_: object) -> None:
        self._own.depth -= 1
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def _shut(self) -> None:
        self._changed.acquire()
        self._forking += 1
        own = getattr(self._own, "depth", 0)
        self._changed.wait_for(lambda: self._inside <= own)
        deadline = time.monotonic() + ENDING
        while self._ending() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _ending(self) -> bool:
        """Whether a thread has left Python and still closes what PROJ opened for it."""
        tasks = {int(task.name) for task in Path("/proc/self/task").iterdir()} if LINUX else set()
        self._been &= tasks
        return not self._been <= {thread.native_id for thread in threading.enumerate()}

    def _open(self) -> None:
        self._forking -= 1
        self._changed.notify_all()
        self._changed.release()

    def _renew(self) -> None:  # the child has this thread alone
        self._changed = threading.Condition(threading.Lock())
        self._inside, self._forking = getattr(self._own, "depth", 0), 0
        self._been.clear()


gate = Gate()
"""Of this process: whoever opens or reads with GDAL does so within it."""
