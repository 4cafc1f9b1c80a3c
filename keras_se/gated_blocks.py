"""Find the gated blocks of a model: squeeze-and-excitation, ours and written by hand.

    y = x * gate(W2 @ activation(W1 @ pool(x)))

What counts is the graph, not the classes: whatever has this shape is found, in nested models and
in layers that can be opened. What looks like it and is not is listed with the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any

import keras

from keras_se.graph import Graph, Node, Ref, open_layer, trace
from keras_se.layers import StaticSqueezeExcite

_L = keras.layers
_CONVS = (_L.Conv1D, _L.Conv2D, _L.Conv3D)
_GLOBAL_POOLS = (
    _L.GlobalAveragePooling1D, _L.GlobalAveragePooling2D, _L.GlobalAveragePooling3D,
    _L.GlobalMaxPooling1D, _L.GlobalMaxPooling2D, _L.GlobalMaxPooling3D,
)  # fmt: skip
_POOLS = (
    _L.AveragePooling1D, _L.AveragePooling2D, _L.AveragePooling3D,
    _L.MaxPooling1D, _L.MaxPooling2D, _L.MaxPooling3D,
)  # fmt: skip
# Classes of layers and of operations, which are not public, by name.
_SAME = {"Cast", "Identity", "StopGradient", "ConvertToTensor", "Copy"}  # change no value
_BETWEEN = {
    *_SAME, "Moveaxis", "Reshape", "ExpandDims", "Squeeze", "Flatten", "Dropout",
    "BatchNormalization", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Relu", "Relu6",
    "LeakyRelu", "Elu", "Selu", "Gelu", "Sigmoid", "HardSigmoid", "Tanh", "HardTanh", "Silu",
    "HardSilu", "Softplus", "Softsign", "Exp", "Clip", "Add", "Subtract", "Multiply", "Divide",
    "TrueDivide", "Negative", "Maximum", "Minimum", "Average", "Rescaling",
}  # fmt: skip
_REDUCTIONS = {"Mean", "Sum", "Max", "Amax"}
_PRODUCTS = {"Matmul", "Dot", "Einsum"}
_SUFFIX = re.compile(r"[_/](se|squeeze(_?(and_?)?excit(e|ation))?|excit(e|ation))$")


@dataclass(frozen=True, eq=False)
class GatedBlock:
    """One multiplication of a tensor by a gate that is read from it.

    Args:
        name: That of the layer, or what the names of its layers have in common.
        kind: `"cse"`, a gate for each channel, or `"sse"`, one for each position.
        axis: Where the channels of the tensor are.
        sites: The tensor and its gate, as often as a shared model around them is called.
        place: The call that multiplies, see `keras_se.graph.Node`.
        argument: Which tensor argument of that call is the one multiplied.
        shared: Whether the layer that multiplies is called elsewhere too.
        reason: Why the gate cannot become a constant; None if it can.
    """

    name: str
    kind: str
    axis: int
    sites: tuple[tuple[Ref, Ref], ...]
    place: tuple
    argument: int
    shared: bool
    reason: str | None


@dataclass(frozen=True, eq=False)
class GatedBlocks:
    """The gated blocks of a model, in its order.

    Args:
        graph: The model, opened up.
        blocks: What was found.
        skipped: Name of a multiplication to the reason why it is no such block, where it looks
            like one.
    """

    graph: Graph
    blocks: tuple[GatedBlock, ...]
    skipped: dict[str, str]


def find_gated_blocks(model: keras.Model) -> GatedBlocks:
    """Find every gated block of a functional or sequential model.

    A block is a multiplication of a tensor by what two linear layers (or one), activations,
    constants and reshapes make of the tensor's mean or maximum over all positions, and of nothing
    else; or, for a gate of each position, of its channels. The model is not changed.

    Raises:
        TypeError: The model is not functional.

    Example:

    >>> image = keras.Input((8, 8, 4))
    >>> s = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    >>> s = keras.layers.Conv2D(2, 1, activation="relu")(s)
    >>> s = keras.layers.Conv2D(4, 1, activation="sigmoid")(s)
    >>> model = keras.Model(image, keras.layers.Multiply(name="scaled")([image, s]))
    >>> [block.name for block in find_gated_blocks(model).blocks]
    ['scaled']
    """
    widths = {}
    graph = trace(model, partial(_opener, widths), closed=True)
    finder = _Finder(graph, widths)
    found, skipped = {}, {}
    for node in graph.nodes:
        block = finder.block(node)
        if isinstance(block, str):
            skipped[_name_of(node)] = block
        elif block:
            key = block.place, block.name  # equal in each call of a shared model
            sites = found[key].sites if key in found else ()
            found[key] = replace(block, sites=sites + block.sites)
    return GatedBlocks(graph, tuple(_told_apart(found.values())), skipped)


def _opener(widths, operation, path):
    """Open every layer that is not Keras's own, but for those whose gate is no tensor.

    How many outputs one has goes into `widths`, by its path.
    """
    if not isinstance(operation, keras.layers.Layer) or isinstance(operation, StaticSqueezeExcite):
        return None
    author = next(kind for kind in type(operation).__mro__ if "call" in vars(kind))
    if author.__module__.startswith("keras.") and author is not _L.Lambda:
        return None

    def opened(*args, **kwargs):
        outputs = open_layer(operation, *args, **kwargs)
        widths[path] = len(keras.tree.flatten(outputs))
        return outputs

    return opened


class _Finder:
    """Looks backwards from multiplications."""

    def __init__(self, graph, widths):
        self.made = {ref: node for node in graph.nodes for ref in node.outputs}
        self.uses = graph.uses()
        self.calls = _calls(graph.nodes)
        self.widths = widths
        self.places = Counter(path for path, _ in {(_called(n), n.place) for n in graph.nodes})

    def block(self, node: Node) -> GatedBlock | str | None:
        """The block that `node` ends, why it is none though it looks like one, or None."""
        if isinstance(node.operation, StaticSqueezeExcite):
            return "its gate is a constant already"
        factors = node.inputs
        if type(node.operation).__name__ != "Multiply" or len(factors) != 2:
            return None
        reason = None
        for x, gate in (factors, reversed(factors)):
            found = self.channel_gate(node, x, gate) or self.position_gate(x, gate)
            if isinstance(found, tuple):
                kind, axis, nodes = found
                inside, why = _is_inside(node), None
                if kind == "sse":
                    why = "its gate is one for each position, not for each channel"
                elif inside:
                    why = self.not_alone(node, x)
                at = 0 if inside else factors.index(x)
                name, shared = _name_of(node, nodes), self.places[_called(node)] > 1
                return GatedBlock(name, kind, axis, ((x, gate),), node.place, at, shared, why)
            reason = reason or found
        return reason

    def channel_gate(
        self, node: Node, x: Ref, gate: Ref
    ) -> tuple[str, int, list[Node]] | str | None:
        """Kind, axis and nodes of a gate from the pooled `x`; a reason; or None."""
        if not _is_vector(gate):
            return None
        pools, linear, others = self.makers(gate)
        sources = [{self.origin(ref): axis for ref, axis in self.pooled(pool)} for pool in pools]
        strange = [refs for refs in sources if self.origin(x) not in refs]
        distinct = len({id(node.operation) for node in linear})
        if not pools or (_is_vector(x) and (strange or others)):
            return None  # a product of two vectors, such as x * sigmoid(x) of a pooled x
        if strange:
            return f"the gate pools {next(iter(strange[0])).name!r}, and multiplies {x.name!r}"
        if others:
            return f"{others[0]} stands between the pool and the multiplication"
        if distinct not in (1, 2):
            return f"{distinct} linear layers make the gate, where one or two should"
        if self.uses[gate] > 1:
            return f"its gate is read {self.uses[gate]} times"
        axis = sources[0][self.origin(x)]
        if _channels(gate) != x.shape[axis]:
            return f"its gate has {_channels(gate)} channels, where {x.shape[axis]} are multiplied"
        if not _lies_along(gate, x, axis, node):
            return "its gate does not lie along the channels"
        return "cse", axis, [*pools, *linear]

    def pooled(self, node: Node) -> list[tuple[Ref, int]]:
        """The tensors that `node` pools over all positions, each with where its channels are.

        More than one: a mean over rows and a mean over columns pool together, and positions may
        be flattened before.
        """
        found, steps = [], [node]
        while True:
            source = steps[0].inputs[0] if steps[0].inputs else None
            axis = _pooled_axis(node) if len(steps) == 1 else _left(source, steps)
            if axis is not None:
                found += [(source, axis), *self._unflattened(source, axis)]
            made = self.made.get(source)
            kind = type(node.operation).__name__
            if made is None or kind not in _REDUCTIONS or kind != type(made.operation).__name__:
                return found
            steps.insert(0, made)

    def _unflattened(self, ref, axis):
        """What `ref` was before its positions were flattened, with its channels, if they were."""
        made = self.made.get(ref)
        if made is not None and type(made.operation).__name__ == "Reshape":
            before = made.inputs[0]
            if axis == len(ref.shape) - 1 and before.shape[-1] == ref.shape[-1]:
                return [(before, len(before.shape) - 1)]
        return []

    def makers(self, gate: Ref) -> tuple[list[Node], list[Node], list[str]]:
        """What makes a gate: the pools, the linear layers, and what should not be there."""
        pools, linear, others, seen, waiting = [], [], [], set(), [gate]
        while waiting:
            node = self.made.get(waiting.pop())
            if node is None:
                others.append("an input of the model")
            elif node in seen:
                continue
            elif self.pooled(node):
                pools.append(node)
            else:
                vectors = [ref for ref in node.inputs if _is_vector(ref)]
                waiting += vectors
                kind = type(node.operation).__name__
                if _is_linear(node):
                    linear.append(node)
                elif kind not in _BETWEEN and not _adds_axes(node):
                    others.append(f"{node.operation.name!r} of class {kind}")
                if len(vectors) < len(node.inputs):
                    others.append(f"{node.operation.name!r}, which does not pool,")
            seen.add(node)
        return pools, linear, others

    def position_gate(self, x: Ref, gate: Ref) -> tuple[str, int, list[Node]] | str | None:
        """Kind, axis and nodes of a gate from the channels of `x`; a reason; or None."""
        linear, ref = [], gate
        while self.origin(ref) is not self.origin(x):
            node = self.made.get(ref)
            if node is None or len(node.inputs) != 1:
                return None
            if _is_linear(node):
                linear.append(node)
            elif type(node.operation).__name__ not in _BETWEEN:
                return None
            ref = node.inputs[0]
        if not linear:
            return None
        axis = 1 if getattr(linear[0].operation, "data_format", "") == "channels_first" else -1
        if gate.shape[axis] != 1:
            return "it has no pool: each position has gates of its own"
        if self.uses[gate] > 1:
            return f"its gate is read {self.uses[gate]} times"
        return "sse", axis % len(x.shape), linear

    def origin(self, ref: Ref) -> Ref:
        """The tensor that `ref` is but for its dtype."""
        node = self.made.get(ref)
        while node is not None and type(node.operation).__name__ in _SAME:
            ref = node.inputs[0]
            node = self.made.get(ref)
        return ref

    def not_alone(self, node: Node, x: Ref) -> str | None:
        """Why the layer that `node` was opened from is more than its block, or None."""
        call = self.calls[node]
        inside = {ref for other in call for ref in other.outputs}
        read = {ref for other in call for ref in other.inputs} - inside
        if call[-1] is node and read == {x} and self.widths[_called(node)] == 1:
            return None
        return f"it is a part of layer {_called(node)!r}, which computes more"


def _calls(nodes):
    """Each node with the nodes of the same call: several, where a layer was opened."""
    calls, last = {}, None
    for node in nodes:
        if last is None or not _is_inside(node) or last[-1].place != node.place:
            last = []
        last.append(node)
        calls[node] = last
    return calls


def _is_inside(node):
    """Whether a layer was opened to read it."""
    return node.path.count("/") > len(node.place[0])


def _called(node):
    """The path of the layer whose call the node is a part of."""
    return "/".join(node.path.split("/")[: len(node.place[0]) + 1])


def _is_vector(ref):
    """Whether it is one value a channel: at most one axis is longer than 1."""
    return sum(size != 1 for size in ref.shape[1:]) <= 1


def _channels(gate):
    return next((size for size in gate.shape[1:] if size != 1), 1)


def _lies_along(gate, x, axis, product):
    """Whether multiplying meets each channel of `x` with the gate of that channel."""
    if len(gate.shape) == len(x.shape):
        return _channels(gate) == 1 or gate.shape[axis] == x.shape[axis]
    # A layer puts the missing axes behind the batch, an operation before it.
    return isinstance(product.operation, _L.Layer) and axis == len(x.shape) - 1


def _adds_axes(node):
    """Whether an index such as `gate[:, None, None, :]` is all that a node is."""
    if type(node.operation).__name__ != "GetItem" or len(node.inputs) != 1:
        return False
    return _channels(node.outputs[0]) == _channels(node.inputs[0])


def _is_linear(node):
    layer = node.operation
    if type(layer).__name__ in _PRODUCTS:  # with weights, which are no input
        return len(node.inputs) == 1
    if isinstance(layer, _CONVS):
        along = layer.filters == node.inputs[0].shape[-1] == 1  # the channels, as ECA does
        return along or set(layer.kernel_size) == {1}
    return isinstance(layer, _L.Dense)


def _pooled_axis(node) -> Any:
    """Where the channels were in what `node` pools over all positions; None if it does not."""
    layer, kind = node.operation, type(node.operation).__name__
    first = getattr(layer, "data_format", None) == "channels_first"
    if isinstance(layer, _GLOBAL_POOLS):
        return 1 if first else len(node.inputs[0].shape) - 1
    if isinstance(layer, _POOLS) and all(
        size == 1 for size in (node.outputs[0].shape[2:] if first else node.outputs[0].shape[1:-1])
    ):
        return 1 if first else len(node.inputs[0].shape) - 1
    return _left(node.inputs[0], [node]) if kind in _REDUCTIONS else None


def _left(source, steps) -> Any:
    """The axis of `source` that reductions one after the other leave, if one is left: channels."""
    axes = list(range(len(source.shape)))
    for step in steps:
        axis = step.operation.axis
        if axis is None:
            return None
        gone = {int(a) % len(axes) for a in (axis if isinstance(axis, list | tuple) else [axis])}
        kept = step.operation.keepdims
        axes = [None if i in gone else a for i, a in enumerate(axes) if kept or i not in gone]
    left = [a for a in axes if a is not None]
    rank = len(source.shape)
    return left[1] if rank > 2 and left in ([0, 1], [0, rank - 1]) else None


def _name_of(product: Node, nodes=()):
    """The name of the layer that was opened, or what the names of its layers have in common."""
    if _is_inside(product):
        return product.path.rpartition("/")[0]
    named = [n for n in (*nodes, product) if isinstance(n.operation, keras.layers.Layer)]
    folder = "".join(product.path.rpartition("/")[:2])
    words = zip(*(n.operation.name.split("_") for n in named), strict=False)
    common = "_".join(w[0] for w in takewhile(lambda same: len(set(same)) == 1, words))
    if len(named) < 3 or not common:
        return product.path
    return folder + _SUFFIX.sub("", common)


def _told_apart(blocks):
    """The blocks, each without the names of the models around it where no other is called so."""
    blocks = list(blocks)
    short = ["/".join(b.name.split("/")[len(b.place[0]) :]) for b in blocks]
    names = [
        name if short.count(name) == 1 else b.name for name, b in zip(short, blocks, strict=True)
    ]
    taken = Counter()
    for name, block in zip(names, blocks, strict=True):
        yield replace(block, name=f"{name}_{taken[name]}" if taken[name] else name)
        taken[name] += 1
