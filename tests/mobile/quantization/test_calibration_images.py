import keras
import numpy as np
import pytest

from mobile.lowering import lower
from mobile.quantization import calibration_images
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


def _pair():
    photo, meta = keras.Input((8, 8, 3), name="photo"), keras.Input((4,), name="meta")
    x = keras.layers.Conv2D(2, 3, bias_initializer="normal", name="conv")(photo)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return lower(keras.Model([meta, photo], keras.layers.Concatenate()([x, meta])))


def test_a_vector_of_numbers_is_not_judged_as_an_image(pixels):
    # It comes first, is all the same, and lies from 0 to 255 as pixels would.
    numbers = np.tile([0.0, 100, 200, 255], (12, 1))
    ranges = _calibrate(_pair(), [numbers, pixels / 255 - 0.5])
    assert ranges["meta"] == pytest.approx((0, 255))
    with pytest.raises(ValueError, match="12 times the same image"):
        _calibrate(_pair(), [numbers, np.repeat(pixels[:1], 12, axis=0) / 255])


@pytest.mark.parametrize(
    "images, message",
    [
        (lambda x: {"photo": x}, "Received: 'photo', without 'meta'"),
        (lambda x: x, "Received: 1 arrays"),
        (lambda x: [x[:, 0, 0], x[:4]], "12 for 'meta', 4 for 'photo'"),
        (lambda x: [x, x], r"for input 'meta' of model"),
    ],
)
def test_several_inputs_each_need_as_many_of_their_own(pixels, images, message):
    with pytest.raises(ValueError, match=message):
        _calibrate(_pair(), images(np.concatenate([pixels, pixels[..., :1]], axis=-1)[..., :4]))


def test_images_that_come_one_by_one_are_to_be_put_into_batches(lowered, images):
    with pytest.raises(ValueError, match=r"dataset\.batch"):
        _calibrate(lowered, list(images))


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_holds_an_image_at_least(lowered, images, size):
    with pytest.raises(ValueError, match=f"`batch_size` must be at least 1. Received: .*{size}"):
        calibrate(lowered, images, batch_size=size, progress=False)


@pytest.mark.parametrize("most, chosen", [(None, range(10)), (4, [0, 3, 6, 9]), (20, range(10))])
def test_images_are_taken_evenly_from_arrays_and_batches_alike(most, chosen):
    model = keras.Model(x := keras.Input((1,), name="image"), keras.layers.ReLU()(x))
    values = np.arange(10.0)[:, None]
    for images in (values, [values[:3], values[3:4], values[4:]]):
        (found,) = calibration_images.spread(model, images, most)
        assert found.ravel().tolist() == list(chosen)


def test_only_what_runs_dry_is_kept(images):
    batches = [images[:20], images[20:]]
    assert calibration_images.reusable(batches) is batches
    assert len(calibration_images.reusable(iter(batches))) == 2
