"""A functional Keras model as a flat list of nodes, read through Keras's public interface.

`keras.models.clone_model` visits every operation of a functional model in topological order and
threads through whatever its `call_function` returns. `trace` uses it as a reader: nothing is
cloned, and the model stays as it was. Nested models are opened up, and so are layers without a
rule, by tracing the `call` of a clone; what remains are operations that the caller knows.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import keras

Place = tuple[tuple[str, ...], int]  # of a call, as `Node` says
#: For an operation and its path, None to keep it, or a function of its arguments to read instead.
Opener = Callable[[keras.Operation, str], Callable[..., Any] | None]


@dataclass(frozen=True, eq=False)
class Ref:
    """One tensor of the traced graph; compared by identity."""

    name: str
    spec: keras.KerasTensor  # shape and dtype; no history

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Its shape; None where it is unknown."""
        return tuple(self.spec.shape)


@dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer or `keras.ops` operation; a `Ref` stands for each tensor it is given."""

    operation: Any  # a layer or keras.Operation
    path: str  # its name, below those of the models and layers it is nested in
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[Ref]
    place: Place  # the models it is nested in, and which of their calls it is

    @property
    def name(self) -> str:
        """Its path as the name of a layer may be."""
        return self.path.replace("/", "_")

    @property
    def inputs(self) -> list[Ref]:
        """The tensors it reads, one entry a use."""
        return [x for x in keras.tree.flatten((self.args, self.kwargs)) if isinstance(x, Ref)]


@dataclass
class Graph:
    """The nodes of a model in topological order, with its inputs and outputs."""

    inputs: list[Ref]
    nodes: list[Node] = field(default_factory=list)
    outputs: list[Ref] = field(default_factory=list)

    def uses(self) -> Counter[Ref]:
        """How many times each tensor is read; being an output of the model is one use."""
        read = Counter(ref for node in self.nodes for ref in node.inputs)
        read.update(self.outputs)
        return read

    def run(self, arrays: Iterable[Any]) -> Iterator[tuple[Node, dict[Ref, Any]]]:
        """Compute node by node what the model does in inference.

        Args:
            arrays: A tensor of the backend for each input.

        Yields:
            A node, and the value of each tensor that is known and is still to be read.
        """
        left = self.uses()
        values = dict(zip(self.inputs, arrays, strict=True))
        for node in self.nodes:
            args, kwargs = _replace(Ref, values.__getitem__, node.args, node.kwargs)
            if _trains(node.operation):  # by default, as the layers that draw augmentations
                kwargs = kwargs | {"training": False}
            made: Any = keras.tree.flatten(node.operation(*args, **kwargs))
            values.update(zip(node.outputs, made, strict=True))
            yield node, values
            for ref in node.inputs:
                left[ref] -= 1
                if not left[ref]:
                    del values[ref]


def _trains(operation):
    """Whether a layer can be told that it is not in training."""
    if not isinstance(operation, keras.layers.Layer):
        return False
    return "training" in inspect.signature(operation.call).parameters


def trace(
    model: keras.Model, opener: Opener = lambda operation, path: None, closed: bool = False
) -> Graph:
    """Read a functional or sequential model into a flat `Graph`.

    Args:
        model: A built functional or sequential `keras.Model`.
        opener: For each operation that is not a model: None keeps it as one node; a function of
            its arguments, written in Keras layers and operations, is traced in its place; what
            it is made of has its `place`.
        closed: Whether an operation that cannot be opened stays one node; else it is an error.

    Raises:
        TypeError: The model is not functional, or what an opener returns cannot be traced.

    Example:

    >>> image = keras.Input((8, 8, 3))
    >>> model = keras.Model(image, keras.layers.Conv2D(4, 3, name="conv")(image))
    >>> [(node.path, node.outputs[0].shape) for node in trace(model).nodes]
    [('conv', (None, 6, 6, 4))]
    """
    check_functional(model)
    inputs = zip(input_names(model), model.inputs, strict=True)
    graph = Graph([Ref(name, keras.KerasTensor(x.shape, x.dtype)) for name, x in inputs])
    graph.outputs = _Reader(opener, closed, graph.nodes).model(_flat(model), graph.inputs)
    return graph


def input_names(model: keras.Model) -> list[str]:
    """The names of a model's inputs, in its order.

    They are those of its input layers: the tensor of an unnamed one is called after how many
    tensors there were before it, which another process does not know.
    """
    if isinstance(model, keras.Sequential):  # whose `layers` leave the input out
        model = _flat(model)
    entrances = [x for x in model.layers if isinstance(x, keras.layers.InputLayer)]
    names = {id(layer.output): layer.name for layer in entrances}
    return [names.get(id(tensor), tensor.name) for tensor in model.inputs]


def check_functional(model: keras.Model) -> None:
    """Raise a TypeError unless `model` is a built functional or sequential Keras 3 model."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`model` must be a functional keras.Model. Received: {type(model).__module__}."
            f"{type(model).__name__}. Build or load it with `keras`, not with tf_keras."
        )
    try:
        readable = bool(model.inputs) and bool(model.outputs)
    except (AttributeError, ValueError):
        readable = False
    if not readable:
        advice = "Wrap it: x = keras.Input(shape); keras.Model(x, my_model.call(x))."
        if isinstance(model, keras.Sequential):
            advice = "Begin it with keras.Input(shape), or call model.build((None, *shape))."
        raise TypeError(
            "`model` must be a built functional or sequential model, whose layers can be read. "
            f"Received: {type(model).__name__} {model.name!r} without symbolic inputs and outputs. "
            f"{advice}"
        )


