import keras
import numpy as np
import pytest

from mobile.conversion import verification
from mobile.conversion.agreement import Agreement
from mobile.conversion.converter import convert
from mobile.conversion.quiet import quiet
from mobile.conversion.verification import check_operators, image_pitfalls, verify
from mobile.quantization import quantize_aware


def test_each_operator_is_within_one_level(quantized, artifact, images):
    checks = check_operators(quantized, artifact, images[:8])
    assert len(checks) == 21  # every operator of the file
    assert {check.worst_levels for check in checks} <= {0, 1}
    assert sum(check.share_off for check in checks) / len(checks) < 0.01


def test_a_wrong_kernel_is_found_by_its_operator(quantized, artifact, images):
    other = keras.models.clone_model(quantized)
    other.set_weights(quantized.get_weights())
    kernel, bias = other.get_layer("project").get_weights()
    other.get_layer("project").set_weights([kernel, bias + 0.1])
    checks = check_operators(other, artifact, images[:4])
    assert [check.layer for check in checks if check.worst_levels > 1] == ["project"]


def test_agreement_of_an_int8_file(lowered, artifact, images):
    labels = lowered.predict(images, verbose=0).argmax(axis=1)
    agreement = verify(lowered, artifact, images, labels)
    assert agreement.images == len(images)
    assert agreement.accuracy["keras"] == 1.0
    # With the model's own answers as labels, the file's accuracy is the agreement.
    assert agreement.accuracy["tflite"] == agreement.top1_agreement > 0.7
    assert agreement.mean_abs <= agreement.worst_abs < 0.05
    assert Agreement.from_dict(agreement.to_dict()) == agreement


def test_a_float_file_agrees_wholly(lowered, images):
    agreement = verify(lowered, convert(lowered, "float32"), images)
    assert agreement.top1_agreement == 1.0 and agreement.accuracy is None
    assert agreement.worst_abs < 1e-5


def test_blame_names_the_layer_whose_range_is_wrong(lowered, ranges, images):
    # A range a tenth of the values' clips most of them.
    wrong = ranges.updated({"project": tuple(v / 10 for v in ranges["project"])})
    model = quantize_aware(lowered, ranges=wrong)
    agreement = verify(lowered, convert(model), images, blame=True)
    assert [row.layer for row in agreement.blame if row.note] == ["project"]
    assert len(agreement.blame) == 21


def test_a_range_far_too_wide_is_a_pitfall(lowered, ranges, images):
    wide = ranges.updated({"depthwise": (0.0, 100 * ranges["depthwise"][1])})
    model = quantize_aware(lowered, ranges=wide)
    agreement = verify(model, convert(model), images, blame=True)
    assert any("depthwise" in said and "levels are hit" in said for said in agreement.pitfalls)


def test_dead_channels_and_saturated_gates_are_pitfalls(lowered, ranges, images):
    model = quantize_aware(lowered, ranges=ranges)
    kernel, bias = model.get_layer("project").get_weights()
    kernel[..., :3] = 0
    model.get_layer("project").set_weights([kernel, bias])
    kernel, bias = model.get_layer("late").get_weights()
    model.get_layer("late").set_weights([kernel, bias - 1000])
    pitfalls = verify(model, convert(model), images, blame=True).pitfalls
    assert any(said.startswith("project: 3 channels") for said in pitfalls)
    assert any(said.startswith("late: the gate is saturated") for said in pitfalls)


def test_noise_is_not_taken_for_images(images):
    noise = np.random.default_rng(0).uniform(0, 255, (10, 16, 16, 3))
    assert "noise" in image_pitfalls(noise)[0]
    assert image_pitfalls(images) == []


def test_outputs_are_matched_by_shape():
    truth = [np.zeros((2, 3)), np.zeros((2, 4, 4, 1))]
    answers = [np.ones((2, 4, 4, 1)), np.ones((2, 3))]
    assert [a.shape for a in verification._in_order(answers, truth)] == [(2, 3), (2, 4, 4, 1)]
    with pytest.raises(ValueError, match="converted from"):
        verification._in_order(answers, [np.zeros((2, 5)), truth[1]])


def test_labels_must_be_as_many_as_images(lowered, artifact, images):
    with pytest.raises(ValueError, match="7 labels"):
        verify(lowered, artifact, images, np.zeros(7))


def test_labels_in_a_column_count_as_labels(lowered, artifact, images):
    labels = lowered.predict(images, verbose=0).argmax(axis=1)
    row, column = (verify(lowered, artifact, images, each) for each in (labels, labels[:, None]))
    assert column.accuracy == row.accuracy and column.accuracy["keras"] == 1.0


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.full(40, "cat"), "such as .*cat.*index of each"),
        (np.eye(5)[np.zeros(40, int)], r"one-hot. Pass labels.argmax"),
        (np.full(40, 5), "from 0 to 4. Received: 5"),
        (np.full(40, 0.5), "Received: 0.5"),
        (np.zeros((40, 2), int), r"shape \(40, 2\)"),
    ],
)
def test_labels_that_are_no_class_numbers_are_refused(lowered, artifact, images, labels, message):
    with pytest.raises(ValueError, match=message):
        verify(lowered, artifact, images, labels)


def test_images_and_answers_must_be_finite(lowered, artifact, images):
    with pytest.raises(ValueError, match=r"'image'\. Look at how the images were scaled"):
        verify(lowered, artifact, np.where(images > 150, np.nan, images))
    broken = keras.models.clone_model(lowered)
    broken.set_weights([weight * np.nan for weight in lowered.get_weights()])
    with pytest.raises(ValueError, match="NaN or infinity from tiny, in output 0 for 40 of 40"):
        verify(broken, artifact, images)
    with pytest.raises(ValueError, match="from the candidate"):
        verify(lowered, broken, images)


