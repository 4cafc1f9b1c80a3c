"""The walk over a model, and the words that the rules are written in.

The graph is walked once. A tensor of the old model becomes a `Value`: a tensor of the new model
with a pending scale, the truth being `tensor * scale`. Multiplying by a constant changes only
the scale, and the next convolution absorbs it. A convolution is held back as `Linear` until its
value is read, so that BatchNorm, constants and a ReLU can still go into it; `Concat` and `Pad`
wait in the same way. The rules say, by class of layer and operation, what goes where.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_se.graph import Node, Ref, trace
from mobile.lowering import layers as own
from mobile.lowering.kernel_math import joined_scales, merged_padding, per_channel, times_input
from mobile.lowering.new_model import NewModel
from mobile.lowering.registry import opener, rule_for
from mobile.lowering.targets import Target
from mobile.lowering.values import Concat, Linear, Pad, Preprocess, Value
from mobile.lowering.whole_numbers import is_whole, stays_whole

_L = keras.layers


class Lowering(NewModel):
    """One walk over one model; its methods are the words that the rules are written in."""

    def __init__(self, target: Target):
        super().__init__(target)
        self._image_of: dict[int, keras.KerasTensor] = {}  # id of a vector to that in 1x1 pixels
        self._trains = False  # whether the present node has a trainable weight
        self._several = False  # whether the model has several inputs

    def run(self, model: keras.Model) -> keras.Model:
        """Walk `model`; see `lower`."""
        graph = trace(model, opener)
        uses = graph.uses()
        self._own = {node.name for node in graph.nodes}
        self._several = len(graph.inputs) > 1
        inputs: list[Any] = [
            keras.Input(batch_shape=(None, *x.spec.shape[1:]), dtype="float32", name=x.name)
            for x in graph.inputs
        ]
        self._layer_of = {id(x): x.name for x in inputs}
        values = {
            ref: Value(pending=Preprocess(x), single=uses[ref] == 1)
            for ref, x in zip(graph.inputs, inputs, strict=True)
        }
        whole = {ref for ref in graph.inputs if is_whole(ref)}
        for node in graph.nodes:
            if whole.intersection(node.inputs) and stays_whole(node):
                whole.update(node.outputs)
            self._trains = _trains(node)
            args, kwargs = self._given(node, values)
            outputs = rule_for(node.operation).apply(self, node, *args, **kwargs)
            outputs = outputs if isinstance(outputs, list) else [outputs]
            for ref, value in zip(node.outputs, outputs, strict=True):
                values[ref] = replace(value, single=uses[ref] == 1)
                if uses[ref] > 1:
                    self.tensor(values[ref])
        outputs = [self.true(self.unflattened(values[ref])) for ref in graph.outputs]
        self.name_outputs(outputs, model)
        if isinstance(model, keras.Sequential):  # which has one of each, and no structure to tell
            return keras.Model(inputs[0], outputs[0], name=model.name)
        return keras.Model(
            keras.tree.pack_sequence_as(model.input, inputs),
            keras.tree.pack_sequence_as(model.output, outputs),
            name=model.name,
        )

    def _given(self, node: Node, values: dict[Ref, Value]) -> Any:
        return keras.tree.map_structure(
            lambda x: values[x] if isinstance(x, Ref) else x, (node.args, node.kwargs)
        )

    # Emitting

    def tensor(self, v: Value) -> keras.KerasTensor:
        """The new model's tensor of `v`, emitted now if it was pending."""
        if v.tensor is None:
            v.tensor = self._emitted(v)
        return v.tensor

    def _emitted(self, v: Value) -> keras.KerasTensor:
        p = v.pending
        if isinstance(p, Linear):
            if p.activation in (None, "relu") and v.commutes:
                p, v.scale = p.scaled(v.scale), 1.0
            return self.emit_linear(p)
        if isinstance(p, Concat):
            tensors = [self.tensor(part) for part in p.parts]
            sizes = [t.shape[-1] for t in tensors]
            v.scale = v.scale * joined_scales([part.scale for part in p.parts], sizes)
            return self.concatenate(tensors, p.name)
        if isinstance(p, Pad):
            return self.emit(_L.ZeroPadding2D, p.source, name=p.name, padding=p.padding)
        assert p is not None  # a value without a tensor waits for one
        if np.all(p.gain == 1) and np.all(p.offset == 0):
            return p.source
        if self._several and len(p.source.shape) in (2, 4):  # who feeds it scales one input only
            affine = per_channel(p.gain, p.offset, p.source.shape[-1])
            y = self.linear(Value(p.source), *affine, p.name, trains=False)
            return self.tensor(self.unflattened(y))
        config: dict[str, Any] = {"scale": _plain(p.gain), "offset": _plain(p.offset)}
        return self.emit(_L.Rescaling, p.source, name=p.name, **config)

    def true(self, v: Value) -> keras.KerasTensor:
        """The tensor of `v` with a scale of 1, through one multiplication if it must be."""
        t = self.tensor(v)
        if np.any(np.asarray(v.scale) != 1):
            name = f"{self._layer_of[id(t)]}_scale"
            # A Rescaling on an input would be taken for preprocessing, whoever else reads that.
            of_input = self._layer_of[id(t)] not in self._layers and len(t.shape) in (2, 4)
            if not of_input and (np.ndim(v.scale) == 0 or np.ptp(v.scale) == 0):
                t = self.emit(_L.Rescaling, t, name=name, scale=float(np.ravel(v.scale)[0]))
            else:
                ones = self.linear(v, *per_channel(1.0, 0.0, t.shape[-1]), name, trains=False)
                t = self.tensor(ones if v.flat else self.unflattened(ones))
            v.tensor, v.scale = t, 1.0
        return t

    def adopt(self, v: Value, scale: float | np.ndarray) -> keras.KerasTensor:
        """The tensor of `v` with the given scale, absorbed into its convolution if possible."""
        if linear := self._absorbing(v):
            v.pending, v.scale = linear.scaled(v.scale / scale), scale
            v.tensor = self.emit_linear(v.pending)
        t = self.tensor(v)
        return t if np.all(v.scale == scale) else self.true(v)

    def _absorbing(self, v: Value) -> Linear | None:
        linear = v.waiting(Linear)
        return linear if linear and linear.activation != "relu6" and v.commutes else None

    def uniform(self, v: Value) -> Value:
        """`v` with one scale for all channels."""
        if np.ndim(v.scale) or isinstance(v.pending, Concat):
            self.tensor(v)
        if np.ndim(v.scale):
            self.true(v)
        return v

    def unflattened(self, v: Value) -> Value:
        """`v` with a tensor of the rank it stands for."""
        if not v.flat:
            return v
        v = self.uniform(v)
        t = self.tensor(v)
        name = f"{self._layer_of[id(t)]}_flat"
        y = self.emit(_L.Reshape, t, name=name, target_shape=(int(np.prod(t.shape[1:])),))
        if t.shape[1:3] == (1, 1):
            self._image_of[id(y)] = t
        return Value(y, v.scale)

    # The words of the rules

    def image(self, v: Value, name: str) -> Value:
        """`v`, where it is a vector, as an image of one pixel."""
        t = self.tensor(v)
        if len(t.shape) != 2:
            return v
        if (known := self._image_of.get(id(t))) is not None:
            return Value(known, v.scale, flat=True)
        t = self.emit(_L.Reshape, t, name=f"{name}_image", target_shape=(1, 1, t.shape[-1]))
        return Value(t, v.scale, flat=True)

    def alike(self, values: list[Value], name: str) -> list[Value]:
        """`values` with tensors that combine as what they stand for does: see `Value.flat`."""
        spaces = [self._space(v) for v in values if v.flat]
        if any(space != (1, 1) for space in spaces):
            if len(spaces) == len(values) and len(set(spaces)) == 1:
                return values
            return [self.unflattened(v) for v in values]
        return [self.image(v, name) for v in values] if spaces else values

    def _space(self, v: Value) -> tuple[int, ...]:
        """Height and width of the tensor of a flat value, whether it is emitted or not."""
        linear = v.pending if v.tensor is None else None
        if not isinstance(linear, Linear):
            return tuple(self.tensor(v).shape[1:3])
        sizes = zip(linear.source.shape[1:3], linear.kernel.shape[:2], strict=True)
        return tuple(size - window + 1 for size, window in sizes)  # each lies inside, at stride 1

    def _channels(self, v: Value) -> int:
        if isinstance(v.pending, Linear) and v.tensor is None:
            return len(v.pending.bias)
        return self.tensor(v).shape[-1]

    def linear(
        self,
        v: Value,
        kernel: np.ndarray,
        bias: np.ndarray,
        name: str,
        kind: type[keras.Layer] = _L.DepthwiseConv2D,
        trains: bool | None = None,
        **options: Any,
    ) -> Value:
        """A convolution of `v`; its scale goes into the kernel. It trains as the node does."""
        if pad := v.waiting(Pad):
            merged = merged_padding(pad, kernel.shape[:2], options)
            if merged:
                options["padding"] = merged
                v = Value(pad.source, v.scale)
        v = self.image(v, name)
        source = self.tensor(v)
        if len(source.shape) != 4:
            raise ValueError(
                f"A convolution, and a constant of each channel becomes one, must read an image. "
                f"Received: shape {source.shape} at {name!r}. Reshape it to (height, width, "
                f"channels) before, and back behind."
            )
        kernel = times_input(kernel, v.scale, kind, options.get("groups", 1))
        trains = self._trains if trains is None else trains
        linear = Linear(kind, source, kernel, bias, name, options, trains=trains)
        return Value(pending=linear, flat=v.flat)

    def affine(
        self, v: Value, gain: float | np.ndarray, offset: float | np.ndarray, name: str
    ) -> Value:
        """`v * gain + offset`: each a number, or one a channel (of a vector: one an element)."""
        if p := v.waiting(Preprocess):
            p = replace(p, gain=p.gain * gain, offset=p.offset * gain + offset, name=name)
            return replace(v, pending=p)
        size = max(np.size(gain), np.size(offset))
        if size > 1 and size != self._channels(v):
            v = self.unflattened(v)
        if linear := v.open:
            linear = linear.scaled(v.scale).scaled(gain, offset)
            linear = replace(linear, trains=linear.trains or self._trains)
            return Value(pending=linear, flat=v.flat)
        if np.all(np.asarray(offset) == 0) and (np.ndim(gain) or gain >= 0):
            return replace(v, scale=v.scale * gain)
        if np.ndim(gain) == 0 and np.ndim(offset) == 0 and gain > 0:
            t = self.emit(own.Shift, self.true(v), name=name, value=float(offset / gain))
            return Value(t, gain, flat=v.flat, fuses=True)
        channels = self.tensor(v).shape[-1]
        return self.linear(v, *per_channel(gain, offset, channels), name)

    def relu(self, v: Value, name: str, six: bool = False) -> Value:
        """ReLU or ReLU6, taken in by the operator before it if that is possible."""
        activation = "relu6" if six else "relu"
        if linear := v.open:
            linear = replace(linear.scaled(v.scale), activation=activation)
            return replace(v, pending=linear, scale=1.0)
        concat = v.waiting(Concat)
        if concat and np.ndim(v.scale) == 0:
            parts = [replace(part, scale=part.scale * v.scale) for part in concat.parts]
            parts = [self.relu(part, name, six) for part in parts]
            return replace(v, pending=Concat(parts, concat.name), scale=1.0)
        t = self.tensor(v)
        taken_in = self.target.lone_relu or (v.fuses and v.single)
        if six or not v.commutes:
            if np.ndim(v.scale) and not self.target.lone_relu:
                taken_in = False  # the convolution below takes the scale in as well
            else:
                t = self.true(v)
        if taken_in:
            t = self.emit(_L.ReLU, t, name=name, max_value=6.0 if six else None)
            return Value(t, v.scale, flat=v.flat)
        ones = self.linear(v, *per_channel(1.0, 0.0, t.shape[-1]), name)
        return self.relu(ones, name, six)

    def add(self, values: list[Value], name: str, subtract: bool = False) -> Value:
        """Sum of tensors (or the difference of two) at one common scale."""
        values = self.alike(values, name)
        fixed = [v.scale for v in values if not self._absorbing(v)]
        common = fixed[0] if fixed and all(np.array_equal(s, fixed[0]) for s in fixed) else 1.0
        if np.any(np.asarray(common) <= 0) or np.ndim(common):
            common = 1.0
        total, *rest = (self.adopt(v, common) for v in values)
        if any(np.any(v.scale != common) for v in values):  # one could not take it
            total, *rest = (self.true(v) for v in values)
        for t in rest:
            total = self.emit(_L.Subtract if subtract else _L.Add, total, t, name=name)
        flat = all(v.flat for v in values)
        return Value(total, values[0].scale, flat=flat, fuses=True)

    def multiply(self, values: list[Value], name: str) -> Value:
        """Product of tensors; their scales multiply."""
        values = self.alike(values, name)
        total, scale = self.tensor(values[0]), values[0].scale
        for v in values[1:]:
            total = self.emit(_L.Multiply, total, self.tensor(v), name=name)
            scale = scale * v.scale
        return Value(total, scale, flat=all(v.flat for v in values), fuses=True)

    def through(self, v: Value, kind: type[keras.Layer], name: str, **config: Any) -> Value:
        """A layer that commutes with a positive scale of each channel."""
        if not v.commutes:
            self.true(v)
        return Value(self.emit(kind, self.tensor(v), name=name, **config), v.scale, flat=v.flat)


def _trains(node):
    weights = getattr(node.operation, "trainable_variables", ())
    given = keras.tree.flatten((node.args, node.kwargs))  # of a layer that was opened
    return bool(weights) or any(isinstance(x, keras.Variable) and x.trainable for x in given)


def _plain(x):
    return float(x) if np.ndim(x) == 0 else [float(value) for value in np.ravel(x)]
