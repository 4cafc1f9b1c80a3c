"""The multiply-adds of one call of a layer or operation, by formula, for one image."""

import math
from typing import Any

from keras import layers

from keras_se.graph import Node, Ref
from keras_se.layers import (
    ChannelScale,
    ConcurrentSqueezeExcite,
    SpatialSqueezeExcite,
    SqueezeExcite,
    StaticSqueezeExcite,
)


def multiply_adds(node: Node) -> int | None:
    """Count the multiply-adds of a node for one image; None where no formula is known.

    Raises:
        ValueError: A size that the count needs is not known, or channels come first.
    """
    operation = node.operation
    _check_channels_last(node)
    for kinds, formula in _LAYERS:
        if isinstance(operation, kinds):
            return formula(operation, node)
    if not isinstance(operation, layers.Layer):
        name = type(operation).__name__
        return None if name in _CONTRACTIONS else _OPERATIONS.get(name, _nothing)(operation, node)
    foreign = not type(operation).__module__.startswith("keras.") or isinstance(
        operation, layers.Lambda
    )
    matrices = any(len(weight.shape) > 1 for weight in operation.weights)
    composed = len(operation._flatten_layers()) > 1
    known = isinstance(operation, _WITHOUT_PRODUCTS) or not (matrices or composed)
    return 0 if known and not foreign else None


def size_of(shape: Any, node: Node) -> int:
    """Multiply sizes, all of which must be known."""
    if any(size is None for size in shape):
        raise ValueError(
            f"The image size must be known to count multiply-adds. Received: sizes {tuple(shape)} "
            f"at layer {node.path!r}. Build the model with a size, such as "
            f"input_shape=(224, 224, 3)."
        )
    return math.prod(shape)


def _check_channels_last(node):
    if getattr(node.operation, "data_format", None) == "channels_first":
        raise ValueError(
            f"Multiply-adds are counted for images with the channels last. Received: data_format="
            f"'channels_first' of {node.path!r}. Build the model again after "
            f'keras.config.set_image_data_format("channels_last").'
        )


def _given(node, index=0):
    return node.inputs[index].shape


def _returned(node):
    return node.outputs[0].shape


def _positions(shape, node):
    return size_of(shape[1:-1], node)


def _nothing(layer, node):
    return 0


def _channel_gate(layer, node):
    shape = _given(node)
    positions = 1 if layer.pool else _positions(shape, node)
    kernels = (layer.reduce.kernel, layer.expand.kernel)
    return positions * sum(math.prod(k.shape) for k in kernels) + size_of(shape[1:], node)


def _spatial_gate(layer, node):
    return 2 * size_of(_given(node)[1:], node)


def _both_gates(layer, node):
    return _channel_gate(layer.channel, node) + _spatial_gate(layer.spatial, node)


def _by_output(layer, node):
    """The kernel is applied at each position of the output."""
    return math.prod(layer.kernel.shape) * _positions(_returned(node), node)


def _by_input(layer, node):
    """The kernel is applied at each position of the input."""
    return math.prod(layer.kernel.shape) * _positions(_given(node), node)


def _separable(layer, node):
    kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
    return sum(math.prod(k.shape) for k in kernels) * _positions(_returned(node), node)


def _einsum_dense(layer, node):
    return _einsum(layer.equation, (_given(node), layer.kernel.shape), 0, node)


def _recurrent(layer, node):
    """Both kernels at each step, and for images at each position."""
    cell = layer.cell
    kernels = math.prod(cell.kernel.shape) + math.prod(cell.recurrent_kernel.shape)
    shape = _returned(node)
    rank = len(_given(node)) - 3  # of an image in the sequence
    positions = shape[len(shape) - 1 - rank : -1] if rank else ()
    return kernels * size_of((_given(node)[1], *positions), node)


def _both_ways(layer, node):
    halves = (layer.forward_layer, layer.backward_layer)
    if not all(isinstance(half, _RECURRENT) for half in halves):
        return None
    return sum(_recurrent(half, node) for half in halves)


def _attention(layer, node):
    """Each query with each key, then the values mixed by the scores."""
    query, value = _given(node), _given(node, 1)
    return size_of((query[1], value[1], query[-1] + value[-1]), node)