@pytest.mark.parametrize(
    "begin",
    [lambda part: [keras.Input((16, 16, 3)), part], lambda part: [part]],
    ids=["with an Input", "built later"],
)
def test_a_sequential_model_is_verified(images, begin):
    """It has no `output_names`, and no `input` before it is built."""
    keras.utils.set_random_seed(0)
    part = keras.Sequential(
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, bias_initializer="random_normal", name="conv"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, bias_initializer="random_normal", name="classes"),
        ]
    )
    model = keras.Sequential(begin(part))
    with quiet():
        model.build((None, *images.shape[1:]))
    labels = model.predict(images, verbose=0).argmax(axis=1)
    agreement = verify(model, convert(model, "float32"), images, labels)
    assert agreement.accuracy == {"keras": 1.0, "tflite": 1.0}
    blamed = verify(model, convert(model, calibration=images), images, blame=True).blame
    assert blamed[-1].layer == model.layers[-1].name  # as Keras calls its output


def test_what_the_model_cannot_take_is_told_before_it_runs(lowered, artifact, images):
    unbuilt = keras.Sequential([keras.layers.Flatten()])
    with pytest.raises(TypeError, match=r"Begin it with keras.Input\(shape\)"):
        verify(unbuilt, artifact, images)
    height, width, channels = images.shape[1:]
    shape = rf"shape \(count, {height}, {width}, {channels}\)"
    for wrong in (images[..., :1], images[0], images.astype(str), images[:, :8]):
        with pytest.raises(ValueError, match=rf"numbers of {shape}\. Received: {wrong.dtype}"):
            verify(lowered, artifact, wrong)


def test_masks_count_their_pixels_but_not_the_void_ones(images):
    image = keras.Input((16, 16, 3), name="image")
    masks = keras.layers.Conv2D(2, 1, bias_initializer="normal", name="masks")(image)
    model = keras.Model(image, masks)
    file = convert(model, "float32")
    truth = np.asarray(model(images)).argmax(axis=-1)
    half = truth.copy()
    half[:, :8] = 1 - half[:, :8]  # half of the rows are wrong
    assert verify(model, file, images, half).accuracy == {"keras": 0.5, "tflite": 0.5}
    half[:, :8] = 255
    assert verify(model, file, images, half[..., None]).accuracy["keras"] == 1.0


def test_one_channel_says_yes_or_no(images):
    # Of a sigmoid above 0.5, of a logit above 0: two thirds of these are yes.
    image = keras.Input((2,), name="image")
    pairs = np.array([[1.0, 0], [-1, 0], [2, 0]] * 4, "float32")
    yes = np.array([1, 0, 1] * 4)
    for activation in ("sigmoid", None):
        dense = keras.layers.Dense(1, activation=activation, kernel_initializer="ones")
        model = keras.Model(image, dense(image))
        found = verify(model, convert(model, "float32"), pairs, yes)
        assert found.accuracy == {"keras": 1.0, "tflite": 1.0}
        assert verify(model, convert(model, "float32"), pairs, 1 - yes).accuracy["keras"] == 0.0


@pytest.fixture(scope="module")
def two():
    """Two inputs, one with preprocessing, and two outputs of one shape."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    photo, meta = keras.Input((16, 16, 3), name="photo"), keras.Input((4,), name="meta")
    x = layers.Rescaling(1 / 127.5, -1.0)(photo)
    x = layers.Conv2D(4, 3, activation="relu", bias_initializer="normal")(x)
    y = layers.Dense(4, activation="relu", bias_initializer="normal", name="alone")(meta)
    x = layers.Concatenate()([y, layers.GlobalAveragePooling2D()(x)])
    outputs = [layers.Dense(3, bias_initializer="normal", name=name)(x) for name in ("z", "a")]
    return keras.Model([photo, meta], outputs)


@pytest.fixture(scope="module")
def pairs(images):
    return [images, np.random.default_rng(2).normal(size=(len(images), 4)).astype("float32")]


def test_two_inputs_are_verified_as_list_or_by_name_with_blame(two, pairs):
    artifact = convert(two, calibration=pairs)
    assert {key.split()[1] for key in artifact.operators} == {"int8"}
    found = verify(two, artifact, pairs, blame=True)
    assert found.top1_agreement >= 0.9 and found.worst_abs < 0.1
    assert {"alone", "z", "a"} <= {row.layer for row in found.blame}
    named = dict(zip(("meta", "photo"), reversed(pairs), strict=True))
    assert verify(two, artifact, named).worst_abs == found.worst_abs


def test_operators_of_a_model_with_two_inputs_are_within_one_level(two, pairs):
    aware = quantize_aware(two, pairs)
    checks = check_operators(aware, convert(aware), pairs)
    assert {check.worst_levels for check in checks} <= {0, 1} and len(checks) >= 9


def test_a_file_of_the_plain_converter_is_matched_by_its_names(two, pairs):
    import tensorflow as tf

    with quiet():
        content = tf.lite.TFLiteConverter.from_keras_model(two).convert()
    assert verify(two, content, pairs).worst_abs < 1e-5


def test_inputs_of_another_model_are_named(two, pairs):
    photo, other = keras.Input((16, 16, 3), name="photo"), keras.Input((4,), name="other")
    x = keras.layers.GlobalAveragePooling2D()(photo)
    stranger = keras.Model([photo, other], keras.layers.Concatenate()([x, other]))
    with pytest.raises(ValueError, match="photo, other for photo, meta"):
        verify(two, convert(stranger, "float32"), pairs)
    with pytest.raises(ValueError, match=r"Received: 'photo', without 'meta'"):
        verify(two, convert(two, "float32"), {"photo": pairs[0]})
