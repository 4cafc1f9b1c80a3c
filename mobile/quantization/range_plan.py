"""Which tensors of a lowered model carry a range, and which ranges are not for data to decide.

A range is the pair (lowest, highest) real value that the 256 int8 levels of a tensor span. The
plan knows the model's graph and what integer runtimes do with it; it does not know how ranges
are found (calibration) or trained (the engines).

- Every convolution, sum, product, mean and concatenation has a range of its own, taken after
  its activation. What the runtime fuses into one operator has none inside.
- Pooling by maximum, padding, cropping, resizing and reshaping keep their input's range.
- The inputs of a concatenation and its output are one range: the int8 kernel copies bytes.
- Gates and probabilities have the range of their function: sigmoid (0, 255/256), relu6 (0, 6),
  tanh (-1, 127/128), softmax (0, 255/256).
- Kernels are symmetric and per output channel; the engines take them as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_se.graph import trace

FIXED_RANGES = {
    "sigmoid": (0.0, 255 / 256),
    "tanh": (-1.0, 127 / 128),
    "softmax": (0.0, 255 / 256),
    "relu6": (0.0, 6.0),
}
WEIGHTED = {"Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense"}
_ARITHMETIC = {"Add", "Subtract", "Multiply", "Shift", "ScaleMap"}
_OWN_RANGE = (
    WEIGHTED
    | _ARITHMETIC
    | {"ReLU", "LeakyReLU", "Rescaling", "Activation", "Softmax"}
    | {"GlobalAveragePooling2D", "Mean", "Concatenate"}
)
_INPUTS_RANGE = {
    "MaxPooling2D",
    "GlobalMaxPooling2D",
    "AveragePooling2D",
    "ZeroPadding2D",
    "Cropping2D",
} | {"UpSampling2D", "Resizing", "Reshape", "Flatten", "Permute", "Slice", "DepthToSpace"}
# The integer kernels compute these with an output scale that is part of their definition.
_KERNEL_DECIDES = {"sigmoid", "tanh", "softmax"}


@dataclass(frozen=True)
class Point:
    """A tensor that carries a range: the output of layer `name`.

    `group` names the range: points of one group share it. `fixed` is the range where no data
    may move it. `is_input` marks the model's (preprocessed) inputs.
    """

    name: str
    group: str
    fixed: tuple[float, float] | None = None
    is_input: bool = False


@dataclass(frozen=True)
class RangePlan:
    """The points of a lowered model in the order of its graph, and what each layer reads.

    `reads` maps a layer to the points of its inputs; `inputs` maps an input layer to the point
    that stands for it (itself, or the Rescaling directly on it).
    """

    points: Mapping[str, Point]
    reads: Mapping[str, tuple[str, ...]]
    inputs: Mapping[str, str]

    @property
    def free(self) -> list[str]:
        """The points whose range must come from data."""
        return [p.name for p in self.points.values() if p.fixed is None]


def read_plan(model: keras.Model) -> RangePlan:
    """Read the plan off a lowered model, or off the quantisation-aware one made of it.

    Raises:
        ValueError: the model holds a layer that lowering does not produce, or uses one twice.
    """
    layers, parents, outputs = _edges(model)
    consumers = {name: [c for c in layers if name in parents[c]] for name in layers}

    points: dict[str, Point] = {}
    source: dict[str, str] = {}  # layer -> the point whose range its output has
    reads: dict[str, tuple[str, ...]] = {}
    inputs: dict[str, str] = {}
    group = _Groups()
    for name, layer in layers.items():
        reads[name] = tuple(source[p] for p in parents[name])
        kind = _kind(layer)
        if kind == "InputLayer":
            preprocessing = [c for c in consumers[name] if _kind(layers[c]) == "Rescaling"]
            # A Rescaling directly on the input is preprocessing: the int8 input comes after it.
            inputs[name] = source[name] = preprocessing[0] if preprocessing else name
            if not preprocessing:
                points[name] = Point(name, name, is_input=True)
        elif name in inputs.values():
            points[name] = Point(name, name, _pixel_range(layer), is_input=True)
            source[name] = name
        elif kind in _INPUTS_RANGE:
            source[name] = reads[name][0]
        elif kind in _OWN_RANGE:
            source[name] = name
            if not _fused_relu(name, layers, consumers, outputs):
                points[name] = Point(name, name, FIXED_RANGES.get(activation_of(layer)))
            if kind == "Concatenate":
                for read in reads[name]:
                    _refuse_fixed_by_kernel(layer, read, layers)
                    group.join(name, read)
        else:
            raise ValueError(
                f"Every layer of a lowered model needs a quantisation rule. Received: layer "
                f"{name!r} of class {kind}. Call `mobile.lower(model)` first; if it came from "
                "there, report the layer."
            )
    return RangePlan(group.apply(points), reads, inputs)


def activation_of(layer: keras.layers.Layer) -> str:
    """The name of the function that ends a layer: 'relu6', 'sigmoid', ..., or 'linear'."""
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    if isinstance(layer, keras.layers.ReLU):
        return "relu6" if layer.max_value == 6 else "relu"
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def input_range(low: float, high: float) -> tuple[float, float]:
    """The smallest range over (low, high) with a whole zero point.

        n = round(255 * -low / (high - low));  S = max(-low / n, high / (255 - n))
        range = (-n * S, (255 - n) * S)

    Pixels then map to levels without ties, and both engines to the same ones.

    >>> input_range(-1.0, 1.0)  # 128 levels below zero, 127 above
    (-1.0078740157480315, 1.0)
    """
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    zero = round(255 * -low / (high - low))
    step = max(-low / zero if zero else 0.0, high / (255 - zero) if zero < 255 else 0.0)
    return -zero * step, (255 - zero) * step


def complete(plan: RangePlan, found: Mapping[str, tuple[float, float]]) -> dict:
    """Ranges of all points from those `found` for the free ones.

    Zero is made part of each range, groups get the hull of their members, inputs get a whole
    zero point, and fixed ranges stand as they are.
    """
    missing = [name for name in plan.free if name not in found]
    if missing:
        raise ValueError(
            f"Ranges must name every tensor that needs one. Missing: {missing[:5]} "
            f"({len(missing)} in all). Calibrate the same lowered model that is quantised."
        )
    if unknown := [name for name in found if name not in plan.points]:
        raise ValueError(
            f"Ranges must be of tensors that carry one. Received: {unknown[:5]} ({len(unknown)} in "
            f"all). Known are {', '.join(list(plan.points)[:8])}, ...: leave the others out."
        )
    hulls: dict[str, tuple[float, float]] = {}
    for name, point in plan.points.items():
        low, high = point.fixed or found[name]
        before = hulls.get(point.group, (0.0, 0.0))
        hulls[point.group] = min(before[0], float(low)), max(before[1], float(high))
    ranges = {}
    for name, point in plan.points.items():
        low, high = hulls[point.group]
        if high - low < 1e-6:  # a dead tensor
            high = low + 1e-6
        ranges[name] = input_range(low, high) if point.is_input else (low, high)
    return ranges


def in_float(plan: RangePlan, names: Collection[str]) -> set[str]:
    """The layers that compute in float where the outputs of the layers `names` are not rounded.

    Those are the named layers, all that read their outputs, and what the runtime fuses to either.

    Raises:
        ValueError: A name is no layer whose output carries a range, or is an input.
    """
    known = [name for name, point in plan.points.items() if not point.is_input]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(
            f"`float_layers` must name layers of the lowered model whose output carries a range. "
            f"Received: {', '.join(map(repr, unknown))}. Known are {', '.join(known[:8])}, ...: "
            "mobile.sensitivity lists them all."
        )
    found = {name for name, reads in plan.reads.items() if {name, *reads} & set(names)}
    for relu, reads in plan.reads.items():
        if len(reads) == 1 and reads[0] not in plan.points and {relu, *reads} & found:
            found |= {relu, *reads}
    return found


def lowered_names(model: keras.Model) -> dict[str, str]:
    """What each layer of a quantisation-aware model is called in the lowered one, by its name.

    Fake quantisation is called after the layer whose output it rounds.
    """
    made_by = {id(t): x.name for x in model.layers for t in keras.tree.flatten(x.output)}
    names = {layer.name: layer.name for layer in model.layers}
    for layer in model.layers:
        if _kind(layer) == "FakeQuantize":
            names[layer.name] = names[made_by[id(layer.input)]] = layer.rounded
    return names


def _kind(layer) -> str:
    return type(layer).__name__.removeprefix("Quantized")


def _edges(model):
    """The layers by name in the order of the graph, what each reads, and the model's outputs."""
    graph = trace(model)
    names = lowered_names(model)
    layers = {ref.name: model.get_layer(ref.name) for ref in graph.inputs}
    parents: dict[str, list[str]] = {name: [] for name in layers}
    made_by: dict[Any, str] = {ref: ref.name for ref in graph.inputs}
    for node in graph.nodes:
        name: str = str(node.operation.name)
        if _kind(node.operation) == "FakeQuantize":
            made_by.update(dict.fromkeys(node.outputs, names[name]))
            continue
        name = names.get(name, name)
        if name in layers or node.name != str(node.operation.name):
            raise ValueError(
                f"A lowered model uses each layer once and holds no other model. Received: layer "
                f"{name!r}, used again or nested. Call `mobile.lower(model)` first."
            )
        layers[name] = node.operation
        parents[name] = [made_by[ref] for ref in node.inputs]
        made_by.update(dict.fromkeys(node.outputs, name))
    return layers, parents, {made_by[ref] for ref in graph.outputs}


