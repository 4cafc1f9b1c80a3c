import os
from collections import Counter

import keras
import numpy as np
import pytest

from mobile import devices, quantization, tflite
from mobile.conversion import converter
from mobile.conversion.converter import convert
from mobile.tflite import schema
from mobile.tflite.artifact import Artifact


def _outputs(artifact, images, kernels="default"):
    return artifact.restore(devices.predict(artifact, artifact.prepare(images), kernels)[0])


def test_int8_computes_what_the_simulation_says(quantized, artifact, images):
    simulated = quantized.predict(images, verbose=0)
    # Softmax in steps of 1/256; a level more or less in each of 20 operators before it.
    assert np.abs(_outputs(artifact, images) - simulated).max() <= 2.5 / 256


def test_int8_is_integer_throughout_and_one_partition(artifact):
    tflite.check_int8(artifact)
    assert {key.split()[1] for key in artifact.operators} == {"int8"}
    assert devices.partitions(artifact) == 1


def test_the_files_ranges_are_those_given(artifact, ranges):
    tensors = {t.name: t for t in tflite.read(artifact).tensors}
    for name, (low, high) in ranges.items():
        if name != "rescaling":
            assert tensors[name].scales[0] == pytest.approx((high - low) / 255, rel=1e-5)
    assert tensors["sigmoid"].scales == (1 / 256,) and tensors["sigmoid"].zero_points == (-128,)


def test_tensors_carry_layer_names(artifact, lowered):
    tensors = {t.name for t in tflite.read(artifact).tensors}
    weighted = [layer.name for layer in lowered.layers if layer.weights]
    assert {"image", *weighted} <= tensors
    assert {f"{name}/{part}" for name in weighted for part in ("kernel", "bias")} <= tensors


def test_preprocessing_is_cut_off_and_told(artifact):
    assert artifact.preprocessing.scale == pytest.approx((1 / 127.5,) * 3)
    assert artifact.preprocessing.offset == (-1.0,) * 3
    # Step 1/127 and zero point 0 by the input rule: pixel 0 is -1 = -127, pixel 255 is 127.
    pixels = np.zeros((2, 16, 16, 3), np.float32)
    pixels[1] = 255
    assert artifact.prepare(pixels)[:, 0, 0, 0].tolist() == [-127, 127]


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_other_io_types(quantized, artifact, images, kind):
    other = convert(quantized, input_type=kind, output_type=kind)
    assert other.inputs[0].dtype == other.outputs[0].dtype == kind
    assert np.abs(_outputs(other, images) - _outputs(artifact, images)).max() <= 1.5 / 256


@pytest.mark.parametrize("scheme, tolerance", [("float32", 1e-5), ("float16", 1e-3)])
def test_float_files_take_pixels(lowered, images, scheme, tolerance):
    artifact = convert(lowered, scheme)
    assert artifact.preprocessing is None and artifact.scheme == scheme
    difference = _outputs(artifact, images) - lowered.predict(images, verbose=0)
    assert np.abs(difference).max() < tolerance


def test_int16x8_is_closer_than_int8(lowered, artifact, images):
    other = convert(lowered, "int16x8", calibration=images)
    truth = lowered.predict(images, verbose=0)
    assert other.inputs[0].dtype == "int16"
    error = np.abs(_outputs(other, images) - truth).max()
    assert error < np.abs(_outputs(artifact, images) - truth).max()


@pytest.mark.parametrize("seed", [0, 1])
def test_transposed_and_multiplied_convolutions_convert(images, seed):
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu", name="twice")(image)
    x = layers.Conv2DTranspose(5, 2, strides=2, name="up")(x)
    x = layers.Conv2D(10, 3, groups=5, bias_initializer="normal", name="grouped")(x)
    model = keras.Model(image, x)
    scaled = images / 127.5 - 1
    artifact = convert(model, calibration=scaled, method="minmax")
    kernels = {t.name: t for t in tflite.read(artifact).tensors if t.name.endswith("/kernel")}
    assert {name: len(t.scales) for name, t in kernels.items()} == {
        "twice/kernel": 6,
        "up/kernel": 5,
        "grouped/kernel": 10,
    }
    truth = model.predict(scaled, verbose=0)
    assert np.abs(_outputs(artifact, scaled) - truth).max() < 0.04 * np.abs(truth).max()


def test_a_dead_channel_keeps_its_bias(images):
    image = keras.Input((16, 16, 3), name="image")
    conv = keras.layers.Conv2D(4, 1, name="conv")
    model = keras.Model(image, conv(image))
    kernel = np.zeros((1, 1, 3, 4))
    kernel[..., :3] = np.eye(3)
    conv.set_weights([kernel, np.array([0, 0, 0, 0.7])])
    scaled = images / 127.5 - 1
    outputs = _outputs(convert(model, calibration=scaled), scaled)
    assert outputs[..., 3] == pytest.approx(0.7, abs=0.01)


