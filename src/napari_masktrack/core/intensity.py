"""Intensities of any type to three planes of 8 bits."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]

PERCENTILES = (0.5, 99.8)
"""Intensities at these percentiles of a movie become black and white."""

_FLOAT32_GAIN = 1e30


@dataclass(frozen=True)
class Scale:
    """A straight line from intensities to 0-255, as a table where values have at most 16 bits.

    Attributes
    ----------
    low, gain, shift : float
        The result is ``(value - low) * gain + shift``, rounded and clipped.
    table : array, (256,) or (65536,), uint8, or None
        The result for each pattern of bits.
    """

    low: float
    gain: float
    shift: float
    table: Image | None = None

    @classmethod
    def fit(cls, sample: NDArray[Any]) -> "Scale":
        """Take black and white from the percentiles of sampled values.

        Parameters
        ----------
        sample : array, any shape, integer or float
            NaN and infinity are left out.

        Returns
        -------
        Scale
            For values of the sample's type. If only one value was seen, it becomes mid grey.
        """
        values = sample[np.isfinite(sample)].astype(np.float64)
        low, high = map(float, np.percentile(values, PERCENTILES)) if values.size else (0.0, 0.0)
        if low == high and values.size:
            # Few bright pixels on an even ground: the percentiles miss them, the extremes do not.
            low, high = float(values.min()), float(values.max())
        gain = 255 / (high - low) if high > low else inf
        # The second: one unit above the only value that was seen is white, one below is black.
        scale = cls(low, gain, 0.0) if 0 < gain < inf else cls(low, 255.0, 127.5)
        if sample.dtype.kind == "f" or sample.dtype.itemsize > 2:
            return scale
        patterns = np.arange(2 ** (8 * sample.dtype.itemsize)).astype(f"u{sample.dtype.itemsize}")
        table = scale.apply(patterns.view(sample.dtype.newbyteorder("=")))
        return cls(scale.low, scale.gain, scale.shift, table)

    def apply(self, values: NDArray[Any]) -> Image:
        """Scale values.

        Parameters
        ----------
        values : array, any shape, the type of the sample

        Returns
        -------
        array, same shape, uint8
            0 where the value is NaN or infinite.
        """
        if self.table is not None:
            native = values.astype(values.dtype.newbyteorder("="), copy=False)
            return np.take(self.table, native.view(f"u{native.itemsize}"))
        small = values.dtype.kind == "f" and values.itemsize <= 4 and self.gain < _FLOAT32_GAIN
        with np.errstate(over="ignore", invalid="ignore"):
            scaled: NDArray[Any] = values.astype(np.float32 if small else np.float64)
            finite = np.isfinite(scaled)
            scaled -= scaled.dtype.type(self.low)
            scaled *= scaled.dtype.type(self.gain)
            scaled += scaled.dtype.type(self.shift + 0.5)
        np.clip(scaled, 0, 255, out=scaled)
        if not finite.all():
            scaled[~finite] = 0
        return scaled.astype(np.uint8)


def three_planes(planes: Sequence[Image]) -> Image:
    """Join one to three planes to a colour image.

    Parameters
    ----------
    planes : sequence of arrays, (Y, X), uint8
        One is shown in grey; of two, the third plane is their mean.

    Returns
    -------
    array, (Y, X, 3), uint8
    """
    if len(planes) == 2:
        first, second = planes
        planes = first, second, ((first.astype(np.uint16) + second) // 2).astype(np.uint8)
    image = np.empty((*planes[0].shape, 3), np.uint8)
    for i in range(3):
        image[..., i] = planes[i % len(planes)]
    return image
