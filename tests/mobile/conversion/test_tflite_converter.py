import keras
import numpy as np
import pytest

from keras_se.graph import trace
from mobile.conversion import tflite_converter


def _odd():
    image = keras.Input((4, 4, 3), name="image")
    x = keras.layers.Conv2D(2, 1, name="fine")(image)
    return keras.Model(
        image, keras.layers.Activation(keras.ops.erfinv, name="strange")(x), name="odd"
    )


def test_a_refused_operator_names_model_and_layer_and_what_to_do():
    refused = r"'odd', at layer 'strange' of class Activation.*Erfinv.*Replace that layer"
    with pytest.raises(RuntimeError, match=refused):
        tflite_converter.run(_odd())


def test_weights_become_constants_and_the_batch_is_one():
    image = keras.Input((4, 4, 3), name="image")
    model = keras.Model(image, keras.layers.Conv2D(2, 1, bias_initializer="normal")(image))
    function = tflite_converter.concrete_function(model, trace(model))
    assert not function.graph.captures
    pixels = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype("float32")
    (found,) = function(keras.ops.convert_to_tensor(pixels))
    assert np.asarray(found) == pytest.approx(np.asarray(model(pixels)), abs=1e-6)
    assert function.inputs[0].shape == (1, 4, 4, 3)


def test_the_models_weights_are_left_to_it():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 1)])
    before = [weight.copy() for weight in model.get_weights()]
    content, graph = tflite_converter.run(model)
    assert content[4:8] == b"TFL3" and len(graph.nodes) == 1
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
