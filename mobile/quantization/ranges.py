"""The ranges of a model's tensors, as a record."""

import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mobile.record import Count, Record, table, write_file


@dataclass(frozen=True)
class Ranges(Record, Mapping):
    """Smallest and largest value that each tensor must hold; a mapping of name to (low, high).

    Args:
        ranges: Tensor name to (low, high).
        method: How they were found: `minmax`, `percentile`, `mse`, ...
        images: How many images they were found on.

    >>> Ranges({"conv": (0.0, 6.0)})["conv"]
    (0.0, 6.0)
    """

    ranges: dict[str, tuple[float, float]]
    method: str = "mse"
    images: Count = 0

    def __post_init__(self):
        clean = {}
        for name, pair in self.ranges.items():
            if np.shape(pair) != (2,) or np.asarray(pair).dtype.kind not in "iuf":
                raise ValueError(
                    f"A range must be a pair (low, high). Received: {pair!r} for tensor {name!r}. "
                    "Find ranges with mobile.calibrate."
                )
            low, high = pair
            if not (np.isfinite(low) and np.isfinite(high) and low <= high):
                raise ValueError(
                    f"A range must be finite, its low end first. Received: ({low}, {high}) for "
                    f"tensor {name!r}. Look for NaN or infinity in the model on these images."
                )
            clean[name] = (float(low), float(high))
        object.__setattr__(self, "ranges", clean)

    @classmethod
    def of(cls, ranges: Mapping[str, tuple[float, float]]) -> "Ranges":
        """Return `Ranges` as they are, and make them of any other mapping, checked alike."""
        if isinstance(ranges, cls):
            return ranges
        if not isinstance(ranges, Mapping):
            raise TypeError(
                "`ranges` must map the name of each tensor to (low, high). Received: "
                f"{type(ranges).__name__}. Find them with mobile.calibrate."
            )
        return cls(dict(ranges), method="given")

    def __getitem__(self, name):
        return self.ranges[name]

    def __iter__(self):
        return iter(self.ranges)

    def __len__(self):
        return len(self.ranges)

    def updated(self, ranges: Mapping[str, tuple[float, float]]) -> "Ranges":
        """Return a copy with the given ranges put over the present ones."""
        return Ranges({**self.ranges, **ranges}, self.method, self.images)

    def save(self, path: str | os.PathLike) -> pathlib.Path:
        """Write JSON and return its path."""
        return write_file(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Ranges":
        """Read what `save` wrote."""
        return cls.from_json(pathlib.Path(path).read_text())

    def __str__(self):
        return table(("tensor", "low", "high"), [(n, *r) for n, r in self.ranges.items()])