def open_layer(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
    """What the `call` of `layer` does to symbolic tensors; the layer itself is left as it is."""
    return twin(layer).call(*args, **kwargs)


def read_inside(node: Node) -> Graph:
    """Read what the `call` of a node's layer consists of, layers in it as nodes.

    Raises:
        TypeError: It does not consist of Keras layers and operations.
    """
    graph = Graph(node.inputs)

    def opener(operation, path):
        return functools.partial(open_layer, operation) if operation is node.operation else None

    reader = _Reader(opener, False, graph.nodes)
    path = tuple(node.path.split("/"))
    graph.outputs = reader.operation(node.operation, node.args, node.kwargs, path, node.place)
    return graph


def twin(layer: keras.layers.Layer) -> Any:
    """A layer with the same weights whose own lists, and those of the layers in it, are copies.

    A call of it on symbolic tensors is then recorded in the copies. `from_config` would do for
    layers whose configuration is complete, which many are not.
    """
    return _twin(layer, {})


def _twin(value, twins) -> Any:
    if isinstance(value, keras.layers.Layer | keras.Variable):
        if id(value) not in twins:
            kind = type(value)
            made = kind if isinstance(value, keras.layers.Layer) else _weight_class(kind)
            twins[id(value)] = object.__new__(made)
            vars(twins[id(value)]).update({k: _twin(v, twins) for k, v in vars(value).items()})
        return twins[id(value)]
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        copies = [_twin(x, twins) for x in value]
        return tuple(copies) if isinstance(value, tuple) else copies
    if isinstance(value, dict):
        return {k: _twin(x, twins) for k, x in value.items()}
    return value


_OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")


@functools.cache
def _weight_class(kind):
    """A class of weights that leave `weight * x` to a symbolic `x`, which knows how."""

    def defer(operator):
        def apply(self, other):
            symbolic = isinstance(other, keras.KerasTensor)
            return NotImplemented if symbolic else operator(self, other)

        return apply

    own = {f"__{name}__": defer(getattr(kind, f"__{name}__")) for name in _OPERATORS}
    return type(kind)(kind.__name__, (kind,), own)


class _StandIns(keras.Operation):
    """Makes tensors that stand for others: outputs of a Keras model must hang on its inputs."""

    def call(self, x: keras.KerasTensor, count: int) -> NoReturn:
        raise NotImplementedError("Stand-ins are symbolic.")

    def compute_output_spec(self, x: keras.KerasTensor, count: int) -> list[keras.KerasTensor]:
        return [keras.KerasTensor((), name="stand_in") for _ in range(count)]


def _flat(model):
    """The same graph with plain lists of inputs and outputs."""
    return keras.Model(model.inputs, model.outputs, name=f"{model.name}_read")


class _Reader:
    """Appends what it reads to `nodes`."""

    def __init__(self, opener, closed, nodes):
        self.opener, self.closed, self.nodes = opener, closed, nodes

    def model(
        self,
        model: keras.Model,
        refs: list[Ref],
        path: tuple[str, ...] = (),
        place: Place | None = None,
    ) -> list[Ref]:
        """Read a `_flat` model, fed with `refs`; return the refs of its outputs.

        Args:
            model: The model.
            refs: One for each of its inputs.
            path: The names of what it is nested in, and its own if it is.
            place: That of all its nodes, where it is what an operation was opened to.
        """
        sources = [
            keras.Input(batch_shape=x.shape, dtype=x.dtype, name=f"source_{i}")
            for i, x in enumerate(model.inputs)
        ]
        known = {id(x): ref for x, ref in zip(sources, refs, strict=True)}
        # They keep their tensors alive, so that no id is used twice. One for each count: Keras
        # takes the outputs of an operation to be as many as those of its first call.
        stand_ins: dict[int, _StandIns] = {}
        calls, kinds = itertools.count(), Counter()

        def name_of(operation):
            """Its name; in what was opened, where Keras counts on for ever, numbered anew."""
            if place is None or isinstance(operation, keras.layers.Layer):
                return operation.name
            kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(operation).__name__).lower()
            kinds[kind] += 1
            return kind if kinds[kind] == 1 else f"{kind}_{kinds[kind] - 1}"

        def call(operation, *args, **kwargs):
            here = place or (path, next(calls))
            args, kwargs = _replace(keras.KerasTensor, lambda x: known.get(id(x), x), args, kwargs)
            if isinstance(operation, keras.Model):
                check_functional(operation)
                read = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, Ref)]
                made = self.model(_flat(operation), read, (*path, operation.name), place)
            else:
                made = self.operation(operation, args, kwargs, (*path, name_of(operation)), here)
            stand_in = stand_ins.setdefault(len(made), _StandIns(name=f"stand_ins_{len(made)}"))
            tensors: Any = stand_in(sources[0], len(made))
            known.update({id(x): ref for x, ref in zip(tensors, made, strict=True)})
            return tensors

        copy: Any = keras.models.clone_model(
            model,
            input_tensors=sources,
            clone_function=lambda layer: layer,
            call_function=call,
        )
        return [known[id(x)] for x in copy.outputs]

    def operation(
        self,
        operation: keras.Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        path: tuple[str, ...],
        place: Place,
    ) -> list[Ref]:
        """Read one call of a layer or operation; return the refs of its outputs."""
        function, before = self.opener(operation, "/".join(path)), len(self.nodes)
        if function is not None:
            try:
                return self.opened(operation, function, args, kwargs, path, place)
            except TypeError:
                if not self.closed:
                    raise
                del self.nodes[before:]
        specs = _replace(Ref, lambda ref: ref.spec, args, kwargs)
        outputs: Any = keras.tree.flatten(operation.compute_output_spec(*specs[0], **specs[1]))
        if isinstance(operation, keras.layers.Layer):
            kwargs = {k: x for k, x in kwargs.items() if k not in ("training", "mask")}
        outputs = [Ref("/".join(path), spec) for spec in outputs]
        self.nodes.append(Node(operation, "/".join(path), args, kwargs, outputs, place))
        return outputs

    def opened(
        self,
        operation: keras.Operation,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        path: tuple[str, ...],
        place: Place,
    ) -> list[Ref]:
        """Read what `function` makes of an operation's arguments, in its place."""
        refs, inputs = [], []

        def stand_in(ref):
            refs.append(ref)
            name = f"{operation.name}_in_{len(inputs)}".replace("/", "_")
            inputs.append(keras.Input(batch_shape=ref.spec.shape, dtype=ref.spec.dtype, name=name))
            return inputs[-1]

        args, kwargs = _replace(Ref, stand_in, args, kwargs)
        try:
            outputs = keras.tree.flatten(function(*args, **kwargs))
            opened = keras.Model(inputs, outputs, name=f"{operation.name}_opened")
        except Exception as error:
            kind, reason = type(operation).__name__, _reason(error)
            raise TypeError(
                f"Layer {'/'.join(path)!r} of class {kind} must be readable as Keras layers and "
                f"operations. Reading it failed with {type(error).__name__}: {reason} "
                f"{_remedy(operation, reason)}"
            ) from error
        return self.model(opened, refs, path, place)


def _remedy(layer, reason):
    if "convert it to a NumPy array" in reason:
        return (
            "Use functions of keras.ops for those of numpy, and write a constant of numpy behind "
            "the tensor: `x * constant`, not `constant * x`."
        )
    if isinstance(layer, keras.layers.Lambda):
        return (
            "Write its function in keras.ops, which can be read, or write a layer of its own and "
            "say what that computes with `@mobile.lowering_rule(YourLayer)`."
        )
    kind = type(layer).__name__
    return f"Say what it computes with `@mobile.lowering_rule({kind})`."


def _reason(error):
    """The first line of what went wrong at the bottom; Keras wraps it in a paragraph a layer."""
    text = re.sub(r"\x1b\[\d*m", "", str(error)).rpartition("Error encountered:")[2]
    lines = (line.strip() for line in text.splitlines())
    told = [x for x in lines if x and not x.startswith("Exception encountered when calling")]
    return textwrap.shorten(told[0], 240, placeholder=" ...") if told else "no reason given."


def _replace(kind, function, args, kwargs) -> Any:
    return keras.tree.map_structure(
        lambda x: function(x) if isinstance(x, kind) else x, (args, kwargs)
    )
