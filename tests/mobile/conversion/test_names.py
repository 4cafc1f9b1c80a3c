import keras
import numpy as np
import pytest

from mobile import devices, tflite
from mobile.conversion.converter import convert
from mobile.tflite import schema

L = keras.layers


@pytest.fixture(scope="module")
def two():
    """Two inputs and two outputs of one shape, whose names TFLite would put into another order."""
    keras.utils.set_random_seed(0)
    photo, meta = keras.Input((8, 8, 3), name="photo"), keras.Input((4,), name="meta")
    x = L.Conv2D(4, 3, activation="relu", bias_initializer="normal")(photo)
    y = L.Dense(4, activation="relu", bias_initializer="normal")(meta)
    x = L.Concatenate()([y, L.GlobalAveragePooling2D()(x)])
    probs = L.Dense(3, activation="softmax", bias_initializer="normal", name="probs")(x)
    return keras.Model([photo, meta], [probs, L.Dense(3, name="again")(x)])


@pytest.fixture(scope="module")
def pairs():
    random = np.random.default_rng(0)
    return [random.normal(size=(24, *s)).astype("float32") for s in ((8, 8, 3), (4,))]


@pytest.mark.parametrize("scheme", ["int8", "float32", "int16x8"])
def test_inputs_and_outputs_have_keras_names_in_keras_order(two, pairs, scheme):
    artifact = convert(two, scheme, calibration=None if scheme == "float32" else pairs)
    assert [spec.name for spec in artifact.inputs] == ["photo", "meta"]
    assert [spec.name for spec in artifact.outputs] == ["probs", "again"]
    raw = devices.predict(artifact, artifact.prepare(pairs))
    for truth, answer in zip(two(pairs), artifact.restore(raw), strict=True):
        assert np.abs(answer - np.asarray(truth)).max() < 0.05


def test_the_signature_knows_inputs_by_keras_names(two, pairs):
    (signature,) = schema.unpack(convert(two, "float32").content).signatureDefs
    assert {schema.text(entry.name) for entry in signature.inputs} == {"photo", "meta"}
    assert {schema.text(entry.name) for entry in signature.outputs} == {"output_0", "output_1"}


def test_the_signature_of_a_dictionary_of_outputs_has_its_keys(two):
    named = dict(zip(("second", "first"), two.outputs, strict=True))
    artifact = convert(keras.Model(two.inputs, named), "float32")
    (signature,) = schema.unpack(artifact.content).signatureDefs
    tensors = {schema.text(entry.name): entry.tensorIndex for entry in signature.outputs}
    names = {index: tensor.name for index, tensor in enumerate(tflite.read(artifact).tensors)}
    assert {key: names[index] for key, index in tensors.items()} == {
        "second": "probs",
        "first": "again",
    }


def test_one_tensor_may_be_two_outputs():
    image = keras.Input((8, 8, 3))
    y = L.Conv2D(4, 3, name="conv", bias_initializer="normal")(image)
    artifact = convert(keras.Model(image, [y, y]), "float32")
    assert [spec.name for spec in artifact.outputs] == ["conv", "conv"]


def test_a_float_output_has_the_models_name_and_the_last_operator_another(quantized):
    file = tflite.read(convert(quantized, output_type="float32"))
    assert [spec.name for spec in file.outputs] == ["softmax"]
    (last,) = [op for op in file.operators if op.name == "SOFTMAX"]
    assert last.outputs[0].name == "softmax_int8"


def test_a_convolution_that_ends_a_model_keeps_its_kernels_name(images):
    image = keras.Input((16, 16, 3), name="image")
    masks = L.Conv2D(2, 3, bias_initializer="normal", name="masks")(image)
    artifact = convert(keras.Model(image, masks), calibration=images / 127.5 - 1)
    names = {tensor.name for tensor in tflite.read(artifact).tensors}
    assert {"masks", "masks/kernel", "masks/bias"} <= names
    assert artifact.outputs[0].name == "masks"


def test_an_input_read_raw_and_scaled_or_passed_on_converts_to_int8(images):
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    gate = L.Activation("sigmoid")(L.Rescaling(1 / 127)(image))
    y = L.Conv2D(3, 3, padding="same", bias_initializer="normal", name="conv")(image)
    model = keras.Model(image, [image, L.Multiply(name="product")([gate, y])])
    artifact = convert(model, calibration=images)
    assert artifact.preprocessing is None
    assert [spec.name for spec in artifact.outputs] == ["image", "product"]
    answers = artifact.restore(devices.predict(artifact, artifact.prepare(images)))
    for truth, answer in zip(model(images), answers, strict=True):
        assert np.linalg.norm(answer - truth) < 0.05 * np.linalg.norm(truth - np.mean(truth))


def test_the_input_of_a_sequential_model_is_called_the_same_in_every_process():
    for _ in range(2):  # as many tensors as there were before are no part of its name
        model = keras.Sequential([keras.Input((8, 8, 3), name="photo"), L.Conv2D(4, 3)])
        assert [spec.name for spec in convert(model, "float32").inputs] == ["photo"]
    keras.backend.clear_session()
    unnamed = keras.Sequential([L.Conv2D(4, 3)])
    unnamed.build((None, 8, 8, 3))
    assert [spec.name for spec in convert(unnamed, "float32").inputs] == ["input_layer"]
