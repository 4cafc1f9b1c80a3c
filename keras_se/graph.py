"""Walk a functional model: each call of each layer, with the tensors that go in and come out."""

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Call:
    """One call of one operation.

    Args:
        path: The operation's name, below the names of the models it is nested in.
        operation: A layer, or an operation of `keras.ops`.
        inputs: Symbolic tensors. The same object is the output of the call that made it.
        outputs: Symbolic tensors.
    """

    path: str
    operation: Any
    inputs: tuple
    outputs: tuple


def walk(model: keras.Model) -> list[Call]:
    """List the calls of a functional model in an order in which they can run, nested models opened.

    The graph is followed with `keras.models.clone_model`, each operation answering only the shape
    of its output, so that the model gains neither layers nor calls.

    Example:

    >>> image = keras.Input((8, 8, 3))
    >>> model = keras.Model(image, keras.layers.Conv2D(4, 3, name="conv")(image))
    >>> [(call.path, tuple(call.outputs[0].shape)) for call in walk(model)]
    [('conv', (None, 6, 6, 4))]
    """
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise TypeError(
            f"`model` must be a functional keras.Model that has been given its inputs. Received: "
            f"{type(model).__name__}. For a subclassed model, wrap its call: "
            f"keras.Model(inputs, model.call(inputs))."
        )
    calls = []
    _follow(model, model.inputs, "", calls)
    return calls


def _follow(model, given, prefix, calls):
    """Append the calls of `model` on the tensors `given`; return its output tensors."""
    ends = [keras.layers.Identity(name=f"end_{index}") for index in range(len(model.outputs))]
    graph = keras.Model(model.inputs, [end(t) for end, t in zip(ends, model.outputs, strict=True)])
    fresh = [keras.Input(batch_shape=t.shape, dtype=t.dtype) for t in graph.inputs]
    real = {id(new): old for new, old in zip(fresh, given, strict=True)}
    stand_in = keras.layers.Identity()(fresh[0])  # clone_model wants an end that it can reach
    outputs = [None] * len(ends)

    def visit(operation, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(lambda t: real.get(id(t), t), (args, kwargs))
        kwargs.pop("training", None)
        inputs = [t for t in keras.tree.flatten((args, kwargs)) if keras.utils.is_keras_tensor(t)]
        if operation in ends:
            outputs[ends.index(operation)] = inputs[0]
            return stand_in
        path = prefix + operation.name
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            made = _follow(operation, inputs, f"{path}/", calls)
            return keras.tree.pack_sequence_as(operation.output, made)
        made = operation.compute_output_spec(*args, **kwargs)
        calls.append(Call(path, operation, tuple(inputs), tuple(keras.tree.flatten(made))))
        return made

    keras.models.clone_model(
        graph, input_tensors=fresh, clone_function=lambda layer: layer, call_function=visit
    )
    return outputs
