"""The walk over a model's graph."""

import keras
import pytest

from keras_se.graph import trace


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
