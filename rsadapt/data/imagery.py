"""What both domains offer to a run, whether they are GeoTIFF scenes or folders of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from rsadapt.classes import ClassScheme
from rsadapt.geo.statistics import BandStatistics
from rsadapt.progress import Progress
from rsadapt.sample import Sample

DomainName = Literal["source", "target"]


class Imagery(Protocol):
    """A part of a domain, to train on or to score on."""

    @property
    def name(self) -> str:
        """Which domain it belongs to, "source" or "target", for messages."""
        ...

    @property
    def bands(self) -> tuple[int, ...]:
        """The 1-based bands taken from each image."""
        ...

    @property
    def labelled(self) -> bool:
        """Whether all of it has labels."""
        ...

    @property
    def ground_pixel(self) -> float | None:
        """The median side of an image's pixel on the ground, metres; None where none has any."""
        ...

    def statistics(
        self, progress: Progress | None = None, *, pixels: int | None = None
    ) -> BandStatistics:
        """Statistics of each band over its valid pixels, or over a sample of about `pixels`."""
        ...

    def fingerprint(self, *, pixels: int | None = None) -> str:
        """Another one wherever `statistics` might be others."""
        ...

    def check(self, scheme: ClassScheme, progress: Progress | None = None) -> None:
        """Make sure that its labels can be learned from or scored with.

        Raises:
            DataError: for labels that cannot be read or do not fit the class table.
        """
        ...


class Scored(Protocol):
    """Labelled samples that cover imagery once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sample]: ...

    def __getitem__(self, number: int, /) -> Sample: ...


Part = TypeVar("Part", bound=Imagery, covariant=True)  # noqa: PLC0105


@dataclass(frozen=True)
class Place(Generic[Part]):
    """A domain's imagery cut into the part to train on and the part kept apart.

    Attributes:
        training: never shares a pixel with `validation`.
        validation: None where nothing is kept.
    """

    training: Part
    validation: Part | None


@dataclass(frozen=True)
class Places(Generic[Part]):
    """Both domains of a run."""

    source: Place[Part]
    target: Place[Part]

    @property
    def bands(self) -> int:
        """Bands of a sample, the same in both domains."""
        return len(self.source.training.bands)

    def labelled(self) -> list[Part]:
        """The parts whose labels are used: the source's, and the target's validation part."""
        parts = [self.source.training, self.source.validation, self.target.validation]
        return [part for part in parts if part is not None and part.labelled]

    def scored(self) -> dict[DomainName, Part]:
        """The validation part of each domain that has labels to score it with."""
        both: dict[DomainName, Part | None] = {
            "source": self.source.validation,
            "target": self.target.validation,
        }
        return {name: part for name, part in both.items() if part is not None and part.labelled}
