"""Which layer has which rule, which settings a rule reads, and what is opened or refused."""

import keras
import numpy as np
import pytest

import mobile
from mobile.lowering import layers as own
from mobile.lowering.registry import RULES, opener, rule_for, settings_of
from mobile.lowering.rules.spatial import OF_TRAINING
from tests.mobile.lowering.lowered import assert_equal, conv, kinds, model_of

_L = keras.layers
_SIZE = (8, 8, 4)

# What a layer cannot be made without.
NEEDED = {
    "Activation": {"activation": "relu"},
    "Conv2D": {"filters": 4, "kernel_size": 3},
    "DepthwiseConv2D": {"kernel_size": 3},
    "SeparableConv2D": {"filters": 4, "kernel_size": 3},
    "Conv2DTranspose": {"filters": 4, "kernel_size": 3},
    "Dense": {"units": 4},
    "Rescaling": {"scale": 2.0},
    "Normalization": {"mean": 1.0, "variance": 4.0},
    "Shift": {"value": 1.0},
    "Mean": {"axis": (1, 2)},
    "AveragePooling2D": {"pool_size": 2},
    "ScaleMap": {"values": [[0.5] * 8] * 8},
    "Resizing": {"height": 4, "width": 4},
    "DepthToSpace": {"block_size": 2},
    "Slice": {"begin": [0, 0, 0], "end": [None, None, None]},
    "Reshape": {"target_shape": (4, 16, 4)},
    "Permute": {"dims": (1, 2, 3)},
    "PReLU": {"shared_axes": [1, 2]},
    "Dropout": {"rate": 0.5},
    "SpatialDropout2D": {"rate": 0.5},
    "GaussianNoise": {"stddev": 1.0},
    "GaussianDropout": {"rate": 0.5},
    "AlphaDropout": {"rate": 0.5},
    "RandomRotation": {"factor": 0.5},
    "RandomZoom": {"height_factor": 0.5},
    "RandomTranslation": {"height_factor": 0.5, "width_factor": 0.5},
    "RandomContrast": {"factor": 0.5},
    "RandomBrightness": {"factor": 0.5},
}
# Another value of each setting that a rule reads. None of these may change what is computed.
OTHER = {
    "Activation": {"activation": "hard_silu"},
    "ReLU": {"max_value": 3.0, "negative_slope": 0.25},
    "LeakyReLU": {"negative_slope": 0.1},
    "Softmax": {"axis": 1},
    "Concatenate": {"axis": 1},
    "Conv2D": {"groups": 2},
    "DepthwiseConv2D": {"depth_multiplier": 2},
    "SeparableConv2D": {"depth_multiplier": 2},
    "Conv2DTranspose": {"strides": 2, "padding": "same", "output_padding": 1},
    "Dense": {"lora_rank": 2, "lora_alpha": 3.0},
    "BatchNormalization": {"axis": 3, "epsilon": 0.1, "center": False, "scale": False},
    "Rescaling": {"scale": [1.0, 2.0, 3.0, 4.0], "offset": [1.0, 0.0, -1.0, 0.5]},
    "Normalization": {"mean": [1.0] * 4, "variance": [4.0] * 4, "axis": -1, "invert": True},
    "GlobalAveragePooling2D": {"keepdims": True},
    "GlobalMaxPooling2D": {"keepdims": True},
    "Mean": {"axis": 1},
    "MaxPooling2D": {"pool_size": 3, "strides": 1, "padding": "same"},
    "AveragePooling2D": {"pool_size": 3, "strides": 1, "padding": "same"},
    "ZeroPadding2D": {"padding": ((0, 1), (2, 0))},
    "Cropping2D": {"cropping": ((0, 1), (2, 0))},
    "UpSampling2D": {"size": (2, 3), "interpolation": "bilinear"},
    "Resizing": {"height": 5, "width": 12, "interpolation": "nearest"},
    "Slice": {"begin": [1, 0, 2], "end": [-1, 3, 4]},
    "Permute": {"dims": (3, 1, 2)},
    "Reshape": {"target_shape": (-1, 4)},
}
for _kind in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D"):
    OTHER[_kind] |= {"strides": 2, "padding": "same", "kernel_size": 5, "use_bias": False}
    OTHER[_kind] |= {"activation": "relu6", "dilation_rate": 2}
