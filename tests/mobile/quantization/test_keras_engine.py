import pathlib

import keras
import numpy as np
import pytest

import mobile
from keras_se.rebuild import rebuild
from mobile import tflite
from mobile.quantization import keras_engine, quantize_aware, strip


def test_fake_quantisation_rounds_to_256_levels():
    layer = keras_engine.FakeQuantize(0.0, 25.5)  # steps of 0.1
    assert np.array(layer(np.array([[0.04, 0.06, 30.0, -1.0]]))) == pytest.approx(
        np.array([[0.0, 0.1, 25.5, 0.0]])
    )


def test_kernels_are_on_their_channels_grid():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype("float32")
    on_grid = np.array(keras_engine.quantized_kernel(kernel, np.zeros(6), 0.1, axis=3))
    step = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    levels = on_grid / step
    assert np.abs(levels - np.round(levels)).max() < 1e-3
    assert np.abs(on_grid - kernel).max(axis=(0, 1, 2)) == pytest.approx(step / 2, rel=0.1)


def test_a_dead_channels_scale_holds_its_bias():
    # |bias| / (input scale * kernel scale) must stay below 2**31.
    kernel = np.zeros((1, 1, 4, 2), "float32")
    kernel[..., 0] = 1e-12
    kernel[..., 1] = 1e-3
    bias, input_scale = np.array([5000.0, 0.0], "float32"), 1e-3
    least = bias[0] / (input_scale * 2**30) * 127
    near = np.full((1, 1, 4, 2), least * 0.6, "float32")
    near[..., 1] = 1e-3
    on_grid = np.array(keras_engine.quantized_kernel(near, bias, input_scale, axis=3))
    assert on_grid[0, 0, 0, 0] == pytest.approx(least * 76 / 127, rel=1e-3)  # 0.6 * 127 = 76.2


def test_outputs_are_near_the_float_models(lowered, quantized, images):
    difference = lowered.predict(images, verbose=0) - quantized.predict(images, verbose=0)
    assert 0 < np.abs(difference).max() < 0.05


def test_a_saved_model_reloads_exactly(quantized, images, tmp_path):
    quantized.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.predict(images, verbose=0) == quantized.predict(images, verbose=0)).all()


def test_strip_gives_back_weights_and_ranges(lowered, quantized, ranges, images):
    plain, found = strip(quantized)
    assert (plain.predict(images, verbose=0) == lowered.predict(images, verbose=0)).all()
    assert {k: pytest.approx(v, rel=1e-6) for k, v in ranges.items()} == dict(found)


def test_strip_of_a_float_model_says_what_to_pass(lowered):
    with pytest.raises(ValueError, match=r"mobile\.quantize_aware"):
        strip(lowered)


def _train(model, images, epochs=2):
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    labels = np.arange(len(images)) % 5
    return model.fit(images, labels, epochs=epochs, batch_size=20, shuffle=False, verbose=0)


def test_training_moves_weights_and_not_ranges(lowered, ranges, images):
    model = quantize_aware(lowered, ranges=ranges)
    losses = _train(model, images, epochs=5).history["loss"]
    trained, after = strip(model)
    assert losses[-1] < losses[0]
    assert {k: pytest.approx(v, rel=1e-6) for k, v in ranges.items()} == dict(after)
    for layer in trained.layers:
        if layer.weights:
            assert np.any(layer.get_weights()[0] != lowered.get_layer(layer.name).get_weights()[0])


def test_training_resumes_from_a_file_with_the_same_loss(lowered, ranges, images, tmp_path):
    model = quantize_aware(lowered, ranges=ranges)
    _train(model, images, epochs=1)
    model.save(tmp_path / "half.keras")
    labels = np.arange(len(images)) % 5
    options = {"batch_size": 20, "shuffle": False, "verbose": 0}
    straight = model.fit(images, labels, **options).history["loss"]
    resumed = keras.models.load_model(tmp_path / "half.keras").fit(images, labels, **options)
    assert resumed.history["loss"] == straight


def test_learned_ranges_move_but_fixed_and_shared_ones_stay(lowered, ranges, images):
    model = quantize_aware(lowered, ranges=ranges, learned=True)
    _train(model, images)
    after = strip(model)[1]
    same = {name for name in ranges if after[name] == pytest.approx(ranges[name], rel=1e-6)}
    assert {"gate", "excite", "sigmoid", "softmax", "rescaling"} <= same
    assert {"branch", "swish", "concat"} <= same
    assert {"stem", "depthwise", "project"}.isdisjoint(same)


def test_bfloat16_keeps_fake_quantisation_in_float32(lowered, ranges, images):
    mixed = rebuild(
        lowered,
        lambda layer: type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"}),
    )
    model = keras_engine.quantize(mixed, ranges)
    step = (ranges["stem"][1] - ranges["stem"][0]) / 255
    stem = keras.Model(model.input, model.get_layer("stem_range").output)
    levels = keras.ops.convert_to_numpy(keras.ops.cast(stem(images), "float32")) / step
    assert model.get_layer("stem").compute_dtype == "bfloat16"
    # bfloat16 holds 8 bits of mantissa, so a level of up to 256 steps is off by half at most.
    assert np.abs(levels - np.round(levels)).max() <= 0.5
    assert np.isfinite(_train(model, images).history["loss"]).all()


def test_a_bfloat16_model_converts_as_its_float32_twin(lowered, ranges, artifact):
    mixed = rebuild(
        lowered,
        lambda layer: type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"}),
    )
    other = tflite.read(mobile.convert(keras_engine.quantize(mixed, ranges))).tensors
    twins = {t.name: t for t in tflite.read(artifact).tensors}
    weights = [t for t in other if t.name.endswith(("/kernel", "/bias"))]
    assert len(weights) == 16  # eight convolutions
    for tensor in weights:
        assert tensor.scales == twins[tensor.name].scales
        assert np.array_equal(tensor.values, twins[tensor.name].values)


def test_any_model_is_lowered_on_the_way(images):
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, use_bias=False)(image)
    x = keras.layers.BatchNormalization(beta_initializer="random_normal")(x)
    x = keras.layers.Activation("hard_silu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    images = images / 127.5 - 1
    quantized = mobile.quantize_aware(model, calibration=images)
    difference = model.predict(images, verbose=0) - quantized.predict(images, verbose=0)
    assert quantized.output_shape == (None, 3) and np.abs(difference).max() < 0.05


@pytest.mark.parametrize(
    "options, message",
    [({"engine": "tpu"}, "keras, tfmot"), ({}, "`calibration`")],
)
def test_bad_options_say_what_to_pass(lowered, options, message):
    with pytest.raises(ValueError, match=message):
        quantize_aware(lowered, **options)


def test_models_saved_before_the_package_had_rooms_still_load_and_answer_alike():
    data = pathlib.Path(__file__).parents[2] / "data"
    model = keras.models.load_model(data / "qat_flat.keras")
    kept = np.load(data / "qat_flat.npz")  # images, and what that code answered
    assert model.predict(kept["images"], verbose=0) == pytest.approx(kept["outputs"], abs=1e-6)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert {"FakeQuantize", "Shift", "QuantizedConv2DTranspose", "QuantizedDense"} <= kinds
