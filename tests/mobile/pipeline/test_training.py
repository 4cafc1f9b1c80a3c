import keras
import numpy as np
import pytest

from mobile.pipeline import batch_norms, training


@pytest.fixture(scope="module")
def images():
    """Sixty-four noisy 8x8 images: dark ones are class 0, bright ones class 1."""
    random = np.random.default_rng(0)
    labels = np.arange(64) % 2
    pixels = random.normal(80 + 90 * labels[:, None, None, None], 20, (64, 8, 8, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8), labels


def _model(framework=keras, seed=0):
    framework.utils.set_random_seed(seed)
    layers = framework.layers
    inputs = framework.Input((8, 8, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = layers.Conv2D(4, 3, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9, name="bn")(x)
    x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return framework.Model(inputs, layers.Dense(2)(x))


def test_training_learns_what_can_be_learned(images):
    model = _model()
    x, y = images
    history = training.train(model, x, y, epochs=12, batch=16, learning_rate=0.05)
    assert len(history) == 12
    assert history[-1].loss < history[0].loss
    assert training.accuracy(training.predict(model, x), y) == 1.0


def test_same_seed_gives_the_same_losses_and_another_does_not(images):
    losses = []
    for seed in (1, 1, 2):
        history = training.train(_model(), *images, epochs=2, batch=16, augment="photo", seed=seed)
        losses.append([epoch.loss for epoch in history])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_legacy_keras_models_train_as_well(images):
    tf_keras = pytest.importorskip("tf_keras")
    history = training.train(_model(tf_keras), *images, epochs=6, batch=16, learning_rate=0.05)
    assert history[-1].loss < history[0].loss


def test_watch_is_told_every_step(images):
    seen = []
    training.train(_model(), *images, epochs=2, batch=24, watch=lambda *told: seen.append(told))
    assert [told[:3] for told in seen] == [(i // 3, i + 1, 6) for i in range(6)]  # 64 / 24: 3 steps


def test_no_epochs_leave_the_model_alone(images):
    model = _model()
    before = [w.copy() for w in model.get_weights()]
    assert training.train(model, *images, epochs=0) == ()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_recentred_batch_norms_compute_the_same_from_true_statistics(images):
    model = _model()
    x, _ = images
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


def test_augmentation_keeps_flat_images_and_mirrors_photos():
    random = np.random.default_rng(0)
    flat = np.full((16, 12, 12, 3), 77, np.uint8)
    np.testing.assert_array_equal(training._augmented(flat, "none", random), flat)
    np.testing.assert_allclose(training._augmented(flat, "photo", random), 77, atol=1e-3)
    ramp = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None], (64, 12, 12, 3))
    rising = np.diff(training._augmented(ramp, "photo", random).mean((1, 3)), axis=1).mean(1) > 0
    assert 16 < rising.sum() < 48  # about half are mirrored
    rising = np.diff(training._augmented(ramp, "shift", random).mean((1, 3))[:, 3:-3]).mean(1) > 0
    assert rising.all()


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ({"epochs": -1}, "at least 0"),
        ({"epochs": 1, "batch": 1}, "at least 2"),
        ({"epochs": 1, "learning_rate": 0}, "above 0"),
        ({"epochs": 1, "augment": "mixup"}, "none, shift, photo"),
    ],
)
def test_options_out_of_range_are_refused(images, option, advice):
    with pytest.raises(ValueError, match=advice):
        training.train(_model(), *images, **option)


def test_labels_that_do_not_fit_are_refused(images):
    x, y = images
    with pytest.raises(ValueError, match="classes=3"):
        training.train(_model(), x, y + 1, epochs=1)


def test_loss_that_is_no_number_stops_the_training(images):
    model = _model()
    model.layers[-1].set_weights([np.full((4, 2), np.nan, np.float32), np.zeros(2)])
    with pytest.raises(ValueError, match="--learning-rate"):
        training.train(model, *images, epochs=1)