OTHER["Conv2DTranspose"] |= {"use_bias": False, "activation": "relu", "dilation_rate": 2}
OTHER["Dense"] |= {"use_bias": False, "activation": "sigmoid"}
# And of those that no rule reads.
STRANGE = {
    ("Resizing", "crop_to_aspect_ratio"): {"crop_to_aspect_ratio": True},
    ("Resizing", "pad_to_aspect_ratio"): {"pad_to_aspect_ratio": True},
    ("Resizing", "fill_mode"): {"fill_mode": "nearest"},
    ("Resizing", "fill_value"): {"fill_value": 7.0},
    ("Resizing", "antialias"): {"antialias": True},
}
LAYERS = {kind.__name__: kind for kind in RULES if isinstance(kind, type)}
MERGING = ("Add", "Average", "Subtract", "Multiply", "Maximum", "Minimum", "Concatenate")
# Of training alone, or read from elsewhere than the configuration and tried in other tests.
UNTRIED = {"momentum", "renorm", "renorm_clipping", "renorm_momentum", "threshold", "data_format"}
UNTRIED |= {"synchronized", "quantization_config"}
UNTRIED |= {"filters", "units", "values", "value", "block_size", "shared_axes"}


def _model(kind, **settings):
    image = keras.Input(_SIZE)
    settings = {**NEEDED.get(kind, {}), **settings}
    given = [image, _L.Conv2D(4, 1)(image)] if kind in MERGING else image
    model = keras.Model(image, LAYERS[kind](**settings)(given))
    random = np.random.default_rng(0)
    for layer in model.layers:
        if not isinstance(layer, _L.Normalization):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_with_other_settings_is_lowered_to_what_it_computes(kind):
    layer = LAYERS[kind]
    if kind not in OTHER:
        assert_equal(_model(kind))
        return
    alone = [{name: value} for name, value in OTHER[kind].items()]
    together = {"strides", "padding", "output_padding"} & set(OTHER[kind])
    if kind == "Conv2DTranspose":
        alone = [s for s in alone if not together & set(s)] + [
            {name: OTHER[kind][name] for name in sorted(together)}
        ]
    if kind == "Normalization":
        alone = [{"invert": True}, {k: OTHER[kind][k] for k in ("mean", "variance")}]
    if kind == "Dense":
        alone = [s for s in alone if "lora_alpha" not in s]
    for settings in alone:
        assert set(settings) <= set(settings_of(layer))
        assert_equal(_model(kind, **settings))


@pytest.mark.parametrize("kind", LAYERS)
def test_every_setting_is_read_and_tried_or_refused_by_name(kind):
    layer = LAYERS[kind]
    rule = RULES[layer]
    for name in settings_of(layer):
        if name in rule.reads:
            tried = set(OTHER.get(kind, {})) | set(NEEDED.get(kind, {})) | UNTRIED
            assert name in tried or layer in OF_TRAINING
        elif (kind, name) in STRANGE:
            with pytest.raises(ValueError, match=f"{name}=.*Leave it at the usual {name}="):
                mobile.lower(_model(kind, **STRANGE[kind, name]))
        else:
            assert name == "data_format"