def _multi_head(layer, node):
    """Projections of queries, keys, values and the result; the two products in each head."""
    query, value = _given(node), _given(node, 1)
    config = layer.get_config()
    axes = config["attention_axes"] or range(1, len(value) - 1)
    queries, values = _positions(query, node), _positions(value, node)
    kernels = {
        weight.path.split("/")[-2]: math.prod(weight.shape)
        for weight in layer.weights
        if weight.path.endswith("/kernel")
    }
    projections = sum(
        size * (values if name in ("key", "value") else queries) for name, size in kernels.items()
    )
    width = config["num_heads"] * (config["key_dim"] + (config["value_dim"] or config["key_dim"]))
    return projections + queries * size_of([value[axis] for axis in axes], node) * width


def _dot_layer(layer, node):
    axes = layer.axes if isinstance(layer.axes, tuple | list) else (layer.axes, layer.axes)
    return size_of((*_returned(node)[1:], _given(node)[axes[0]]), node)


def _shape(x) -> Any:
    return x.shape if isinstance(x, Ref) else tuple(getattr(x, "shape", ()))


def _matmul(operation, node):
    return size_of((*_returned(node)[1:], _shape(node.args[0])[-1]), node)


def _einsum_operation(operation, node):
    batched = [i for i, x in enumerate(node.args) if isinstance(x, Ref)]
    return _einsum(operation.subscripts, [_shape(x) for x in node.args], batched[0], node)


def _einsum(subscripts, shapes, batched, node):
    """The product of all indices but the first one of operand `batched`, the batch."""
    terms = subscripts.replace(" ", "").split("->")[0].split(",")
    if len(terms) != 2:
        return None
    sizes: dict[str, int | None] = {}
    for term, shape in zip(terms, shapes, strict=True):
        head, dots, tail = term.partition("...")
        between = range(len(shape) - len(head) - len(tail)) if dots else ()
        letters = [*head, *(f".{i}" for i in reversed(between)), *tail]
        sizes |= dict(zip(letters, shape, strict=True))
        if term is terms[batched]:
            batch = letters[0]
    return size_of([size for letter, size in sizes.items() if letter != batch], node)


def _dot_product_attention(operation, node):
    query, key = _given(node), _given(node, 1)  # (batch, steps, heads, channels)
    return 2 * size_of((*query[1:], key[1]), node)


def _convolution(operation, node):
    kernel = node.args[1] if len(node.args) > 1 else node.kwargs["kernel"]
    return size_of(_shape(kernel), node) * _positions(_returned(node), node)


_RECURRENT = (
    layers.SimpleRNN,
    layers.GRU,
    layers.LSTM,
    layers.ConvLSTM1D,
    layers.ConvLSTM2D,
    layers.ConvLSTM3D,
)
_LAYERS = (
    (SqueezeExcite, _channel_gate),
    (SpatialSqueezeExcite, _spatial_gate),
    (ConcurrentSqueezeExcite, _both_gates),
    ((StaticSqueezeExcite, ChannelScale), _nothing),  # they go into their neighbours
    ((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
    ((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _by_input),
    ((layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense), _by_output),
    ((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _by_output),
    (layers.EinsumDense, _einsum_dense),
    (_RECURRENT, _recurrent),
    (layers.Bidirectional, _both_ways),
    (layers.MultiHeadAttention, _multi_head),
    (layers.Attention, _attention),  # AdditiveAttention is one
    (layers.Dot, _dot_layer),
)
_OPERATIONS = {
    "Matmul": _matmul,
    "Dot": _matmul,
    "Einsum": _einsum_operation,
    "DotProductAttention": _dot_product_attention,
    "Conv": _convolution,
    "DepthwiseConv": _convolution,
}
#: Operations that multiply and add, and have no formula here.
_CONTRACTIONS = ("Tensordot", "Inner", "Vdot", "SeparableConv", "ConvTranspose", "Correlate")
#: Layers of Keras whose weights of two or more axes are looked up or multiplied with by element.
_WITHOUT_PRODUCTS = (
    layers.Embedding,
    layers.PReLU,
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.RMSNormalization,
    layers.Normalization,
)
