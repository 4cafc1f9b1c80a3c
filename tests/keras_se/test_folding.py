"""A gate that became a constant."""

import keras
import numpy as np
import pytest

import keras_se
from keras_se import SEConfig, SqueezeExcite

L = keras.layers


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(6, 5, 4, 8)).astype("float32")


SCALE = np.array([0.5, 0, 1, 2, -1, 0.1, 3, 1.5])


def by_hand(x):
    s = L.GlobalAveragePooling2D(name="se_pool")(x)
    s = L.Dense(8, "sigmoid", name="se_up")(L.Dense(2, name="se_down")(s))
    return L.Multiply(name="se_mul")([L.Reshape((1, 1, 8))(s), x])


@pytest.mark.parametrize(
    ("body", "block", "left"),
    [
        (SqueezeExcite(name="se"), "se", "se"),
        (by_hand, "se", "se_mul"),
        (lambda x: x * L.Dense(8)(keras.ops.mean(x, axis=(1, 2), keepdims=True)), None, None),
    ],
    ids=["layer", "by hand", "operations"],
)
def test_a_folded_block_multiplies_by_its_constants(images, body, block, left):
    x = keras.Input((5, 4, 8), name="image")
    model = keras.Model(x, body(x))
    block = block or keras_se.gates(model, images).blocks[0].name
    folded = keras_se.fold(model, {block: SCALE})
    np.testing.assert_allclose(folded(images), images * SCALE, rtol=1e-6)
    assert [type(layer).__name__ for layer in folded.layers[1:]] == ["ChannelScale"]
    assert folded.layers[1].name == (left or block)


def test_of_several_blocks_only_the_named_ones_go(images):
    x = keras.Input((5, 4, 8), name="image")
    y = SqueezeExcite(name="first")(x)
    model = keras.Model(x, SqueezeExcite(name="second")(by_hand(y)))
    folded = keras_se.fold(model, {"se": SCALE, "first": SCALE})
    second = model.get_layer("second")
    np.testing.assert_allclose(folded(images), second(images * SCALE**2), rtol=1e-5, atol=1e-6)
    names = [layer.name for layer in folded.layers]
    assert names == ["image", "first", "se_mul", "second"]
    assert len(model.layers) == 8  # the image, two layers, and the five by hand


def test_blocks_in_a_nested_and_in_a_shared_model_are_folded_there(images):
    x = keras.Input((5, 4, 8))
    inner = keras.Model(x, L.Conv2D(8, 1, name="conv")(by_hand(x)), name="inner")
    outer = keras.Model(x, inner(inner(x)), name="outer")
    folded = keras_se.fold(outer, {"se": SCALE})
    conv = inner.get_layer("conv")
    np.testing.assert_allclose(
        folded(images), conv(conv(images * SCALE) * SCALE), rtol=1e-4, atol=1e-5
    )
    assert [layer.name for layer in folded.get_layer("inner").layers[1:]] == ["se_mul", "conv"]


class Mine(L.Layer):
    """Squeeze-and-excitation as users write it."""

    def build(self, shape):
        self.expand = L.Dense(shape[-1], "sigmoid")
        self.expand.build((None, shape[-1]))

    def call(self, x):
        return x * self.expand(keras.ops.mean(x, axis=(1, 2)))[:, None, None, :]


@pytest.mark.parametrize("folded_of_two", [1, 2])
@pytest.mark.parametrize("how", ["our layer", "their layer", "multiplication"])
def test_of_a_layer_that_is_called_twice_each_call_can_go(images, how, folded_of_two):
    def block(x):
        if how != "multiplication":
            return shared(x)
        return shared([x, L.Dense(8, "sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(x))])

    shared = {
        "our layer": SqueezeExcite(name="se"), "their layer": Mine(name="se"),
        "multiplication": L.Multiply(name="se"),
    }[how]  # fmt: skip
    x = keras.Input((5, 4, 8), name="image")
    model = keras.Model(x, block(L.ReLU(name="relu")(block(x))))
    assert [b.name for b in keras_se.gates(model, images).blocks] == ["se", "se_1"]
    folded = keras_se.fold(model, dict.fromkeys(["se", "se_1"][:folded_of_two], SCALE))
    behind_the_first = np.maximum(images * SCALE, 0)
    if folded_of_two == 2:
        np.testing.assert_allclose(folded(images), behind_the_first * SCALE, rtol=1e-6)
        return
    second = keras.Model(model.get_layer("relu").output, model.output)
    np.testing.assert_allclose(folded(images), second(behind_the_first), rtol=1e-5, atol=1e-6)


def test_channels_first_and_sequences(images):
    x = keras.Input((8, 5))
    layer = SqueezeExcite(data_format="channels_first", name="se")
    folded = keras_se.fold(keras.Model(x, layer(x)), {"se": SCALE})
    sequence = np.moveaxis(images[:, 0], 1, -1)[:, :, :4]
    sequence = np.concatenate([sequence, sequence[:, :, :1]], axis=-1)
    np.testing.assert_allclose(folded(sequence), sequence * SCALE[:, None], rtol=1e-6)


def test_half_precision_stays_half(images):
    x = keras.Input((5, 4, 8))
    model = keras.Model(x, SqueezeExcite(name="se", dtype="mixed_float16")(x))
    folded = keras_se.fold(model, {"se": SCALE})
    assert folded.output.dtype == model.output.dtype == "float16"
    assert folded.get_layer("se").weights[0].dtype == "float32"


def test_a_gate_that_is_constant_folds_without_a_change(images):
    x = keras.Input((5, 4, 8))
    model = keras.Model(x, SEConfig(reduction=2).layer("se")(x))
    weights = model.get_weights()
    model.set_weights([weights[0] * 0, *weights[1:]])  # the squeeze is not read
    found = keras_se.gates(model, images)
    folded = keras_se.fold(model, {"se": found["se"].constant})
    np.testing.assert_allclose(folded(images), model(images), atol=1e-6)


def test_a_folded_model_trains_saves_and_loads(images, tmp_path):
    x = keras.Input((5, 4, 8))
    folded = keras_se.fold(keras.Model(x, by_hand(x)), {"se": SCALE})
    folded.compile(keras.optimizers.SGD(0.1), "mse")
    folded.train_on_batch(images, images)
    assert not np.allclose(folded.layers[1].get_weights()[0], SCALE)
    folded.save(tmp_path / "folded.keras")
    again = keras.models.load_model(tmp_path / "folded.keras")
    np.testing.assert_array_equal(again(images), folded(images))


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ({"nowhere": SCALE}, "must name gated blocks.*'nowhere'.*Known are se, both/channel"),
        ({"se": SCALE[:7]}, r"shape \(7,\) for the 8 channels of 'se'"),
        ({"se": 0.5}, r"shape \(\) for the 8 channels"),
        ({"se": SCALE * np.nan}, "not all finite for the 8 channels"),
        ({"both/channel": SCALE}, "'both/channel'.*computes more. Leave it out"),
        ({"both/spatial": SCALE}, "one for each position"),
    ],
)
def test_constants_that_fit_no_block_are_refused(constants, said):
    x = keras.Input((5, 4, 8))
    both = SEConfig(kind="scse").layer("both")
    model = keras.Model(x, both(SqueezeExcite(name="se")(x)))
    with pytest.raises(ValueError, match=said):
        keras_se.fold(model, constants)
