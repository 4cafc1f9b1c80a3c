"""Pooling, padding, resizing, and everything that only moves elements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import keras
import numpy as np

from mobile.lowering import layers as own
from mobile.lowering.registry import rule, settings_of, unsupported
from mobile.lowering.values import Concat, Pad, Value

if TYPE_CHECKING:
    from mobile.lowering.walk import Lowering  # which asks the rules

_L = keras.layers

# Layers that act in training only, whatever their settings.
OF_TRAINING = [
    _L.Dropout, _L.SpatialDropout2D, _L.GaussianNoise, _L.GaussianDropout, _L.AlphaDropout,
    _L.ActivityRegularization, _L.RandomFlip, _L.RandomRotation, _L.RandomZoom,
    _L.RandomTranslation, _L.RandomContrast, _L.RandomBrightness,
]  # fmt: skip
for _kind in OF_TRAINING:
    rule(_kind, reads=tuple(settings_of(_kind)))(lambda low, node, v, *_, **__: v)


@rule(_L.Identity, "Identity", "StopGradient", "ConvertToTensor", "Copy", "Array", "Cast")
def _identity(low, node, v, *_, **__):
    dtype = keras.backend.standardize_dtype(node.outputs[0].spec.dtype)
    came_in = keras.backend.standardize_dtype(node.inputs[0].spec.dtype)
    if dtype != came_in and not keras.backend.is_float_dtype(dtype):
        raise unsupported(node, f"a cast from {came_in} to {dtype}", "Round before the model.")
    return v


# Pooling

_POOLING = ("pool_size", "strides", "padding")


@rule(_L.GlobalAveragePooling2D, reads=("keepdims",))
def _global_average(low, node, v):
    return mean(low, v, node.name, node.operation.keepdims)


def mean(low: Lowering, v: Value, name: str, keepdims: bool) -> Value:
    """The squeeze: mean over both axes of space, kept with length 1."""
    if low.target.mean_by_axis:
        t = low.emit(own.Mean, low.tensor(v), name=f"{name}_rows", axis=1)
        t = low.emit(own.Mean, t, name=name, axis=2)
    else:
        t = low.emit(_L.GlobalAveragePooling2D, low.tensor(v), name=name, keepdims=True)
    return Value(t, v.scale, flat=not keepdims)


@rule(own.Mean, reads=("axis",))
def _mean_layer(low, node, v):
    axis, v = node.operation.axis, low.uniform(low.unflattened(v))
    return Value(low.emit(own.Mean, low.tensor(v), name=node.name, axis=axis), v.scale)


@rule(_L.GlobalMaxPooling2D, reads=("keepdims",))
def _global_max(low, node, v):
    y = low.through(v, _L.GlobalMaxPooling2D, node.name, keepdims=True)
    return Value(y.tensor, y.scale, flat=not node.operation.keepdims)


@rule("Mean", reads=("axis", "keepdims"))
def _mean(low, node, v):
    axes, keepdims = _axes(node), node.operation.keepdims
    if _rank(node) == 4 and axes == [1, 2] and not v.flat:
        return mean(low, v, node.name, keepdims)
    if not keepdims:
        raise unsupported(node, f"axis={axes} without keepdims", "Pass keepdims=True.")
    t = low.true(low.unflattened(v))
    return Value(low.emit(own.Mean, t, name=node.name, axis=tuple(axes)))


@rule("Max", reads=("axis", "keepdims"))
def _max(low, node, v):
    axes, keepdims = _axes(node), node.operation.keepdims
    if _rank(node) != 4 or axes != [1, 2] or v.flat:
        raise unsupported(node, f"axis={axes}", "Take the maximum over height and width.")
    y = low.through(v, _L.GlobalMaxPooling2D, node.name, keepdims=True)
    return Value(y.tensor, y.scale, flat=not keepdims)


def _rank(node):
    return len(node.inputs[0].spec.shape)


def _axes(node):
    axis, rank = node.operation.axis, _rank(node)
    axes = range(rank) if axis is None else np.ravel(axis)
    return sorted(int(a) % rank for a in axes)


@rule(_L.MaxPooling2D, reads=_POOLING)
def _max_pool(low, node, v):
    layer = node.operation
    config = dict(pool_size=layer.pool_size, strides=layer.strides, padding=layer.padding)
    return low.through(v, _L.MaxPooling2D, node.name, **config)


@rule(_L.AveragePooling2D, reads=_POOLING)
def _average_pool(low, node, v):
    """A depthwise convolution; what `same` pads does not count, hence a map of corrections."""
    layer = node.operation
    config = dict(pool_size=layer.pool_size, strides=layer.strides, padding=layer.padding)
    if low.target.average_pool:
        y = low.emit(_L.AveragePooling2D, low.tensor(v), name=node.name, **config)
        return Value(y, v.scale)
    t = low.tensor(v)
    height, width = layer.pool_size
    kernel = np.full((height, width, t.shape[-1], 1), 1 / (height * width))
    options = dict(strides=layer.strides, padding=layer.padding)
    y = low.linear(v, kernel, np.zeros(t.shape[-1]), node.name, **options)
    if layer.padding == "valid":
        return y
    if None in t.shape[1:3]:
        raise unsupported(node, "padding='same' on an unknown size", "Fix height and width.")
    rows, columns = (
        _shares(size, k, stride)
        for size, k, stride in zip(t.shape[1:3], layer.pool_size, layer.strides, strict=True)
    )
    values = 1 / np.outer(rows, columns)
    if np.all(values == 1):
        return y
    name = f"{node.name}_edges"
    return Value(low.emit(own.ScaleMap, low.tensor(y), name=name, values=values.tolist()), y.scale)


def _shares(size, k, stride):
    """What share of each window along one axis lies inside, with padding `same`."""
    steps = -(-size // stride)
    before = max((steps - 1) * stride + k - size, 0) // 2
    starts = np.arange(steps) * stride - before
    return (np.minimum(starts + k, size) - np.maximum(starts, 0)) / k


@rule(own.ScaleMap, reads=("values",))
def _scale_map(low, node, v):
    values = node.operation.values
    return Value(low.emit(own.ScaleMap, low.tensor(v), name=node.name, values=values), v.scale)


# Padding, cutting, resizing


@rule(_L.ZeroPadding2D, reads=("padding",))
def _zero_padding(low, node, v):
    padding = tuple(tuple(p) for p in node.operation.padding)
    source = low.tensor(v)
    return Value(scale=v.scale, pending=Pad(source, padding, node.name))


@rule("Pad", reads=("pad_width", "mode"))
def _pad(low, node, v, constant_values=None):
    operation = node.operation
    width = tuple(tuple(int(n) for n in p) for p in operation.pad_width)
    if (
        operation.mode != "constant"
        or constant_values
        or len(width) != 4
        or any(map(any, (width[0], width[3])))
    ):
        raise unsupported(node, f"mode={operation.mode!r}, pad_width={width}", "Pad space with 0.")
    return Value(scale=v.scale, pending=Pad(low.tensor(v), width[1:3], node.name))


@rule(_L.Cropping2D, reads=("cropping",))
def _cropping(low, node, v):
    cropping = node.operation.cropping
    y = low.emit(_L.Cropping2D, low.tensor(v), name=node.name, cropping=cropping)
    return Value(y, v.scale)


@rule(_L.UpSampling2D, reads=("size", "interpolation"))
def _upsampling(low, node, v):
    layer = node.operation
    height, width = layer.size
    config = dict(size=layer.size, interpolation=layer.interpolation)
    if layer.interpolation != "nearest" or low.target.nearest or height != width:
        return Value(low.emit(_L.UpSampling2D, low.tensor(v), name=node.name, **config), v.scale)
    # Each pixel becomes a block of itself: the channels, repeated, moved into space.
    t = low.tensor(low.uniform(v))
    t = low.concatenate([t] * (height * width), f"{node.name}_copies")
    return Value(low.emit(own.DepthToSpace, t, name=node.name, block_size=height), v.scale)


@rule(_L.Resizing, reads=("height", "width", "interpolation"))
def _resizing(low, node, v):
    config = node.operation.get_config()
    config = {k: config[k] for k in ("height", "width", "interpolation")}
    return Value(low.emit(_L.Resizing, low.tensor(v), name=node.name, **config), v.scale)


@rule("DepthToSpace", own.DepthToSpace, reads=("block_size",))
def _depth_to_space(low, node, v):
    v = low.uniform(v)
    size = node.operation.block_size
    return Value(
        low.emit(own.DepthToSpace, low.tensor(v), name=node.name, block_size=size), v.scale
    )


@rule("GetItem")
def _get_item(low, node, v, key):
    key = key if isinstance(key, tuple) else (key,)
    rank = _rank(node)
    if any(x is Ellipsis for x in key):
        at = next(i for i, x in enumerate(key) if x is Ellipsis)
        key = (*key[:at], *[slice(None)] * (rank - len(key) + 1), *key[at + 1 :])
    key = (*key, *[slice(None)] * (rank - len(key)))
    plain = all(isinstance(x, slice) and x.step in (None, 1) for x in key)
    if not plain or key[0] != slice(None):
        raise unsupported(node, f"the index {key}", "Cut ranges, without steps, and not the batch.")
    return _slice(low, v, [x.start or 0 for x in key[1:]], [x.stop for x in key[1:]], node.name)


def _slice(low, v, begin, end, name):
    v = low.uniform(low.unflattened(v))
    return Value(low.emit(own.Slice, low.tensor(v), name=name, begin=begin, end=end), v.scale)


@rule(own.Slice, reads=("begin", "end"))
def _slice_layer(low, node, v):
    return _slice(low, v, node.operation.begin, node.operation.end, node.name)


@rule("Split", reads=("indices_or_sections", "axis"))
def _split(low, node, v, *_, **__):
    rank = _rank(node)
    axis = node.operation.axis % rank
    if axis == 0:
        raise unsupported(node, "axis=0", "Leave the batch whole.")
    pieces, at = [], 0
    for ref in node.outputs:
        begin, end = [0] * (rank - 1), [None] * (rank - 1)
        begin[axis - 1], end[axis - 1] = at, at + ref.spec.shape[axis]
        at = end[axis - 1]
        pieces.append(_slice(low, v, begin, end, f"{node.name}_{len(pieces)}"))
    return pieces


# Moving elements


@rule(_L.Flatten, _L.Reshape, "Reshape", reads=("target_shape", "newshape"))
@rule("Squeeze", "ExpandDims", reads=("axis",))
def _reshape(low, node, v):
    given, made = node.inputs[0].spec.shape[1:], node.outputs[0].spec.shape[1:]
    known = None not in (*given, *made)
    if node.outputs[0].spec.shape[0] is not None or (known and math.prod(given) != math.prod(made)):
        raise unsupported(node, f"the shape {node.outputs[0].spec.shape}", "Leave the batch alone.")
    return reshape(low, v, tuple(made), node.name)


def reshape(low: Lowering, v: Value, shape: tuple[int | None, ...], name: str) -> Value:
    """`v` with another shape behind the batch; (1, 1, C) and (C) need no operator."""
    if v.waiting(Concat) and not v.flat and shape[:2] == (1, 1):
        return v
    t = low.tensor(v)
    held = tuple(t.shape[1:])
    if len(held) == 3 and None not in held:
        if len(shape) == 1:
            return Value(t, v.scale, flat=True)
        if shape == held:
            return Value(t, v.scale)
    v = low.uniform(v)
    t = low.emit(_L.Reshape, low.tensor(v), name=name, target_shape=shape)
    return Value(t, v.scale)


@rule(_L.Permute, reads=("dims",))
def _permute(low, node, v):
    return _transposed(low, node, v, tuple(node.operation.dims))


@rule("Transpose", reads=("axes",))
def _transpose(low, node, v):
    axes = node.operation.axes
    if axes is None or axes[0] != 0:
        raise unsupported(node, f"axes={axes}", "Leave the batch where it is.")
    return _transposed(low, node, v, tuple(axes[1:]))


def _transposed(low, node, v, dims):
    v = low.uniform(low.unflattened(v))
    return Value(low.emit(_L.Permute, low.tensor(v), name=node.name, dims=dims), v.scale)
