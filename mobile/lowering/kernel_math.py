"""Arithmetic on kernels: what lets a constant, a padding or a group go into a convolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mobile.lowering.values import Pad

_L = keras.layers


def per_channel(
    gain: float | np.ndarray, offset: float | np.ndarray, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of the depthwise 1x1 convolution that is `x * gain + offset`."""
    kernel = np.broadcast_to(np.asarray(gain, "float64"), (channels,)).reshape(1, 1, channels, 1)
    return kernel.copy(), np.broadcast_to(np.asarray(offset, "float64"), (channels,)).copy()


def times_input(
    kernel: np.ndarray, scale: float | np.ndarray, kind: type[keras.Layer], groups: int
) -> np.ndarray:
    """`kernel` for an input that is to be multiplied by `scale`."""
    if np.ndim(scale) == 0:
        return kernel * scale
    if kind is _L.DepthwiseConv2D:
        return kernel * np.reshape(scale, (-1, 1))
    if kind is _L.Conv2DTranspose:
        return kernel * scale
    by_group = np.repeat(np.reshape(scale, (groups, -1)), kernel.shape[3] // groups, axis=0)
    return kernel * by_group.T  # (in / groups, out)


def merged_padding(pad: Pad, kernel_size: Sequence[int], options: Mapping[str, Any]) -> str | None:
    """The convolution's padding that covers a zero padding before it, or None."""
    if options.get("padding", "valid") != "valid" or options.get("dilation_rate", (1, 1)) != (1, 1):
        return None
    strides = options.get("strides", (1, 1))
    for size, k, stride, given in zip(
        pad.source.shape[1:3], kernel_size, strides, pad.padding, strict=True
    ):
        if size is None:
            return None
        total = max((-(-size // stride) - 1) * stride + k - size, 0)
        if tuple(given) != (total // 2, total - total // 2):
            return None
    return "same"


def merged_groups(kernel: np.ndarray, groups: int, width: int) -> tuple[np.ndarray, int]:
    """A grouped kernel as one of fewer groups, zero where it was cut, and their number.

    Groups are put together, an equal number each, while they read at most `width` channels.

    Args:
        kernel: (height, width, channels / groups, filters).
        groups: Their number.
        width: Channels that a group may read; a wider group stays as it is.
    """
    channels, filters = kernel.shape[2], kernel.shape[3] // groups
    fitting = (n for n in range(1, groups + 1) if groups % n == 0 and n * channels <= width)
    joined = max(fitting, default=1)
    merged = np.zeros((*kernel.shape[:2], channels * joined, kernel.shape[3]), kernel.dtype)
    for group in range(groups):
        inputs = slice((group % joined) * channels, (group % joined + 1) * channels)
        outputs = slice(group * filters, (group + 1) * filters)
        merged[:, :, inputs, outputs] = kernel[:, :, :, outputs]
    return merged, groups // joined


def folded_columns(
    kernel: np.ndarray, stride: int, padding: str, width: int, most: int
) -> tuple[np.ndarray, int] | None:
    """A kernel that reads `factor` neighbouring columns at a time as channels; None if none fits.

    An image `(h, w, c)` reshaped to `(h, w / factor, c * factor)` keeps its bytes in place, and a
    block of columns holds all that some whole output columns read but for the block's neighbours.
    So the convolution gives these output columns as channels, and a reshape parts them again.

    Args:
        kernel: (height, width, channels, filters).
        stride: Of the columns.
        padding: `"same"` or `"valid"`.
        width: Columns of the image.
        most: Columns that may be read as one.

    Returns:
        The new kernel `(height, blocks, channels * factor, filters * columns)` for a stride of one
        block, and `factor`, the largest that fits.
    """
    size, channels = kernel.shape[1:3]
    same = padding == "same"
    columns = -(-width // stride) if same else (width - size) // stride + 1
    left = max((columns - 1) * stride + size - width, 0) // 2 if same else 0
    for factor in range(most // stride * stride, stride - 1, -stride):
        each = factor // stride  # output columns of a block
        if factor == 1 or width % factor or columns % each:
            continue
        before = -(-left // factor)
        after = ((each - 1) * stride + size - 1 - left) // factor
        if same:  # its padding is even, or longer by one on the right
            after = max(before, after)
            before = max(before, after - 1)
        elif width // factor - after != columns // each:
            continue
        folded = np.zeros(
            (kernel.shape[0], before + 1 + after, factor, channels, each, kernel.shape[3])
        )
        for output in range(each):
            for tap in range(size):
                block, column = divmod(output * stride + tap - left, factor)
                folded[:, block + before, column, :, output] = kernel[:, tap]
        return folded.reshape(*folded.shape[:2], factor * channels, -1), factor
    return None


def joined_scales(scales: Sequence[float | np.ndarray], sizes: Sequence[int]) -> float | np.ndarray:
    """The scales of concatenated tensors of so many channels: one number where all are the same.

    >>> joined_scales([0.5, np.array([1.0, 2.0])], [1, 2]).tolist()
    [0.5, 1.0, 2.0]
    """
    if all(np.ndim(s) == 0 and s == scales[0] for s in scales):
        return scales[0]
    return np.concatenate(
        [np.broadcast_to(s, (size,)) for s, size in zip(scales, sizes, strict=True)]
    )
