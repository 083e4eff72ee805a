"""Samples of the source that look like samples of the target, drawn from its training part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.data.stream import SampleSource
from rsadapt.data.style import Transform
from rsadapt.geo.normalise import Normaliser


class Styling:
    """Gives images of the source the look of the target; its labels are nowhere in sight.

    It works on values as files hold them, before images are standardised and augmented: after
    that, noise or blur would be matched away, and a turned window's empty corners would count.

    Two regions may hold other units, such as reflectance times 10000 beside numbers of 11 bits. So
    an image is first brought to the target's, by the factor and offset between the domains'
    normalisers, which do nothing where one standardises both. Histograms and band-wise moments do
    not heed that; without it, though, a Fourier window would take the target's low frequencies in
    one unit and leave the source's high ones in another.

    What comes out is a target image, as far as values go, and so is standardised as target images
    are (`normalise`), in training, evaluation and prediction alike. The source's normaliser would
    put a value that both domains share at two places, and undo what was won.

    Args:
        looks: samples of the target in its own units: number g lends its look to the source's
            sample g, so that this is a function of (seed, g) too.
        transform: gives an image the look of another.
        source: how the source's images are standardised.
        target: how the target's are.
    """

    def __init__(
        self, looks: SampleSource, transform: Transform, *, source: Normaliser, target: Normaliser
    ) -> None:
        self.looks, self.transform = looks, transform
        self.source, self.normalise = source, target

    def __call__(
        self, values: NDArray[Any], valid: NDArray[np.bool_], number: int
    ) -> NDArray[np.floating[Any]]:
        """Change an image.

        Args:
            values: of the source's sample, [bands, height, width], any real type.
            valid: bool [height, width].
            number: of the sample.

        Returns:
            The image in the target's units, whatever its invalid pixels come to.

        Raises:
            DataError, MissingFileError: as the target's samples do.
        """
        look = self.looks[number]
        return self.transform(
            self._in_target_units(values), valid, look.image.numpy(), look.valid.numpy()
        )

    def _in_target_units(self, values: NDArray[Any]) -> NDArray[Any]:
        if self.source == self.normalise:
            return values
        precise = np.result_type(values.dtype, np.float32)
        ours, our_std, theirs, their_std = (
            np.asarray(numbers, precise)[:, np.newaxis, np.newaxis]
            for each in (self.source, self.normalise)
            for numbers in (each.mean, each.std)
        )
        return np.asarray((values - ours) * (their_std / our_std) + theirs)
