"""An input or output of a file."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile.record import Amount, Record


@dataclass(frozen=True)
class TensorSpec(Record):
    """An input or output of a .tflite: real value = (stored value - zero_point) * scale.

    A `scale` of 0 stands for a tensor that is not quantised.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: Amount = 0.0
    zero_point: int = 0

    def quantize(self, values: Any) -> np.ndarray:
        """Return what the tensor stores for real `values`, rounded half to even and clipped."""
        values = np.asarray(values)
        if not self.scale:
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        stored = np.round(values.astype(np.float64) / self.scale) + self.zero_point
        return np.clip(stored, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, stored: Any) -> np.ndarray:
        """Return the float32 values that the tensor's content stands for."""
        stored = np.asarray(stored)
        if not self.scale:
            return stored.astype(np.float32)
        return ((stored.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)
