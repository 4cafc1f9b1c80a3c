import keras
import numpy as np
import pytest

import mobile
from mobile.pipeline import training


@pytest.fixture(scope="module")
def shades():
    """Sixty-four noisy 8x8 images: dark ones are class 0, bright ones class 1."""
    random = np.random.default_rng(0)
    labels = np.arange(64) % 2
    pixels = random.normal(80 + 90 * labels[:, None, None, None], 20, (64, 8, 8, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8), labels


def _model(framework=keras, seed=0, end=lambda layers, x: layers.Dense(2)(x)):
    framework.utils.set_random_seed(seed)
    layers = framework.layers
    inputs = framework.Input((8, 8, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = layers.Conv2D(4, 3, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return framework.Model(inputs, end(layers, x))


def test_training_learns_what_can_be_learned(shades):
    model = _model()
    x, y = shades
    history = training.train(model, x, y, epochs=12, batch=16, learning_rate=0.05)
    assert len(history) == 12
    assert history[-1].loss < history[0].loss
    assert training.accuracy(training.predict(model, x), y) == 1.0


def test_same_seed_gives_the_same_losses_and_another_does_not(shades):
    losses = []
    for seed in (1, 1, 2):
        history = training.train(_model(), *shades, epochs=2, batch=16, augment="photo", seed=seed)
        losses.append([epoch.loss for epoch in history])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_legacy_keras_models_train_as_well(shades):
    tf_keras = pytest.importorskip("tf_keras")
    history = training.train(_model(tf_keras), *shades, epochs=6, batch=16, learning_rate=0.05)
    assert history[-1].loss < history[0].loss


def test_watch_is_told_every_step(shades):
    seen = []
    training.train(_model(), *shades, epochs=2, batch=24, watch=lambda *told: seen.append(told))
    assert [told[:3] for told in seen] == [(i // 3, i + 1, 6) for i in range(6)]  # 64 / 24: 3 steps


def _model_with_a_second_input():
    """Logits that are sums over the second input's three numbers alone."""
    image, told = keras.Input((8, 8, 3)), keras.Input((3,))
    still = keras.layers.Rescaling(0.0)(keras.layers.GlobalAveragePooling2D()(image))
    dense = keras.layers.Dense(2, use_bias=False, kernel_initializer="zeros", name="told")
    logits = keras.layers.Add()([dense(told), keras.layers.Dense(2, trainable=False)(still)])
    return keras.Model((image, told), logits)


def test_a_second_input_reads_what_stands_beside_each_batch(shades):
    model, numbers = _model_with_a_second_input(), []

    def beside(draw, number):
        numbers.append(number)
        assert 0 <= draw.random() < 1
        return np.array([1, 0, number == 3], np.float32)

    options = {"epochs": 1, "batch": 16, "weight_decay": 0.0, "label_smoothing": 0.0}
    x, ones = shades[0], np.ones(64, int)  # 64 / 16: batches 0 to 3
    training.fit(model, x, ones, beside=beside, **options)
    assert numbers[:4] == [0, 1, 2, 3]
    first, never, last = model.get_layer("told").get_weights()[0]
    assert first[1] > last[1] > 0 and first[0] < 0  # towards class 1, in four steps and in one
    np.testing.assert_array_equal(never, 0)


def test_no_epochs_leave_the_model_alone(shades):
    model = _model()
    before = [w.copy() for w in model.get_weights()]
    assert training.train(model, *shades, epochs=0) == ()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


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
def test_options_out_of_range_are_refused(shades, option, advice):
    with pytest.raises(ValueError, match=advice):
        training.train(_model(), *shades, **option)


@pytest.mark.parametrize("kind", ["layer", "activation", "fused"])
@pytest.mark.parametrize("framework", ["keras", "tf_keras"])
def test_a_softmax_at_the_end_changes_nothing_in_the_training(shades, framework, kind):
    """Taken for logits, probabilities hardly learn."""

    def end(layers, x):
        if kind == "fused":
            return layers.Dense(2, activation="softmax")(x)
        last = layers.Softmax() if kind == "layer" else layers.Activation("softmax")
        return last(layers.Dense(2)(x))

    framework = pytest.importorskip(framework)
    options = {"epochs": 2, "batch": 16, "learning_rate": 0.05}
    logits, softmax = _model(framework), _model(framework, end=end)
    want = training.train(logits, *shades, **options)
    found = training.train(softmax, *shades, **options)
    for one, other in zip(want, found, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-3)
    answers = np.exp(training.predict(logits, shades[0]))
    answers /= answers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(training.predict(softmax, shades[0]), answers, atol=1e-3)


def test_a_quantised_softmax_is_left_out_too(lowered, ranges):
    aware = mobile.quantize_aware(lowered, ranges=ranges)
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (32, 16, 16, 3), np.uint8)
    first = training.train(aware, x, np.zeros(32, int), epochs=1, batch=32, learning_rate=1e-9)
    (softmax,) = (x for x in aware.layers if isinstance(x, keras.layers.Softmax))
    logits = keras.Model(aware.input, softmax.input)
    values = training.predict(logits, x).astype(np.float64)
    log = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    target = 0.9 * np.eye(5)[0] + 0.1 / 5  # label smoothing
    assert first[0].loss == pytest.approx(float(-(log * target).sum(axis=1).mean()), rel=1e-3)


def test_images_and_labels_that_do_not_fit_are_refused(shades):
    x, y = shades
    for bad_x, bad_y, advice in (
        (x, y + 1, "classes=3"),
        (x, y - 1, "from 0 to 1"),
        (x, y[:, None], "one whole number an image"),
        (x, y.astype(float), "class indices"),
        (x, y[:-1], "class indices"),
        (x[:0], y[:0], "class indices"),
        (x[:, :4], y, "Resize"),
        (np.where(np.arange(64) == 3, np.nan, 1.0)[:, None, None, None] * x, y, "scaled"),
    ):
        with pytest.raises(ValueError, match=advice):
            training.train(_model(), bad_x, bad_y, epochs=1)


def test_models_that_are_no_classifiers_of_images_are_refused(shades):
    def one(layers, x):
        return layers.Dense(1)(x)

    with pytest.raises(ValueError, match=r"one number a class.*model\.fit"):
        training.train(_model(end=one), *shades, epochs=1)
    with pytest.raises(TypeError, match="Received: int"):
        training.train(3, *shades, epochs=1)


def test_loss_that_is_no_number_stops_the_training(shades):
    model = _model()
    model.layers[-1].set_weights([np.full((4, 2), np.nan, np.float32), np.zeros(2)])
    with pytest.raises(ValueError, match="--learning-rate"):
        training.train(model, *shades, epochs=1)


def test_a_weight_that_is_no_number_is_told_even_where_the_loss_is_one(shades):
    """A ReLU makes 0 of NaN."""
    inputs = keras.Input((8, 8, 3))
    conv = keras.layers.Conv2D(4, 3, activation="relu", name="blind")
    x = keras.layers.GlobalAveragePooling2D()(conv(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    conv.set_weights([np.full(conv.kernel.shape, np.nan), np.zeros(4)])
    with pytest.raises(ValueError, match=r"in layer 'blind' of .* after training"):
        training.train(model, *shades, epochs=1)
