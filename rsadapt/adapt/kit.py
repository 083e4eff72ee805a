"""What a method may make its own networks of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn
from torch.optim import Optimizer

from rsadapt.adapt.teacher import Teacher

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Remembered(Protocol):
    """What a checkpoint can hold: tensors and plain values, out and in again."""

    def place(self, fabric: Fabric) -> None:
        """Move to where training computes, and compute as precisely."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Restore `state_dict`."""
        ...


@dataclass(frozen=True)
class Trained:
    """A network that a method trains beside the segmentation network, and how.

    Attributes:
        network: fresh; its name among the method's others is its name in checkpoints.
        optimiser: of its parameters. Its rates fall on the schedule of the network's.
    """

    network: nn.Module
    optimiser: Optimizer


class MakesDiscriminator(Protocol):
    """Makes fully convolutional domain discriminators."""

    def __call__(self, channels: int, *, width: int, reductions: int = 5) -> nn.Module:
        """See `rsadapt.nets.discriminator.Discriminator`."""
        ...


class MakesPyramidDiscriminator(Protocol):
    """Makes domain discriminators that judge every location."""

    def __call__(self, channels: int, *, width: int, rates: Sequence[int]) -> nn.Module:
        """See `rsadapt.nets.pyramid_discriminator.PyramidDiscriminator`."""
        ...


@dataclass(frozen=True)
class Kit:
    """What a run has when its method makes its own networks, and what makes them.

    Attributes:
        network: the segmentation network, fresh; weights that a run starts from come later.
        classes: of the class table.
        channels: of the features behind each level.
        stride: pixels between two cells of logits and features.
        sides: the shorter side of training images in pixels, by the field that decides it.
        discriminator: makes domain discriminators.
        pyramid_discriminator: makes those that judge every location.
        classifier: makes one like the main level's, of the branches in use, and its optimiser.
        teacher: makes a network like the segmentation network, to follow it.
    """

    network: nn.Module
    classes: int
    channels: tuple[int, ...]
    stride: int
    sides: Mapping[str, int]
    discriminator: MakesDiscriminator
    pyramid_discriminator: MakesPyramidDiscriminator
    classifier: Callable[[], Trained]
    teacher: Callable[[], Teacher]
