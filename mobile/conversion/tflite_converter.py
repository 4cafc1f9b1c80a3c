"""TensorFlow's converter, called on a model of batch 1 whose weights are constants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_se.graph import Graph, Ref, trace
from mobile.conversion.quiet import quiet

if TYPE_CHECKING:
    import tensorflow as tf  # inside the functions when they run


def run(
    model: Any,
    float16: bool = False,
    types: tuple[str, str] = ("float32", "float32"),
    quantized: bool = False,
    samples: Sequence[np.ndarray] | None = None,
) -> tuple[bytes, Graph | None]:
    """Run the TFLite converter on a model.

    Args:
        model: A functional Keras model, or a tf_keras one of batch 1.
        float16: Whether to store weights in half the size.
        types: Dtypes of inputs and outputs, of an integer file.
        quantized: Whether the model carries fake quantisation.
        samples: One array per input, for the 16x8 file whose ranges the converter finds.

    Returns:
        The file's bytes, and the graph whose N-th node is called `layer.N` in them; None of a
        tf_keras model, whose layers' names are in the file.

    Raises:
        RuntimeError: The converter refuses the model.
    """
    import tensorflow as tf

    with quiet():
        graph, function = trace(model) if isinstance(model, keras.Model) else None, None
        if graph is not None:
            function = concrete_function(model, graph)
            # Given the model to track, it would write and read back all of its Python functions.
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
        else:
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if float16:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        if quantized or samples is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.inference_input_type = tf.as_dtype(types[0])
            converter.inference_output_type = tf.as_dtype(types[1])
        if samples is not None:
            converter.representative_dataset = lambda: (
                {f"input_{i}": array[None] for i, array in enumerate(sample)}
                for sample in zip(*samples, strict=True)
            )
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        try:
            return converter.convert(), graph
        except Exception as error:
            raise _refusal(str(error), model, graph, function) from error


def concrete_function(model: keras.Model, graph: Graph) -> tf.types.experimental.ConcreteFunction:
    """A model as a concrete function of batch 1, whose weights are constants of the graph.

    Operations are named `layer.N/...` after the N-th node: the converter's own names for a layer
    `conv` called twice and for a layer `conv_1` are the same. Inputs are called `input_N`, and
    the outputs are a list.

    Args:
        model: A functional model.
        graph: Its trace.
    """
    import tensorflow as tf

    weights = [(variable, variable.numpy()) for variable in model.variables]

    def forward(*inputs):
        values = dict(zip(graph.inputs, inputs, strict=True))
        constants = [(variable, tf.constant(value)) for variable, value in weights]
        with keras.StatelessScope(state_mapping=constants):
            for number, node in enumerate(graph.nodes):
                given: Any = keras.tree.map_structure(
                    lambda x: values[x] if isinstance(x, Ref) else x, (node.args, node.kwargs)
                )
                args, kwargs = given
                with tf.name_scope(f"layer.{number}/"):
                    outputs = keras.tree.flatten(node.operation(*args, **kwargs))
                values.update(zip(node.outputs, outputs, strict=True))
        return [values[ref] for ref in graph.outputs]

    specs = [
        tf.TensorSpec((1, *ref.shape[1:]), ref.spec.dtype, name=f"input_{number}")
        for number, ref in enumerate(graph.inputs)
    ]
    return tf.function(forward, autograph=False).get_concrete_function(*specs)


def _refusal(said, model, graph, function):
    """The error of a model that the converter refuses, which names the layer if that is known."""
    errors = [line for line in said.splitlines() if "error:" in line]
    reason = errors[0].rpartition("error:")[2].strip() if errors else said[-400:]
    kinds = re.findall(r"'tf\.(\w+)' op", reason)
    made = [] if function is None else function.graph.get_operations()
    names = [op.name for op in made if op.type in kinds]
    numbers = [int(found[1]) for name in names if (found := re.search(r"\blayer\.(\d+)/", name))]
    where, advice = "", "Leave out the layer that needs it, or write it in other layers."
    if numbers:
        node = graph.nodes[numbers[0]]
        where = f", at layer {node.name!r} of class {type(node.operation).__name__}"
        advice = "Replace that layer by ones that TFLite has, or say what it computes in Keras "
        advice += "layers with @mobile.lowering_rule."
    return RuntimeError(
        f"The TFLite converter must know every operator. Received: model {model.name!r}{where}, "
        f"refused with: {reason}. {advice}"
    )