@pytest.mark.parametrize(
    "kind",
    [k for k in LAYERS if "data_format" in settings_of(LAYERS[k]) and not k.startswith("Random")],
)
def test_channels_first_is_refused_wherever_a_layer_may_have_it(kind):
    if kind == "SpatialDropout2D":
        pytest.skip("changes nothing at inference")
    image = keras.Input(_SIZE)
    layer = LAYERS[kind](**NEEDED.get(kind, {}), data_format="channels_first")
    try:
        model = keras.Model(image, layer(image))
    except Exception:
        pytest.skip("Keras itself cannot build it here")
    with pytest.raises(ValueError, match=r"data_format='channels_first'.*Build it channels_last"):
        mobile.lower(model)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: keras.ops.elu(x, alpha=0.5), "alpha=0.5"),
        (lambda x: keras.ops.max(x, axis=(1, 2), initial=3.0), "initial=3.0"),
        (lambda x: keras.ops.cast(keras.ops.cast(x, "int32"), "float32"), "cast from float32"),
        (lambda x: keras.ops.reshape(x, (-1, 4)), "Leave the batch alone"),
        (lambda x: keras.ops.expand_dims(x, 0), "Leave the batch alone"),
    ],
)
def test_an_operation_with_another_setting_is_refused(function, said):
    image = keras.Input(_SIZE)
    with pytest.raises(ValueError, match=said):
        mobile.lower(keras.Model(image, function(image)))


def test_an_operation_without_a_rule_is_named_with_the_layer_it_is_in():
    class LayerNorm(_L.Layer):
        def call(self, x):
            return keras.ops.fft2((x, x))[0]

    image = keras.Input(_SIZE)
    model = keras.Model(image, LayerNorm(name="stage2_norm")(image))
    with pytest.raises(TypeError, match=r"FFT2.*of layer 'stage2_norm'"):
        mobile.lower(model)


def test_a_lambda_is_not_told_to_register_lambda():
    def opaque(x):
        raise RuntimeError("written for another framework")

    image = keras.Input(_SIZE)
    layer = _L.Lambda(opaque, output_shape=_SIZE, name="odd")
    with pytest.raises(TypeError, match=r"'odd' of class Lambda.*Write its function in keras.ops"):
        mobile.lower(keras.Model(image, layer(image)))


def test_a_subclass_with_another_call_has_no_rule():
    class Double(_L.Conv2D):
        def call(self, x):
            return 2 * super().call(x)

    assert opener(Double(4, 1), "double") is not None
    assert opener(own.Shift(1.0), "shift") is None
    assert rule_for(own.Shift(1.0)) is RULES[own.Shift]


class Scaled(keras.layers.Layer):
    """A user's layer with a weight of its own and a layer inside."""

    def build(self, shape):
        self.gain = self.add_weight(shape=(1,), initializer="random_normal")
        self.inner = _L.Conv2D(shape[-1], 3, padding="same")
        self.inner.build(shape)

    def call(self, x):
        return keras.ops.relu(self.inner(x)) * self.gain + x

    def compute_output_shape(self, shape):
        return shape


class Wider(keras.layers.Conv2D):
    """A subclass that changes nothing."""


class Opaque(keras.layers.Layer):
    def call(self, x):
        raise RuntimeError("cannot be read")

    def compute_output_shape(self, shape):
        return shape


def test_a_layer_without_a_rule_is_opened():
    assert_equal(model_of(lambda x: Scaled()(conv(x))))


def test_opening_a_layer_leaves_no_trace_in_it():
    model = model_of(lambda x: Scaled(name="scaled")(conv(x)))
    layer = model.get_layer("scaled")
    before = len(layer._inbound_nodes), len(layer.inner._inbound_nodes), sorted(vars(layer))
    mobile.lower(model)
    assert before == (
        len(layer._inbound_nodes), len(layer.inner._inbound_nodes), sorted(vars(layer))
    )  # fmt: skip


def test_a_subclass_that_computes_the_same_has_the_same_rule():
    assert kinds(assert_equal(model_of(Wider(3, 1)))) == {"Conv2D": 1}


def test_a_layer_that_cannot_be_opened_is_named_with_what_to_do():
    with pytest.raises(TypeError, match=r"'opaque.*of class Opaque.*lowering_rule\(Opaque\)"):
        mobile.lower(model_of(Opaque(name="opaque")))


def test_an_operation_without_an_equal_is_named():
    with pytest.raises(TypeError, match="Cumsum"):
        mobile.lower(model_of(lambda x: keras.ops.cumsum(x, axis=1)))


def test_lowering_rule_takes_a_layer_class_only():
    with pytest.raises(TypeError, match=r"@mobile\.lowering_rule"):
        mobile.lowering_rule("Conv2D")
