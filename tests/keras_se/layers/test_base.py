"""What the layers share: their configuration, files, data format, and what they refuse."""

import json

import keras
import numpy as np
import pytest

import keras_se
from keras_se import (
    ChannelScale,
    ConcurrentSqueezeExcite,
    SEConfig,
    SpatialSqueezeExcite,
    SqueezeExcite,
    StaticSqueezeExcite,
)
from tests.keras_se.layers.formulas import KINDS, model_of, random_images


@keras.saving.register_keras_serializable(package="test_layers")
def third(x):
    return keras.ops.multiply(x, 1 / 3)


LAYERS = {
    "cse": lambda: SqueezeExcite(
        4,
        min_channels=2,
        divisor=2,
        pool="avg+max",
        activation="silu",
        gate="hard_sigmoid",
        use_bias=False,
        round_limit=0.5,
        kernel_initializer="he_normal",
        kernel_regularizer="l2",
        data_format="channels_last",
        name="se",
    ),
    "sse": lambda: SpatialSqueezeExcite("tanh", use_bias=False, name="se", dtype="mixed_bfloat16"),
    "scse": lambda: ConcurrentSqueezeExcite(4, aggregate="concat", pool=None, name="se"),
    "static": lambda: StaticSqueezeExcite(
        4, min_channels=2, activation="silu", gate="tanh", use_bias=False, name="se"
    ),
    "scale": lambda: ChannelScale(name="se", dtype="mixed_float16"),
    "objects": lambda: SqueezeExcite(
        activation=keras.activations.relu6,
        gate=third,
        kernel_initializer=keras.initializers.RandomNormal(0.0, 0.1, seed=3),
        kernel_regularizer=keras.regularizers.L1(1e-3),
        name="se",
        trainable=False,
    ),
    "layer as activation": lambda: SqueezeExcite(activation=keras.layers.LeakyReLU(0.1)),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("built", [False, True], ids=["before build", "after build"])
def test_config_goes_through_json(make, built):
    layer = make()
    if built:
        layer.build((None, 8, 8, 16))
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert again.get_config() == layer.get_config()
    outer = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    restored = keras.saving.deserialize_keras_object(outer)
    assert type(restored) is type(layer)
    assert restored.get_config() == layer.get_config()
    assert restored.built == built


def test_arguments_are_stored_and_returned_untouched():
    given = {
        "reduction": 3.5,
        "min_channels": 5,
        "divisor": 4,
        "pool": None,
        "activation": "gelu",
        "gate": "relu",
        "use_bias": False,
        "aggregate": "mul",
        "round_limit": 0.25,
        "kernel_initializer": "he_uniform",
        "kernel_regularizer": None,
        "data_format": "channels_last",
    }
    layer = ConcurrentSqueezeExcite(**given)
    for _ in range(2):
        assert {name: getattr(layer, name) for name in given} == given
        assert {name: layer.get_config()[name] for name in given} == given
        if not layer.built:
            layer.build((None, 8, 8, 32))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_saves_and_loads_as_keras_file_and_as_weights(make, tmp_path):
    model, x = model_of(make()), random_images(2, 6, 5, 16)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    assert type(again.layers[-1]) is type(model.layers[-1])
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = model_of(make())
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(fresh.predict(x, verbose=0), expected)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy.predict(x, verbose=0), expected)


@pytest.mark.parametrize("end", ["keras", "h5", "weights.h5"])
@pytest.mark.parametrize("aggregate", ["add", "max", "mul", "concat"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_aggregate_is_read_back_from_every_file(kind, aggregate, end, tmp_path):
    config = SEConfig(kind, reduction=4, min_channels=1, aggregate=aggregate)
    model, x = model_of(config.layer(name="se")), random_images(2, 6, 5, 16)
    path = tmp_path / f"model.{end}"
    if end == "weights.h5":
        model.save_weights(path)
        again = model_of(config.layer(name="se"))
        again.load_weights(path)
    else:
        model.save(path)
        again = keras.models.load_model(path)
    np.testing.assert_array_equal(again(x), model(x))
    assert again.get_layer("se").get_config() == model.get_layer("se").get_config()


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_saves_and_loads_as_h5_file(make, tmp_path):
    model, x = model_of(make()), random_images(2, 6, 5, 16)
    model.save(tmp_path / "model.h5")
    again = keras.models.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(again(x), model(x))


@pytest.fixture
def data_format():
    before = keras.config.image_data_format()
    yield keras.config.set_image_data_format
    keras.config.set_image_data_format(before)


@pytest.mark.parametrize("end", ["keras", "h5"])
@pytest.mark.parametrize("formats", [("last", "first"), ("first", "last")])
@pytest.mark.parametrize("kind", KINDS)
def test_the_data_format_is_that_of_the_making(kind, formats, end, data_format, tmp_path):
    # 8x8x8: no shape tells the formats apart.
    config = SEConfig(kind, reduction=2, min_channels=1, aggregate="concat")
    x, (made, later) = random_images(2, 8, 8, 8), formats
    data_format(f"channels_{made}")
    model = model_of(config.layer(), (8, 8, 8))
    expected = keras.ops.convert_to_numpy(model(x))
    path = tmp_path / f"model.{end}"
    model.save(path)
    data_format(f"channels_{later}")
    for same in (model, keras.models.load_model(path), keras.models.clone_model(model)):
        same.set_weights(model.get_weights())
        np.testing.assert_array_equal(same(x), expected)
    assert model.layers[-1].get_config()["data_format"] == f"channels_{made}"
    other = model_of(config.layer(), (8, 8, 8))  # made under the other setting
    other.set_weights(model.get_weights())
    turned = np.moveaxis(x, *((-1, 1) if later == "first" else (1, -1)))
    turned = keras.ops.convert_to_numpy(other(turned))
    back = np.moveaxis(turned, *((1, -1) if later == "first" else (-1, 1)))
    np.testing.assert_allclose(back, expected, atol=1e-6)


def test_sublayers_with_kernels_of_equal_shape_start_different():
    initializer = keras.initializers.HeNormal()
    layer = SqueezeExcite(1, kernel_initializer=initializer)
    layer.build((None, 4, 4, 16))
    reduce, expand = layer.get_weights()[::2]
    assert reduce.shape == expand.shape
    assert np.any(reduce != expand)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(None, 16), (None, 2, 3, 4, 5, 16)])
