import keras
import numpy as np
import pytest

from mobile.pipeline import batch_norms, training


@pytest.fixture(scope="module")
def shades():
    """Sixty-four noisy 8x8 images, dark and bright in turn."""
    random = np.random.default_rng(0)
    bright = np.arange(64)[:, None, None, None] % 2
    return np.clip(random.normal(80 + 90 * bright, 20, (64, 8, 8, 3)), 0, 255).astype(np.uint8)


def _model(**options):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = keras.layers.Conv2D(4, 3, use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name="bn", **options)(x)
    x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def test_recentred_batch_norms_compute_the_same_from_true_statistics(shades):
    model = _model()
    x = shades
    model.get_layer("bn").set_weights(
        [np.float32([1, 2, -1, 0.5]), np.float32([0, 1, 2, 3]), np.zeros(4), np.full(4, 1 - 1e-3)]
    )
    before = training.predict(model, x)
    batch_norms.recenter_batch_norms(model, x, batch=24)
    np.testing.assert_allclose(training.predict(model, x), before, atol=1e-5)
    kernel = model.layers[2].kernel.numpy()
    scaled = x.astype(np.float64) / 127.5 - 1
    patches = np.lib.stride_tricks.sliding_window_view(scaled, (3, 3), axis=(1, 2))
    values = np.einsum("bhwcij,ijco->bhwo", patches, kernel)
    norm = model.get_layer("bn")
    np.testing.assert_allclose(norm.moving_mean, values.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, values.var((0, 1, 2)), rtol=1e-4)


def test_refreshed_statistics_are_the_plain_average_of_the_batches():
    inputs = keras.Input((1, 1, 1))
    outputs = keras.layers.BatchNormalization(momentum=0.99, name="bn")(inputs)
    model = keras.Model(inputs, outputs)
    x = np.arange(8, dtype=np.float32).reshape(8, 1, 1, 1)
    batch_norms.refresh_batch_norms(model, x, batch=8)
    assert float(model.get_layer("bn").moving_mean[0]) == pytest.approx(3.5)  # mean of 0 to 7
    assert float(model.get_layer("bn").moving_variance[0]) == pytest.approx(5.25)
    assert model.get_layer("bn").momentum == 0.99


def test_frozen_statistics_stay_and_so_does_the_momentum(shades):
    model = _model()
    norm = model.get_layer("bn")
    norm.trainable = False
    batch_norms.refresh_batch_norms(model, shades)
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(4))
    norm.trainable = True
    batch_norms.refresh_batch_norms(model, shades)
    assert norm.momentum == 0.9
    assert np.abs(np.asarray(norm.moving_mean)).min() > 0


def test_a_model_without_batch_norms_is_left_alone(shades):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))
    before = [w.copy() for w in model.get_weights()]
    batch_norms.refresh_batch_norms(model, shades)
    batch_norms.recenter_batch_norms(model, shades)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_recentring_needs_something_to_make_up_with(shades):
    with pytest.raises(ValueError, match="scale=True and center=True"):
        batch_norms.recenter_batch_norms(_model(scale=False), shades)
