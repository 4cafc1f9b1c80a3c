"""What the walk knows of a tensor: where it is, its pending scale, and what waits to be emitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import keras
import numpy as np

_L = keras.layers


@dataclass
class Linear:
    """A convolution that is not emitted yet."""

    kind: type  # Conv2D, DepthwiseConv2D or Conv2DTranspose
    source: keras.KerasTensor
    kernel: np.ndarray  # as the layer stores it
    bias: np.ndarray
    name: str
    options: dict
    activation: str | None = None  # None, "relu" or "relu6"
    trains: bool = False  # whether a weight in it is trainable

    def scaled(self, gain: np.ndarray | float, offset: np.ndarray | float = 0.0) -> Linear:
        """This convolution with each output times `gain` plus `offset`, by number or channel."""
        kernel_gain = gain
        if self.kind is _L.DepthwiseConv2D and np.ndim(gain):
            kernel_gain = np.reshape(gain, self.kernel.shape[2:])
        elif self.kind is _L.Conv2DTranspose and np.ndim(gain):
            kernel_gain = np.reshape(gain, (-1, 1))
        bias = self.bias * gain + offset
        return replace(self, kernel=self.kernel * kernel_gain, bias=bias)


@dataclass
class Concat:
    """A concatenation of channels that is not emitted yet."""

    parts: list[Value]
    name: str


@dataclass
class Pad:
    """A zero padding that is not emitted yet: a convolution may take it in."""

    source: keras.KerasTensor
    padding: tuple
    name: str


@dataclass
class Preprocess:
    """`input * gain + offset`: what stands between pixels and the network."""

    source: keras.KerasTensor
    gain: np.ndarray | float = 1.0
    offset: np.ndarray | float = 0.0
    name: str = "rescaling"


P = TypeVar("P", Linear, Concat, Pad, Preprocess)


@dataclass
class Value:
    """What the walk knows of one tensor of the old model: the truth is `tensor * scale`."""

    tensor: keras.KerasTensor | None = None
    scale: np.ndarray | float = 1.0  # a number, or one for each channel
    pending: Linear | Concat | Pad | Preprocess | None = None
    flat: bool = False  # stands for (batch, height * width * channels)
    single: bool = True  # read once
    fuses: bool = False  # the operator behind it takes a ReLU in

    @property
    def commutes(self) -> bool:
        """Whether the scale may stand before or behind a ReLU or a maximum: none is negative."""
        return bool(np.all(np.asarray(self.scale) >= 0))

    def waiting(self, kind: type[P]) -> P | None:
        """What is pending, if it is a `kind` that nothing else reads, so that it may be changed."""
        p = self.pending
        return p if isinstance(p, kind) and self.tensor is None and self.single else None

    @property
    def open(self) -> Linear | None:
        """The convolution, if it is one that can still take in an affine function."""
        p = self.waiting(Linear)
        return p if p is not None and p.activation is None else None
