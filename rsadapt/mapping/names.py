"""What results are called: no two alike."""

from __future__ import annotations

from collections.abc import Sequence

from rsadapt.errors import OutputExistsError


def refuse_same_names(stems: Sequence[str]) -> None:
    """Make sure that no two scenes or frames write the same files.

    Raises:
        OutputExistsError: where two are called alike.
    """
    for stem in stems:
        if stems.count(stem) > 1:
            raise OutputExistsError(
                f"{stems.count(stem)} scenes are called '{stem}' and would write the same map; "
                f"predict them into folders of their own"
            )
