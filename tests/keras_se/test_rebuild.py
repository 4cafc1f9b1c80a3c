"""A copy of a model, as it is and with some calls changed."""

import keras
import numpy as np
import pytest

from keras_se import SqueezeExcite
from keras_se.graph import trace
from keras_se.rebuild import rebuild

L = keras.layers


def small(name="small"):
    x = keras.Input((4, 4, 3), name="image")
    y = L.BatchNormalization(name="norm")(L.Conv2D(5, 3, name="conv")(x))
    y = SqueezeExcite(name="se")(keras.ops.relu(y) + 1.0)
    return keras.Model(x, L.Dense(2, name="dense")(y), name=name)


def nested():
    """A model in a model, called twice, and a layer called twice."""
    inner, shared = small("inner"), L.Conv2D(3, 1, name="shared")
    x = keras.Input((4, 4, 3), name="pixels")
    y = shared(shared(x))
    a, b = inner(x), inner(y)
    return keras.Model({"pixels": x}, {"sum": L.Add(name="sum")([a, b]), "a": a}, name="outer")


def images(shape=(2, 4, 4, 3)):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("make", [small, nested])
def test_a_copy_computes_the_same_with_weights_of_its_own(make):
    model = make()
    copy = rebuild(model)
    x = {"pixels": images()} if make is nested else images()
    before = keras.tree.map_structure(np.asarray, model(x))
    keras.tree.map_structure(np.testing.assert_array_equal, before, copy(x))
    assert [w.path for w in copy.weights] == [w.path for w in model.weights]
    assert copy.name == model.name and len(copy.weights) == len(model.weights)
    for weight in copy.weights:
        weight.assign(weight + 1.0)
    keras.tree.map_structure(np.testing.assert_array_equal, before, model(x))


def test_nested_models_stay_nested_and_shared_ones_shared():
    copy = rebuild(nested())
    assert [layer.name for layer in copy.layers] == ["pixels", "shared", "inner", "sum"]
    assert [x.name for x in copy.get_layer("inner").layers][:3] == ["image", "conv", "norm"]
    assert len(copy.get_layer("shared").weights) == 2


def test_what_is_frozen_stays_frozen():
    model = nested()
    model.get_layer("inner").trainable = False
    model.get_layer("inner").get_layer("norm").trainable = True
    model.get_layer("shared").bias.trainable = False
    copy = rebuild(model)
    assert [w.path for w in copy.trainable_weights] == [w.path for w in model.trainable_weights]
    trained = {w.path for w in copy.trainable_weights}
    assert trained == {"shared/kernel", "norm/gamma", "norm/beta"}
    assert not copy.get_layer("inner").trainable


def test_a_sequential_model_becomes_functional():
    model = keras.Sequential([keras.Input((3,)), L.Dense(2, name="dense")], name="chain")
    copy = rebuild(model)
    x = images((2, 3))
    np.testing.assert_array_equal(copy(x), model(x))
    assert copy.name == "chain" and copy.get_layer("dense").units == 2


def test_statistics_of_normalization_go_along():
    norm = L.Normalization(name="norm")
    norm.adapt(images((20, 3)) * 5 + 2)
    model = keras.Model(x := keras.Input((3,)), norm(x))
    np.testing.assert_array_equal(rebuild(model)(images((2, 3))), model(images((2, 3))))


def test_functions_without_a_configuration_go_along():
    factor = 3.0
    x = keras.Input((3,))
    model = keras.Model(x, L.Lambda(lambda t: t * factor)(x))
    np.testing.assert_array_equal(rebuild(model)(images((2, 3))), images((2, 3)) * 3)


@pytest.mark.filterwarnings("ignore:.*includes a `lambda`")
def test_an_activation_of_the_users_goes_along():
    def hard(x):
        return keras.ops.relu6(x + 3.0) / 6.0

    x = keras.Input((4,))
    for activation in (hard, lambda x: keras.ops.relu6(x + 3.0) / 6.0):
        model = keras.Model(x, L.Dense(3, activation=activation)(x))
        values = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
        kernel, bias = model.layers[-1].get_weights()
        expected = np.clip(values @ kernel + bias + 3, 0, 6) / 6
        np.testing.assert_allclose(rebuild(model)(values), expected, rtol=1e-5)


def test_one_call_can_be_changed_wherever_it_is():
    model = nested()
    second = [n for n in trace(model).nodes if n.path == "shared"][1]
    inside = next(n for n in trace(model).nodes if n.path == "inner/se")
    calls = {
        second.place: lambda copy, x: copy(x) * 0.0,
        inside.place: lambda copy, x: x,
    }
    copy = rebuild(model, calls=calls)
    assert [x.name for x in copy.get_layer("inner").layers if x.name == "se"] == []
    inner = copy.get_layer("inner")
    expected = inner(images()) + inner(np.zeros((2, 4, 4, 3), "float32"))
    np.testing.assert_allclose(copy({"pixels": images()})["sum"], expected, atol=1e-6)
    assert [w.path for w in model.weights if "/se/" in w.path or w.path.startswith("se/")]


def test_what_no_output_needs_is_left_out():
    x = keras.Input((4, 4, 3))
    gate = L.Dense(3, name="gate")(L.GlobalAveragePooling2D(keepdims=True, name="pool")(x))
    model = keras.Model(x, L.Multiply(name="scaled")([x, gate]))
    (place,) = [n.place for n in trace(model).nodes if n.path == "scaled"]
    copy = rebuild(model, calls={place: lambda copy, tensors: tensors[0]})
    assert [layer.name for layer in copy.layers[1:]] == []


def test_a_copy_saves_and_loads(tmp_path):
    model = rebuild(nested())
    model.save(tmp_path / "copy.keras")
    again = keras.models.load_model(tmp_path / "copy.keras")
    x = {"pixels": images()}
    np.testing.assert_array_equal(again(x)["sum"], model(x)["sum"])


def test_copying_leaves_the_model_as_it_was():
    model = nested()
    calls = [len(layer._inbound_nodes) for layer in model.get_layer("inner").layers]
    config = str(model.get_config())
    rebuild(model)
    assert [len(x._inbound_nodes) for x in model.get_layer("inner").layers] == calls
    assert str(model.get_config()) == config


def test_a_layer_without_its_configuration_is_named():
    class Forgetful(L.Layer):
        def __init__(self, function, **kwargs):
            super().__init__(**kwargs)
            self.function = function

        def call(self, x):
            return self.function(x)

    model = keras.Model(x := keras.Input((3,)), Forgetful(lambda t: t, name="mine")(x))
    with pytest.raises(TypeError, match=r"Forgetful 'mine' failed.*Give Forgetful a get_config"):
        rebuild(model)


def test_a_subclassed_model_is_refused():
    with pytest.raises(TypeError, match="functional"):
        rebuild(L.Dense(1))
