"""The encoders that a configuration may name, and what follows from a name alone."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

Anchor = Literal["first", "middle"]

OWN = ("small", "resnet18", "resnet34", "resnet50", "resnet101", "vgg16")
"""This project's, dilated."""


@dataclass(frozen=True)
class Family:
    """Encoders of segmentation-models-pytorch ("mit_b0") or timm ("tu-" and its name) of one kind.

    Attributes:
        names: a pattern of their names, to which a dot and the name of its weights may be added.
        example: one of them.
        anchor: where in its stride a cell is centred: on the first pixel by convolutions of odd
            size with half of it as padding, in the middle by those as wide as they stride.
        batch_norm: whether there is any in them.
    """

    names: str
    example: str
    anchor: Anchor
    batch_norm: bool


FAMILIES = (
    Family(r"mit_b[0-5]", "mit_b0", "first", False),
    Family(r"tu-convnext(v2)?_(?!\w*ols)\w+", "tu-convnext_tiny", "middle", False),
    Family(r"tu-pvt_v2_b[0-5]", "tu-pvt_v2_b0", "first", False),
    Family(r"tu-regnet[xy]_\d+", "tu-regnety_008", "first", True),
    Family(r"tu-resnet(18|34|50|101|152)", "tu-resnet18", "first", True),
)
"""Those whose cells lie where it says, as tests make sure; "ols" stems of ConvNeXt do not."""


def encoder_family(encoder: str) -> Family | None:
    """The family of an encoder, None for this project's own and unknown ones."""
    return next((f for f in FAMILIES if re.fullmatch(rf"{f.names}(\.\w+)?", encoder)), None)


def known_encoder(name: str) -> str:
    """Return the name of an encoder.

    Raises:
        ValueError: for one that is of no kind known.
    """
    found = encoder_family(name)
    if name in OWN or (found is not None and ("." not in name or name.startswith("tu-"))):
        return name
    mit = [f"mit_b{size}" for size in range(6)]
    examples = [one.example for one in FAMILIES[1:]]
    near = difflib.get_close_matches(name, [*OWN, *mit, *examples], 2, 0.5)
    hint = f", did you mean {' or '.join(near)}" if near else ""
    raise ValueError(
        f"expected one of {', '.join(OWN)}, mit_b0 to mit_b5, or one of timm's kinds such as "
        f"{', '.join(examples)}{hint}"
    )


def least_side(encoder: str) -> int:
    """Pixels that the shorter side of an image must have for an encoder of the libraries."""
    return 1 if encoder_family(encoder) is None else 33


def has_batch_norm(encoder: str) -> bool:
    """Whether there is batch norm in an encoder."""
    found = encoder_family(encoder)
    return encoder != "vgg16" if found is None else found.batch_norm