def _fused_relu(name, layers, consumers, outputs) -> bool:
    """Whether the runtime computes this layer and the ReLU after it as one operator."""
    layer = layers[name]
    arithmetic = _kind(layer) in _ARITHMETIC | WEIGHTED
    alone = len(consumers[name]) == 1 and name not in outputs
    linear = activation_of(layer) == "linear"
    return arithmetic and alone and linear and _is_relu(layers[consumers[name][0]])


def _is_relu(layer) -> bool:
    return isinstance(layer, keras.layers.ReLU) and not layer.negative_slope


def _pixel_range(rescaling: keras.layers.Rescaling) -> tuple[float, float]:
    ends = np.array([np.multiply(p, rescaling.scale) + rescaling.offset for p in (0.0, 255.0)])
    return float(ends.min()), float(ends.max())


def _refuse_fixed_by_kernel(concatenate, read, layers):
    kind = activation_of(layers[read])
    if kind in _KERNEL_DECIDES:
        raise ValueError(
            f"The inputs of a concatenation share one int8 range, and that of a {kind} is fixed "
            f"by its kernel. Received: {kind} layer {read!r} into {concatenate.name!r}. "
            "Multiply the gate into a tensor before concatenating."
        )


class _Groups:
    """Points that share a range (union-find)."""

    def __init__(self):
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        while name in self._parent:
            name = self._parent[name]
        return name

    def join(self, a: str, b: str) -> None:
        a, b = self.find(a), self.find(b)
        if a != b:
            self._parent[b] = a

    def apply(self, points: dict[str, Point]) -> dict[str, Point]:
        members: dict[str, int] = {}
        for name in points:
            members[self.find(name)] = members.get(self.find(name), 0) + 1
        return {
            name: Point(
                name,
                self.find(name),
                # In company a relu6 may use the common range: its kernel clips in any case.
                point.fixed if members[self.find(name)] == 1 else None,
                point.is_input,
            )
            for name, point in points.items()
        }
