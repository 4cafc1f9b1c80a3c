"""The walk over a model's graph."""

from functools import partial

import keras
import numpy as np
import pytest

from keras_se.graph import open_layer, trace


def test_calls_come_in_an_order_in_which_they_can_run():
    a = keras.Input((4,))
    x = keras.layers.Dense(4, name="first")(a)
    y = keras.layers.Dense(4, name="left")(x)
    model = keras.Model(a, keras.layers.Add(name="sum")([y, x]))
    calls = trace(model).nodes
    made = {id(t) for call in calls for t in call.outputs}
    seen = set()
    for call in calls:
        assert all(id(t) in seen for t in call.inputs if id(t) in made)
        seen |= {id(t) for t in call.outputs}
    assert [call.path for call in calls] == ["first", "left", "sum"]


def test_nested_models_pass_their_tensors_through():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")], name="inner")
    image = keras.Input((4,))
    x = keras.layers.Activation("relu", name="before")(image)
    model = keras.Model(image, keras.layers.Activation("relu", name="after")(inner(x)))
    before, dense, after = trace(model).nodes
    assert dense.path == "inner/dense"
    assert dense.inputs[0] is before.outputs[0]
    assert after.inputs[0] is dense.outputs[0]


def test_operations_are_calls_too():
    image = keras.Input((4,))
    (call,) = trace(keras.Model(image, image * 2.0)).nodes
    assert not isinstance(call.operation, keras.layers.Layer)


def test_models_with_two_inputs_and_outputs():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model(
        [a, b], [keras.layers.Add(name="x")([a, b]), keras.layers.Dense(2, name="y")(a)]
    )
    assert {call.path: tuple(call.outputs[0].shape) for call in trace(model).nodes} == {
        "x": (None, 4),
        "y": (None, 2),
    }


def test_subclassed_models_are_refused():
    class Mine(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(TypeError, match="functional"):
        trace(Mine())


def test_reading_leaves_no_trace_in_the_model():
    image = keras.Input((4,))
    dense = keras.layers.Dense(3)
    model = keras.Model(image, dense(image))
    nodes = [len(layer._inbound_nodes + layer._outbound_nodes) for layer in model.layers]
    trace(model)
    assert [len(x._inbound_nodes + x._outbound_nodes) for x in model.layers] == nodes


class Mixed(keras.layers.Layer):
    """Computes (gamma * x - gamma / x) + gamma @ x, its weight on the left of a tensor."""

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1], shape[-1]), initializer="uniform")

    def call(self, x):
        return (self.gamma * x - self.gamma / x) + self.gamma @ x


def open_mine(operation, path):
    mine = type(operation).__module__ == __name__ and isinstance(operation, keras.layers.Layer)
    return partial(open_layer, operation) if mine else None


def test_a_weight_may_stand_on_either_side_of_a_tensor():
    image = keras.Input(batch_shape=(4, 4))
    layer = Mixed(name="mixed")
    model = keras.Model(image, layer(image))
    kinds = [type(node.operation).__name__ for node in trace(model, open_mine).nodes]
    assert kinds == ["Multiply", "TrueDivide", "Subtract", "Matmul", "Add"]
    opened = keras.Model(image, open_layer(layer, image))
    x = np.random.default_rng(0).uniform(1, 2, (4, 4)).astype("float32")
    gamma = np.asarray(layer.gamma)
    np.testing.assert_allclose(opened(x), gamma * x - gamma / x + gamma @ x, rtol=1e-5)


def test_what_cannot_be_read_is_named_with_the_reason_at_the_bottom():
    class Failing(keras.layers.Layer):
        def call(self, x):
            raise ValueError("The bottom is out.\nSecond line.")

    def open_wrapped(x):
        return keras.Sequential([keras.Sequential([Failing()])])(x)

    part = keras.Sequential([keras.Input((4,)), keras.layers.ReLU(name="wrapped")], name="part")
    image = keras.Input((4,))
    expected = r"Layer 'part/wrapped' of class ReLU .* with ValueError: The bottom is out\. Say"
    with pytest.raises(TypeError, match=expected):
        trace(keras.Model(image, part(image)), lambda operation, path: open_wrapped)


def test_what_numpy_cannot_take_is_told_how_to_write_it():
    class Scaled(keras.layers.Layer):
        def call(self, x):
            return np.sqrt(2.0) * x

    image = keras.Input((4,))
    layer = Scaled(name="scaled")
    expected = r"'scaled' of class Scaled .* Use functions of keras.ops .* `x \* constant`"
    with pytest.raises(TypeError, match=expected):
        trace(keras.Model(image, layer(image)), lambda *_: partial(open_layer, layer))


def test_running_computes_each_node_and_forgets_what_nothing_reads_any_more():
    image = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")], name="inner")
    model = keras.Model(image, inner(image * 2.0) + 1.0)
    graph = trace(model)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    seen = []
    for node, values in graph.run([keras.ops.convert_to_tensor(x)]):
        seen.append((node.path, len(values)))
        last = values[node.outputs[0]]
    assert [count for _, count in seen] == [2, 2, 2] and seen[1][0] == "inner/dense"
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(last, 2 * x @ kernel + bias + 1, rtol=1e-5)


def test_running_is_not_training():
    class Noise(keras.Layer):
        def call(self, x, training=True):
            return x + 1.0 if training else x

    image = keras.Input((8, 8, 3))
    x = keras.layers.RandomFlip()(image)  # which draws by default
    graph = trace(keras.Model(image, keras.layers.Dropout(0.5)(Noise()(x))))
    x = keras.random.uniform((4, 8, 8, 3))
    for node, values in graph.run([x]):  # noqa: B007  the last is wanted
        pass
    np.testing.assert_array_equal(values[node.outputs[0]], x)


def test_several_outputs_of_one_operation_may_be_the_models():
    image = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(6, 1)(image)  # an operation with one output comes first
    outputs = trace(keras.Model(image, keras.ops.split(x, 3, axis=-1))).outputs
    assert [ref.shape for ref in outputs] == [(None, 8, 8, 2)] * 3


def test_a_layer_that_is_opened_reads_the_same_every_time():
    class Twice(keras.layers.Layer):
        def call(self, x):
            return keras.ops.mean(x, axis=1) + keras.ops.mean(x, axis=2)

    image = keras.Input((4, 4, 3))
    model = keras.Model(image, Twice(name="twice")(image))

    def opener(operation, path):
        return partial(open_layer, operation) if isinstance(operation, Twice) else None

    for _ in range(2):
        found = [node.path for node in trace(model, opener).nodes]
        assert found == ["twice/mean", "twice/mean_1", "twice/add"]
