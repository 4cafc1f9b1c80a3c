import keras
import numpy as np
import pytest

import mobile
from mobile.quantization import engines, keras_engine, quantize_aware, range_plan

L = keras.layers


@pytest.fixture(scope="module")
def head():
    """A frozen backbone, a head that trains, and an output called `probs`."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    layers = [L.Conv2D(6, 3, use_bias=False, name="conv"), L.BatchNormalization(name="bn")]
    layers += [L.ReLU(), L.AveragePooling2D(2), L.SeparableConv2D(6, 3, name="separable")]
    backbone = keras.Sequential([keras.Input((16, 16, 3)), *layers], name="backbone")
    backbone.get_layer("bn").set_weights([np.ones(6), np.arange(6.0), np.zeros(6), np.ones(6)])
    backbone.trainable = False
    x = L.GlobalAveragePooling2D()(backbone(image))
    x = L.Dense(7, activation="relu", name="hidden")(x)
    return keras.Model(image, L.Dense(5, activation="softmax", name="probs")(x))


def _ranges(model):
    free = range_plan.read_plan(mobile.lower(model)).free
    return dict.fromkeys(free, (-1.0, 1.0))


@pytest.mark.parametrize("engine", ["keras", "tfmot"])
def test_what_is_frozen_stays_frozen_and_outputs_keep_their_name(head, engine):
    aware = quantize_aware(head, ranges=_ranges(head), engine=engine)
    assert len(aware.trainable_variables) == len(head.trainable_variables) == 4
    assert list(aware.output_names) == ["probs"]
    artifact = mobile.convert(aware)
    assert [spec.name for spec in artifact.outputs] == ["probs"]


def test_learned_ranges_of_frozen_layers_stay_as_well(head):
    aware = quantize_aware(head, ranges=_ranges(head), learned=True)
    moving = {x.rounded for x in aware.layers if getattr(x, "learned", False)}
    assert {"hidden", "probs_conv2d"} <= moving
    assert not moving & {"backbone_conv", "backbone_separable", "backbone_separable_depthwise"}


def test_a_loss_by_name_trains_the_head_alone(head, images):
    aware = quantize_aware(head, ranges=_ranges(head))
    before = {x.name: x.get_weights() for x in aware.layers if x.weights}
    aware.compile("adam", {"probs": "sparse_categorical_crossentropy"})
    aware.fit(images / 255, np.arange(len(images)) % 5, verbose=0)
    moved = {
        x.name
        for x in aware.layers
        if x.weights
        and any((a != b).any() for a, b in zip(before[x.name], x.get_weights(), strict=True))
    }
    assert moved == {"hidden", "probs_conv2d"}


def test_stripping_and_saving_keep_names_and_what_is_trainable(head, tmp_path):
    aware = quantize_aware(head, ranges=_ranges(head))
    aware.save(tmp_path / "qat.keras")
    loaded = mobile.load(tmp_path / "qat.keras")
    plain, ranges = mobile.strip(loaded)
    for model in (loaded, plain):
        assert model.output_names == ["probs"] and len(model.trainable_variables) == 4
    lowered = mobile.lower(head)
    assert [x.name for x in plain.layers] == [x.name for x in lowered.layers]
    assert set(ranges) == set(range_plan.read_plan(lowered).points)


def test_an_output_before_rounding_is_called_otherwise(images):
    # A convolution ends the model: what is behind its rounding has its name.
    image = keras.Input((16, 16, 3), name="image")
    model = keras.Model(image, L.Conv2D(2, 3, name="masks")(image))
    aware = quantize_aware(model, ranges={"image": (0.0, 255.0), "masks": (-300.0, 300.0)})
    assert [x.name for x in aware.layers] == ["image", "image_range", "masks_exact", "masks"]
    plain, _ = mobile.strip(aware)
    assert plain.predict(images, verbose=0) == pytest.approx(model.predict(images, verbose=0))


def test_names_of_ones_own_that_end_like_ours_do_no_harm(images):
    image = keras.Input((16, 16, 3), name="image")
    x = L.Conv2D(2, 3, activation="relu", bias_initializer="normal", name="conv")(image)
    x = L.Conv2D(3, 3, activation="relu", name="conv_range")(x)
    model = keras.Model(image, L.Conv2D(4, 1, name="depth_range")(x))
    scaled = images / 255 - 0.5
    aware = quantize_aware(model, scaled, correction=False)
    plain, ranges = mobile.strip(aware)
    assert [x.name for x in plain.layers] == [x.name for x in model.layers]
    assert set(ranges) == {"image", "conv", "conv_range", "depth_range"}
    names = {tensor.name for tensor in mobile.tflite.read(mobile.convert(aware)).tensors}
    assert {"conv/kernel", "conv_range/kernel", "depth_range/kernel"} <= names


def test_the_same_images_give_the_same_model_however_they_come(lowered, images):
    import tensorflow as tf

    labels = np.arange(len(images))
    forms = {
        "array": images,
        "dataset": tf.data.Dataset.from_tensor_slices(images).batch(16),
        "with labels": tf.data.Dataset.from_tensor_slices((images, labels)).batch(16),
        "by name": tf.data.Dataset.from_tensor_slices({"image": images, "y": labels}).batch(16),
        "dictionary": {"image": images},
        "list of batches": [images[:16], images[16:32], images[32:]],
        "generator": (images[i : i + 16] for i in range(0, len(images), 16)),
    }
    files = {name: mobile.convert(lowered, calibration=form) for name, form in forms.items()}
    assert {name for name, file in files.items() if file.content != files["array"].content} == set()


def test_two_inputs_are_calibrated_and_corrected(images):
    keras.utils.set_random_seed(0)
    photo, meta = keras.Input((16, 16, 3), name="photo"), keras.Input((4,), name="meta")
    x = L.Conv2D(4, 3, activation="relu", bias_initializer="normal")(L.Rescaling(1 / 255)(photo))
    y = L.Dense(4, activation="relu", bias_initializer="normal", name="alone")(meta)
    model = keras.Model([photo, meta], L.Concatenate()([y, L.GlobalAveragePooling2D()(x)]))
    numbers = np.random.default_rng(0).normal(500, 200, (len(images), 4)).astype("float32")
    aware = quantize_aware(model, {"meta": numbers, "photo": images})
    truth = np.asarray(model([images, numbers]))
    error = np.abs(np.asarray(aware([images, numbers])) - truth).max()
    assert error < 0.02 * np.abs(truth).max()
    bias = mobile.lower(model).get_layer("alone").get_weights()[1]
    assert (aware.get_layer("alone").get_weights()[1] != bias).any()
    scaled = {"meta": numbers, "photo": images / 255}
    with pytest.raises(ValueError, match="look scaled already"):
        quantize_aware(model, scaled)


def test_a_quantised_model_is_not_quantised_again(quantized, images):
    with pytest.raises(ValueError, match=r"'tiny', which is.*mobile\.strip"):
        quantize_aware(quantized, images)


def test_what_an_engine_carries_out_is_prepared_once(lowered, ranges, images):
    model, found = engines.prepare(lowered, images, ranges, correction=False)
    assert model is lowered and found is ranges
    corrected, _ = engines.prepare(lowered, images, ranges)
    twin = keras_engine.quantize(corrected, ranges)
    aware = quantize_aware(lowered, images, ranges=ranges)
    for a, b in zip(twin.get_weights(), aware.get_weights(), strict=True):
        assert (a == b).all()


def test_ranges_of_one_lowering_fit_the_next(images):
    import keras_se

    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    x = L.Conv2D(8, 3, bias_initializer="normal", name="conv")(L.Rescaling(1 / 255)(image))
    model = keras.Model(image, keras_se.SqueezeExcite(reduction=2, name="se")(x))
    ranges = mobile.calibrate(mobile.lower(model), images, progress=False)
    assert all(name.startswith(("rescaling", "conv", "se")) for name in ranges)
    mobile.convert(model, ranges=ranges)  # lowered again, under the same names
