"""The most memory that this process takes for a while."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Measures from where it is made; the processes that read training batches ahead are apart.

    Linux forgets the peak of what was before (proc(5): writing 5 to clear_refs); elsewhere, and
    where it may not, nothing is known of resident memory.

    Args:
        device: where networks are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._known = device, _forget()
        if device.type == "cuda":  # not tried: no GPU was at hand
            torch.cuda.reset_peak_memory_stats(device)

    def bytes(self) -> dict[str, int | None]:
        """The peaks so far: "resident" memory of the process, None where unknown, and "cuda"."""
        found = {"resident": _resident() if self._known else None}
        if self._device.type == "cuda":
            found["cuda"] = torch.cuda.max_memory_allocated(self._device)
        return found


def _forget() -> bool:
    """Whether the peak of what was before is forgotten."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        _FORGET.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _resident() -> int | None:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    found = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    kilobytes = next(found, None)
    return None if kilobytes is None else 1024 * int(kilobytes)
