"""The new model in the making: its layers and their names, and a convolution as it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from mobile.lowering.kernel_math import folded_columns, merged_groups
from mobile.lowering.targets import Target
from mobile.lowering.values import Linear

_L = keras.layers
_CHANNELS_LAST = {
    _L.Conv2D, _L.DepthwiseConv2D, _L.Conv2DTranspose, _L.MaxPooling2D, _L.AveragePooling2D,
    _L.GlobalAveragePooling2D, _L.GlobalMaxPooling2D, _L.ZeroPadding2D, _L.Cropping2D,
    _L.UpSampling2D, _L.Resizing,
}  # fmt: skip


class NewModel:
    """The layers that were emitted so far, for a target.

    Args:
        target: What they are for.
    """

    def __init__(self, target: Target):
        self.target = target
        self._names: set[str] = set()  # given to layers of the new model
        self._own: set[str] = set()  # of the old model
        self._layer_of: dict[int, str] = {}  # id of a tensor of the new model, which keeps it
        self._layers: dict[str, keras.Layer] = {}  # of the new model, by name

    def emit(
        self,
        kind: type[keras.Layer],
        *tensors: keras.KerasTensor,
        name: str,
        weights: Sequence[np.ndarray] = (),
        **config: Any,
    ) -> keras.KerasTensor:
        """Add one layer to the new model and return its output."""
        unique = self._unique(name)
        if kind in _CHANNELS_LAST:
            config["data_format"] = "channels_last"
        layer = kind(name=unique, dtype="float32", **config)
        y = layer(tensors[0] if len(tensors) == 1 else list(tensors))
        if weights:
            layer.set_weights([np.asarray(w, "float32") for w in weights])
        self._layer_of[id(y)], self._layers[unique] = unique, layer
        return y

    def _unique(self, name):
        """`name`, or that with the first number that no layer has, of the old model or the new."""
        unique, number = name, 0
        while unique in self._names or (number and unique in self._own):
            number += 1
            unique = f"{name}_{number}"
        self._names.add(unique)
        return unique

    def concatenate(self, tensors: list[keras.KerasTensor], name: str) -> keras.KerasTensor:
        """Join channels, by as many operators as the target's limit of inputs takes."""
        most = self.target.most_concatenated
        while len(tensors) > most:
            tensors = [
                self.emit(_L.Concatenate, *tensors[:most], name=f"{name}_part", axis=-1),
                *tensors[most:],
            ]
        return self.emit(_L.Concatenate, *tensors, name=name, axis=-1)

    def emit_linear(self, p: Linear) -> keras.KerasTensor:
        """Add a convolution, in the form that suits the target, and return its output."""
        folded = self._folded(p)
        if folded is not None:
            return folded
        size: dict[str, Any] = {"kernel_size": p.kernel.shape[:2]}
        if p.kind is _L.DepthwiseConv2D:
            size["depth_multiplier"] = p.kernel.shape[3]
        else:
            size["filters"] = len(p.bias)
        kernel, options = p.kernel, p.options
        if options.get("groups", 1) > 1:
            kernel, groups = merged_groups(kernel, options["groups"], self.target.group_width)
            options = options | {"groups": groups}
        initial = "depthwise_initializer" if p.kind is _L.DepthwiseConv2D else "kernel_initializer"
        return self.emit(
            p.kind, p.source, name=p.name, activation=p.activation, weights=(kernel, p.bias),
            trainable=p.trains, **size, **options, **{initial: "zeros"},
        )  # fmt: skip

    def _folded(self, p: Linear) -> keras.KerasTensor | None:
        """The convolution `p` of few channels, by neighbouring columns; else None."""
        _, height, width, channels = p.source.shape
        strides, padding = p.options.get("strides", (1, 1)), p.options.get("padding", "valid")
        plain = p.kind is _L.Conv2D and p.options.get("dilation_rate", (1, 1)) == (1, 1)
        if not plain or p.options.get("groups", 1) > 1 or None in (height, width):
            return None
        if channels <= 4 and strides[1] > 1:
            most = self.target.folded_columns
        elif p.kernel.shape[:2] == strides == (1, 1) and len(p.bias) <= 16:
            most = self.target.narrow_width // channels
        else:
            return None
        if (found := folded_columns(p.kernel, strides[1], padding, width, most)) is None:
            return None
        kernel, factor = found
        shape = (height, width // factor, channels * factor)
        source = self.emit(_L.Reshape, p.source, name=f"{p.name}_fold", target_shape=shape)
        options = p.options | {"strides": (strides[0], 1)}
        bias = np.tile(p.bias, kernel.shape[3] // len(p.bias))
        y = self.emit_linear(replace(p, source=source, kernel=kernel, bias=bias, options=options))
        shape = (y.shape[1], -1, len(p.bias))
        if y.shape[-1] == shape[-1]:
            return y
        return self.emit(_L.Reshape, y, name=f"{p.name}_unfold", target_shape=shape)

    def name_outputs(self, outputs: Sequence[keras.KerasTensor], model: keras.Model) -> None:
        """Call the last layers as the model's, whose losses and readers go by these names."""
        wanted = getattr(model, "output_names", [model.layers[-1].name])
        done = set()
        for tensor, name in zip(outputs, wanted, strict=True):
            last = self._layers.get(self._layer_of[id(tensor)])
            if last is None or last.name in done or name in done:
                continue  # an input, or one of several outputs of a layer
            done.add(name)
            if last.name != name:
                if before := self._layers.get(name):
                    before.name = self._unique(f"{name}_{type(before).__name__.lower()}")
                    self._layers[before.name] = before
                last.name = name
                self._layers[name] = last