def test_the_environment_and_the_model_stay_as_they_were(lowered, images):
    before, weights = dict(os.environ), lowered.get_weights()
    convert(lowered, calibration=images)
    assert dict(os.environ) == before
    assert all((a == b).all() for a, b in zip(weights, lowered.get_weights(), strict=True))


def test_nothing_is_logged(quantized, capfd):
    convert(quantized)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"scheme": "int4"}, "int8, float32"),
        ({"input_type": "int32"}, "`input_type`"),
        ({}, "`calibration`"),
        ({"scheme": "int16x8"}, "calibration=None"),
        ({"scheme": "float32", "float_layers": ["stem"]}, "scheme='int8'"),
        ({"ranges": {}, "float_layers": ["stem", "pool"]}, "'pool'. Known are stem, gate"),
        ({"ranges": {}, "float_layers": ["rescaling"]}, "'rescaling'"),
    ],
)
def test_bad_options_say_what_to_pass(lowered, options, message):
    with pytest.raises(ValueError, match=message):
        convert(lowered, **options)


def test_a_quantised_model_refuses_other_schemes(quantized):
    with pytest.raises(ValueError, match="strip"):
        convert(quantized, "float32")


def test_what_is_no_keras_model_is_refused():
    with pytest.raises(TypeError, match=r"mobile\.load"):
        convert("model.keras")


