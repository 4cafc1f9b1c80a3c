"""How finely each channel of a kernel is rounded.

The int8 step of a channel need not be a 127th of its largest value: one that is 90 or 113 steps
long may round the others better. Channels that lay on an integer grid before, such as those of a
network trained quantisation-aware elsewhere, find it again and are stored without error, unless
they were more than 127 steps long.
"""

from __future__ import annotations

import numpy as np

FINEST = 127
COARSEST = 64  # twice as coarse as 127: coarser grids are among the finer ones
_SAMPLES = 512  # values of a channel that choose its grid


def levels(kernel: np.ndarray, axis: int) -> np.ndarray:
    """By channel, how many int8 steps long its largest value is to be.

        n = argmin over 64 .. 127 of sum (round(k / s) * s - k)**2,  s = max|k| / n

    Args:
        kernel: An array.
        axis: Where its output channels are.

    Returns:
        Integers, one a channel; 127 for a channel of zeros.
    """
    values = np.moveaxis(np.asarray(kernel, np.float32), axis, -1)
    values = values.reshape(-1, values.shape[-1])
    largest = np.abs(values).max(axis=0)
    shares = values[:: -(-len(values) // _SAMPLES)] / np.where(largest > 0, largest, 1)
    best, least = np.full(len(largest), FINEST), np.full(len(largest), np.inf)
    for count in range(FINEST, COARSEST - 1, -1):
        error = np.square(np.round(shares * count) / count - shares).sum(axis=0)
        best, least = np.where(error < least, count, best), np.minimum(error, least)
    return best
