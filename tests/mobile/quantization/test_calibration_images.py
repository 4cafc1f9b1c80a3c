import keras
import numpy as np
import pytest

from mobile.lowering import lower
from mobile.quantization.calibration import calibrate


def _calibrate(model, images):
    return calibrate(model, images, progress=False)


def _small(preprocessing=False, trained=True):
    """A convolution and a BatchNorm on 8x8 colour images."""
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0)(image) if preprocessing else image
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(x)
    model = keras.Model(image, layers.BatchNormalization(name="bn")(x), name="small")
    if trained:
        mean = np.arange(4.0)
        model.get_layer("bn").set_weights([np.ones(4), np.zeros(4), mean, np.ones(4)])
    return model


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda x: x * np.nan, "finite"),
        (lambda x: x * 0 + 7, "every value is 7"),
        (lambda x: np.repeat(x[:1], 10, axis=0), "10 times the same image"),
        (lambda x: x / 255, "scaled already"),
        (lambda x: x / 127.5 - 1, "scaled already"),
        (lambda x: x[:, :8], r"\(count, 16, 16, 3\)"),
        (lambda x: x[:0], "none"),
    ],
)
def test_unusable_images_are_refused(lowered, images, spoil, message):
    with pytest.raises(ValueError, match=message):
        _calibrate(lowered, spoil(images))


def test_one_black_image_among_others_is_no_fault(pixels):
    pixels[3] = 0  # alone in its batch
    model = lower(_small(preprocessing=True))
    assert calibrate(model, pixels, batch_size=1, progress=False).images == 12


def test_few_images_are_warned_of(lowered, images):
    with pytest.warns(UserWarning, match="3 images"):
        _calibrate(lowered, images[:3])


def test_pixels_for_a_model_without_preprocessing_are_warned_of(pixels):
    lowered = lower(_small())
    with pytest.warns(UserWarning, match="no preprocessing of its own.* from 0 to 255"):
        _calibrate(lowered, pixels)
    _calibrate(lowered, pixels / 127.5 - 1)


def test_random_weights_are_warned_of(pixels):
    lowered = lower(_small(preprocessing=True, trained=False))
    with pytest.warns(UserWarning, match="looks untrained"):
        _calibrate(lowered, pixels)


def test_one_step_of_training_is_enough_for_trained(pixels):
    model = _small(preprocessing=True, trained=False)
    model.compile("sgd", "mse")
    model.fit(pixels, np.zeros((12, 6, 6, 4)), verbose=0)
    _calibrate(lower(model), pixels)  # a warning would be an error