def test_a_file_is_opened_lowered_and_packed_once(lowered, images, monkeypatch):
    calls = Counter()

    def counted(module, name):
        function = getattr(module, name)

        def call(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    counted(schema, "unpack")
    counted(schema, "pack")
    counted(converter, "lower")
    artifact = convert(lowered, calibration=images)
    assert calls == {"unpack": 1, "pack": 1, "lower": 1}
    again = Artifact.from_content(artifact.content)  # all that the record says stands in the file
    assert again == artifact


def test_weights_that_are_no_numbers_name_the_layer(lowered, ranges, images):
    broken = keras.models.clone_model(lowered)
    broken.set_weights(lowered.get_weights())
    kernel, bias = broken.get_layer("project").get_weights()
    broken.get_layer("project").set_weights([kernel * np.nan, bias])
    options = [{"ranges": ranges}, {"calibration": images}, {"scheme": "float32"}]
    for each in (*options, {"scheme": "dynamic"}, {"scheme": "int16x8", "calibration": images}):
        with pytest.raises(ValueError, match="NaN or infinity in layer 'project' of model 'tiny'"):
            convert(broken, **each)
    aware = quantization.quantize_aware(lowered, ranges=ranges)
    aware.get_layer("project").set_weights([kernel * np.inf, bias])
    with pytest.raises(ValueError, match="'project'"):
        convert(aware)


def test_weights_beyond_float16_are_refused_there_alone():
    """The converter would take 65,504 for 100,000."""
    image = keras.Input((4, 4, 1))
    conv = keras.layers.Conv2D(1, 1, kernel_initializer=keras.initializers.Constant(1e5))
    model = keras.Model(image, conv(image))
    with pytest.raises(ValueError, match="NaN or more than float16's 65,504 in layer"):
        convert(model, "float16")
    assert convert(model, "float32").scheme == "float32"


def test_ranges_in_a_plain_dictionary_get_every_check(lowered, ranges):
    plain = dict(ranges)
    assert convert(lowered, ranges=plain).content == convert(lowered, ranges=ranges).content
    for wrong, message in (
        ((1.0, 0.0), "its low end first.*'project'"),
        ((0.0, np.nan), "finite.*'project'"),
        ((0.0, 1.0, 2.0), r"a pair \(low, high\).*'project'"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(lowered, ranges={**plain, "project": wrong})
    with pytest.raises(ValueError, match=r"must be of tensors that carry one.*'projct'"):
        convert(lowered, ranges={**plain, "projct": (0.0, 1.0)})
    with pytest.raises(TypeError, match=r"mobile\.calibrate"):
        convert(lowered, ranges=[1, 2])


@pytest.mark.parametrize(
    "options",
    [
        {"scheme": "dynamic", "calibration": np.zeros(1)},
        {"scheme": "float32", "ranges": {}},
        {"scheme": "float16", "method": "minmax"},
        {"scheme": "weight_only", "correction": True},
        {"scheme": "dynamic", "input_type": "uint8"},
        {"scheme": "int16x8", "output_type": "float32"},
    ],
)
def test_arguments_without_effect_are_refused(lowered, options):
    name = list(options)[-1]
    with pytest.raises(ValueError, match=f"must have an effect. Received: {name} with scheme"):
        convert(lowered, **options)


@pytest.mark.parametrize(
    "name, value",
    [
        ("calibration", np.zeros(1)),
        ("ranges", {}),
        ("target", "builtin"),
        ("method", "minmax"),
        ("correction", False),
    ],
)
def test_a_quantised_model_takes_nothing_that_it_has_already(quantized, name, value):
    with pytest.raises(ValueError, match=rf"{name} with a quant.*mobile\.quantize_aware"):
        convert(quantized, **{name: value})


def test_a_method_for_ranges_that_are_found_already_is_refused(lowered, ranges):
    with pytest.raises(ValueError, match=r"`method`.*minmax.*found already"):
        convert(lowered, ranges=ranges, method="minmax")


def test_a_layer_in_float_and_its_readers_are_all_that_is(lowered, ranges, images):
    mixed = convert(lowered, ranges=ranges, float_layers=["depthwise"])
    floats = {
        op.outputs[0].name: op.name for op in tflite.read(mixed).operators if "float" in op.dtype
    }
    assert floats == {
        "hard_swish_float": "DEQUANTIZE",
        "depthwise": "DEPTHWISE_CONV_2D",
        "squeeze": "MEAN",
        "squeeze_range": "QUANTIZE",
        "excite_float": "DEQUANTIZE",
        "scaled": "MUL",
        "scaled_range": "QUANTIZE",
    }
    # XNNPACK takes them all: it costs no partition, and none is warned of.
    assert mixed.partitions == devices.partitions(mixed) == 1
    simulation = quantization.quantize_aware(lowered, ranges=ranges, float_layers=["depthwise"])
    difference = _outputs(mixed, images) - simulation.predict(images, verbose=0)
    assert np.abs(difference).max() <= 2.5 / 256


def test_a_layer_whose_name_ends_like_a_second_call_is_not_taken_for_the_other():
    # The converter knows a second call of `conv` and the layer `conv_1` by one name.
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = keras.layers.Conv2D(5, 3, activation="relu", name="conv_1")(x)
    x = keras.layers.Conv2D(6, 3, activation="relu", name="conv_1_1")(x)
    model = keras.Model(image, keras.layers.Conv2D(7, 1, name="conv_2")(x))
    model.get_layer("conv").set_weights([model.get_layer("conv").get_weights()[0], np.arange(4.0)])
    pixels = np.random.default_rng(0).uniform(0, 1, (10, 8, 8, 3)).astype("float32")
    channels = {"conv": 4, "conv_1": 5, "conv_1_1": 6, "conv_2": 7}
    for options in ({}, {"float_layers": ["conv"]}, {"float_layers": ["conv_1"]}):
        file = tflite.read(convert(model, calibration=pixels, correction=False, **options))
        found = {t.name: t for op in file.operators for t in op.outputs}
        assert {name: found[name].shape[-1] for name in channels} == channels
        floats = {name for name in channels if found[name].dtype == "float32"}
        assert floats == {"conv": {"conv", "conv_1"}, "conv_1": {"conv_1", "conv_1_1"}}.get(
            options.get("float_layers", [None])[0], set()
        )


def test_what_layers_in_float_cost_in_partitions_is_said(lowered, ranges, monkeypatch):
    counts = iter([3, 1])
    monkeypatch.setattr(devices, "partitions", lambda content: next(counts))
    with pytest.warns(UserWarning, match="3 partitions, where all in int8 has 1"):
        assert convert(lowered, ranges=ranges, float_layers=["project"]).partitions == 3


def test_other_float_operators_are_still_refused(lowered, ranges):
    mixed = convert(lowered, ranges=ranges, float_layers=["project"])
    tflite.check_int8(mixed, float_layers=["project", "sum"])
    with pytest.raises(ValueError, match="'hard_swish_float': it changes int8 into float32"):
        tflite.check_int8(mixed, float_layers=["project"])


def test_the_last_layers_in_float_need_a_float_output(lowered, ranges, images):
    floats = ["logits", "softmax"]
    with pytest.raises(ValueError, match="output_type='float32'"):
        convert(lowered, ranges=ranges, float_layers=floats)
    mixed = convert(lowered, ranges=ranges, float_layers=floats, output_type="float32")
    assert mixed.outputs[0].dtype == "float32"
    assert mixed.operators["SOFTMAX float32"] == mixed.operators["CONV_2D float32"] == 1
    simulation = quantization.quantize_aware(lowered, ranges=ranges, float_layers=floats)
    difference = _outputs(mixed, images) - simulation.predict(images, verbose=0)
    assert np.abs(difference).max() <= 2.5 / 256


def test_a_quantised_model_knows_its_layers_in_float(quantized):
    with pytest.raises(ValueError, match=r"mobile\.quantize_aware"):
        convert(quantized, float_layers=["stem"])