def test_other_ranks_are_refused(kind, shape):
    with pytest.raises(ValueError, match=r"rank 4 .*layer 'se'.*keras\.layers\.Reshape"):
        SEConfig(kind).layer(name="se")(keras.Input(shape[1:]))


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_channels_are_refused(kind):
    with pytest.raises(ValueError, match=r"layer 'se'.*keras\.Input\(\(None, None, 64\)\)"):
        SEConfig(kind).layer(name="se")(keras.Input((8, 8, None)))
    with pytest.raises(ValueError, match=r"channels must be known.*channels_first"):
        SEConfig(kind).layer(data_format="channels_first")(keras.Input((None, 8, 8)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_integers_are_refused_in_models_and_in_calls(kind, dtype):
    for x in (keras.Input((8, 8, 16), dtype=dtype), np.ones((1, 8, 8, 16), dtype)):
        with pytest.raises(TypeError, match=rf"Received: dtype {dtype} .*'se'.*Rescaling"):
            SEConfig(kind).layer(name="se")(x)


@pytest.mark.parametrize(
    "make",
    [SqueezeExcite, SpatialSqueezeExcite, ConcurrentSqueezeExcite, StaticSqueezeExcite],
)
def test_bad_arguments_are_refused_with_advice(make):
    with pytest.raises(ValueError, match="Choose from 'sigmoid', 'hard_sigmoid', 'tanh', 'relu'"):
        make(gate="softmax")
    with pytest.raises(ValueError, match=r"`data_format` must.*Pass None for the setting of Keras"):
        make(data_format="NHWC")
    with pytest.raises(TypeError, match="Pass use_bias=True or use_bias=False"):
        make(use_bias="yes")
    with pytest.raises(ValueError, match=r"`kernel_init.*='he_norml'.*Did you mean 'he_normal'"):
        make(kernel_initializer="he_norml")
    with pytest.raises(TypeError, match=r"`kernel_init.*=3 of type int.*name such as 'he_normal'"):
        make(kernel_initializer=3)
    with pytest.raises(ValueError, match=r"`kernel_reg.*='l3'.*Choose from 'l1', 'l2'"):
        make(kernel_regularizer="l3")
    if make is not SpatialSqueezeExcite:
        with pytest.raises(ValueError, match="for a quarter, pass reduction=4"):
            make(reduction=0.25)
        with pytest.raises(ValueError, match="Pass a reduction of at most 8, or min_channels=1"):
            make(reduction=16, min_channels=0)(keras.Input((4, 4, 8)))


def test_the_argument_order_of_other_libraries_is_refused_with_what_to_write():
    for make in (SqueezeExcite, ConcurrentSqueezeExcite, StaticSqueezeExcite):
        advice = rf"Received: {make.__name__}\(64, 16\).*write {make.__name__}\(reduction=16\)"
        with pytest.raises(TypeError, match=f"must be named.*{advice}"):
            make(64, 16)
    with pytest.raises(TypeError, match=r"write SpatialSqueezeExcite\(gate='tanh'\)"):
        SpatialSqueezeExcite("sigmoid", True)
    with pytest.raises(TypeError, match=r"Every argument must be named.*write ChannelScale\(\)"):
        ChannelScale(64)


def test_other_channels_than_built_for_are_refused():
    layer = SqueezeExcite()
    layer.build((None, 8, 8, 16))
    with pytest.raises(ValueError, match="expected axis 3 of input shape to have value 16"):
        layer(np.ones((1, 8, 8, 32), "float32"))


@pytest.mark.parametrize(
    "layer",
    [
        keras_se.SqueezeExcite,
        keras_se.SpatialSqueezeExcite,
        keras_se.ConcurrentSqueezeExcite,
        keras_se.StaticSqueezeExcite,
        keras_se.ChannelScale,
    ],
)
def test_a_typo_in_an_argument_gets_the_nearest(layer):
    with pytest.raises(TypeError, match=r"takes\. Received: data_fromat\. .*'data_format'"):
        layer(data_fromat="channels_last")
    with pytest.raises(TypeError, match=r"Received: trainabel\. Did you mean 'trainable'"):
        layer(trainabel=False)
