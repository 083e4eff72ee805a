"""Pairs of batches on a device, the next pair on its way while a step runs."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from rsadapt.errors import RsadaptError
from rsadapt.sample import Batch

Pair = tuple[Batch, Batch | None]


class Feed:
    """Hands a batch of each domain to the step, where the step computes.

    On a GPU `reach_ahead` takes the next pair, best once a step's work is queued, and copies it
    beside that step, on a stream of its own; elsewhere it does nothing. (No GPU was at hand: that
    part is not tested.) What was reached for and not taken is lost with the feed: positions count
    what was taken.

    Args:
        source: labelled batches.
        target: unlabelled ones; None where there are none.
        device: where batches are wanted.
        pairs: how many will be taken, so that nothing is reached for in vain.
    """

    def __init__(
        self,
        source: Iterator[Batch],
        target: Iterator[Batch] | None,
        *,
        device: torch.device,
        pairs: int,
    ) -> None:
        self._source, self._target, self._device = source, target, device
        self._left = pairs
        self._aside = (
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            if device.type == "cuda"
            else None
        )
        self._next: Pair | None = None
        self._failed: RsadaptError | None = None

    def fetch(self) -> None:
        """Wait until the next pair is there, which `take` then hands over.

        Raises:
            RsadaptError: where a batch cannot be had.
        """
        if self._failed is not None:
            raise self._failed
        if self._next is None:
            self._next = self._sent()
            self._left -= 1

    def take(self) -> Pair:
        """The next pair, on the device; raises as `fetch` does."""
        self.fetch()
        assert self._next is not None
        pair, self._next = self._next, None
        if self._aside is not None:
            here = torch.cuda.current_stream(self._device)
            here.wait_stream(self._aside)
            for tensor in _tensors(pair):  # else its memory might be given away amid the step
                tensor.record_stream(here)
        return pair

    def reach_ahead(self) -> None:
        """Begin to copy the next pair; what goes wrong is raised when the pair is due."""
        if self._aside is None or self._left == 0:
            return
        try:
            self.fetch()
        except RsadaptError as error:
            self._failed = error

    def _sent(self) -> Pair:
        source = next(self._source)
        target = None if self._target is None else next(self._target)
        with torch.cuda.stream(self._aside):  # None changes nothing
            return source.to(self._device), None if target is None else target.to(self._device)


def _tensors(pair: Pair) -> Iterator[torch.Tensor]:
    for batch in pair:
        if batch is not None:
            yield from (batch.image, batch.valid)
            if batch.label is not None:
                yield batch.label
