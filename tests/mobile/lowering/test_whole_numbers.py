import keras
import numpy as np
import pytest

from mobile import devices
from mobile.conversion.converter import convert
from mobile.conversion.verification import verify
from mobile.lowering import lower
from tests.mobile.lowering.lowered import batch_norm, conv

L, ops = keras.layers, keras.ops


class Centred(L.Layer):
    """A user's own preprocessing."""

    def call(self, x):
        return ops.cast(x, "float32") / 127.5 - 1.0


def scaled(x):
    return L.Rescaling(1 / 255)(x)


def normal(x):
    return L.Normalization(mean=[99.0, 120, 140], variance=[9.0, 900, 800])(x)


def centred(x):
    return Centred()(x)


def nested(x):
    inner = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype), L.Rescaling(1 / 255)])
    return inner(x)


# What may begin a model of whole numbers, each followed by a convolution.
BEGINNINGS = {
    "rescaling": scaled,
    "cast": lambda x: ops.cast(x, "float32"),
    "cast and scaled": lambda x: ops.cast(x, "float32") / 255 - 0.5,
    "scaled by an operation": lambda x: x / 255 - 0.5,
    "normalization": normal,
    "batch norm": batch_norm,
    "augmented": lambda x: scaled(L.RandomFlip()(x)),
    "padded": lambda x: scaled(L.ZeroPadding2D(1)(x)),
    "pooled": lambda x: scaled(L.MaxPooling2D(2)(x)),
    "resized to the nearest": lambda x: scaled(L.Resizing(8, 8, interpolation="nearest")(x)),
    "a layer of one's own": centred,
    "nested": nested,
}


def network(beginning, dtype="uint8"):
    keras.utils.set_random_seed(0)
    x = keras.Input((16, 16, 3), dtype=dtype, name="photo")
    y = conv(beginning(x), 4, 3, activation="relu", name="conv")
    return keras.Model(x, L.Dense(3, name="scores")(L.Flatten()(y)))


@pytest.mark.parametrize(
    ("beginning", "dtype"), [*((name, "uint8") for name in BEGINNINGS), ("rescaling", "int32")]
)
def test_pixels_of_whole_numbers_are_taken_in_float32(beginning, dtype, images):
    model = network(BEGINNINGS[beginning], dtype)
    lowered = lower(model)
    assert [(x.name, x.dtype) for x in lowered.inputs] == [("photo", "float32")]
    want = np.asarray(model(images.astype(dtype), training=False))
    np.testing.assert_allclose(lowered(images), want, atol=1e-4 * np.abs(want).max())


@pytest.mark.filterwarnings("ignore:.*no preprocessing of its own")
@pytest.mark.parametrize(
    ("beginning", "kind"), [("rescaling", "uint8"), ("cast", "int8"), ("cast and scaled", "int8")]
)
def test_a_model_of_whole_numbers_becomes_an_int8_file_that_takes_pixels(beginning, kind, images):
    model, pixels = network(BEGINNINGS[beginning]), images.astype("uint8")
    artifact = convert(model, calibration=pixels, input_type=kind)
    assert [(x.name, x.dtype) for x in artifact.inputs] == [("photo", kind)]
    if kind == "uint8":  # whose levels are those of the pixels
        np.testing.assert_array_equal(artifact.prepare(pixels), pixels)
    want = np.asarray(model(pixels))
    got = artifact.restore(devices.predict(artifact, artifact.prepare(pixels)))
    assert np.abs(got - want).max() < 0.05 * np.ptp(want)
    assert verify(model, artifact, pixels).top1_agreement > 0.9


def resized(x):  # Keras rounds what it interpolates
    return L.Resizing(9, 9)(x)


def upsampled(x):
    return L.UpSampling2D(interpolation="bilinear")(x)


ROUNDED = {
    "Resizing": resized,
    "UpSampling2D": upsampled,
    "Add": lambda x: L.Add()([x, x]),  # 200 + 200 is 144 in uint8
    "Multiply": lambda x: 2 * x,
}


@pytest.mark.parametrize("kind", ROUNDED)
def test_arithmetic_of_whole_numbers_is_refused_with_the_way_out(kind):
    model = network(lambda x: scaled(ROUNDED[kind](x)))
    with pytest.raises(ValueError, match=rf"{kind} '\w+' has whole numbers .* Begin .* Rescaling"):
        lower(model)
    lower(network(lambda x: ROUNDED[kind](scaled(x))))
