"""How long work says how far it is, by one callback, and what a training comes to, by another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

Progress = Callable[[str, int, int], None]
"""Called with a task's name, the units done and the units in all."""

Watch = Callable[[Mapping[str, Any]], None]
"""Called with every event of a training, as its `metrics.jsonl` has them: "step", and "losses" with
"figures", "rates" and "seconds", or "validation" with "validators", "warning" or "stopped"."""

T = TypeVar("T")
Item_co = TypeVar("Item_co", covariant=True)


class Counted(Protocol[Item_co]):
    """Items whose number is known before they are made."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item_co]: ...


def watched(items: Counted[T], task: str, progress: Progress | None) -> Iterator[T]:
    """Yield items, and report each as done when the next is asked for."""
    for done, item in enumerate(items, start=1):
        yield item
        if progress is not None:
            progress(task, done, len(items))
