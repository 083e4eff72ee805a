"""The one normalisation that training, evaluation, prediction and export share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsadapt.errors import ConfigError, ShapeError
from rsadapt.geo.statistics import BandStatistics, constant_bands


@dataclass(frozen=True)
class Normaliser:
    """Bring bands to mean 0 and standard deviation 1, and invalid pixels to 0.

    Attributes:
        mean: what is taken from each band, in the raster's units.
        std: what each band is then divided by, above 0.

    Raises:
        ConfigError: for lists of different length or none, or a deviation that is not above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean:
            raise ConfigError(
                f"expected a mean and a standard deviation for every band, "
                f"found {len(self.mean)} and {len(self.std)}"
            )
        if not np.isfinite(self.mean).all() or not all(0 < std < np.inf for std in self.std):
            raise ConfigError(
                f"expected finite means and standard deviations above 0, "
                f"found {self.mean} and {self.std}"
            )

    def __call__(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Normalise an image.

        Args:
            values: [bands, height, width], any real dtype; invalid pixels may hold anything.
            valid: bool [height, width].

        Returns:
            float32 [bands, height, width], 0 where invalid.

        Raises:
            ShapeError: for another number of bands, or a validity of another size.
        """
        if values.ndim != 3 or len(values) != len(self.mean) or values.shape[1:] != valid.shape:
            raise ShapeError(
                f"expected values [{len(self.mean)}, height, width] with valid [height, width], "
                f"found {values.shape} with {valid.shape}; choose the bands that the mean and the "
                f"standard deviation were taken of"
            )
        precise = np.result_type(values.dtype, np.float32)  # float32 holds 16-bit integers exactly
        mean = np.asarray(self.mean, precise)[:, np.newaxis, np.newaxis]
        std = np.asarray(self.std, precise)[:, np.newaxis, np.newaxis]
        filled = values if valid.all() else np.where(valid, values, mean)
        scaled: NDArray[Any] = np.subtract(filled, mean, dtype=precise, order="C")
        if (
            std != 1
        ).any():  # in place and only where it changes something: memory is what it costs
            scaled /= std
        return scaled.astype(np.float32, copy=False)

    @classmethod
    def from_statistics(cls, statistics: BandStatistics) -> Normaliser:
        """Normalise with a region's statistics; a constant band is centred and not scaled."""
        constant = constant_bands(statistics)
        return cls(
            mean=statistics.mean,
            std=tuple(1.0 if band in constant else std for band, std in enumerate(statistics.std)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain tuples, for checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, table: Mapping[str, Sequence[float]]) -> Normaliser:
        """Rebuild from `to_dict`."""
        return cls(
            mean=tuple(float(mean) for mean in table["mean"]),
            std=tuple(float(std) for std in table["std"]),
        )
