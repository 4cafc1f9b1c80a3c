"""What is said of gates, against sums written out in NumPy."""

import json

import keras
import numpy as np
import pytest

import keras_se
from keras_se import SEConfig, SqueezeExcite
from keras_se.gate_statistics import Gates

L = keras.layers


@pytest.fixture
def images():
    """Bright and dark ones, so that gates differ."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(30, 5, 4, 8)) * rng.uniform(0, 3, (30, 1, 1, 8))).astype("float32")


def network(name="net", **kwargs):
    x = keras.Input((5, 4, 8), name="image")
    model = keras.Model(
        x, SEConfig(reduction=2, min_channels=1, **kwargs).layer("se")(x), name=name
    )
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gate_by_hand(model, x):
    """Equations 2 to 4 of arXiv:1709.01507, (images, channels)."""
    reduce, reduce_bias, expand, expand_bias = (np.squeeze(w) for w in model.get_weights())
    s = x.mean(axis=(1, 2), dtype="float64")
    return sigmoid(np.maximum(s @ reduce + reduce_bias, 0) @ expand + expand_bias)


def test_mean_spread_constant_and_error_are_the_sums_they_are_said_to_be(images):
    model = network()
    found = keras_se.gates(model, images, batch_size=7)["se"]
    g, x = gate_by_hand(model, images), images.astype("float64")
    np.testing.assert_allclose(found.mean, g.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.spread, g.std(axis=0), rtol=1e-4)
    square, gate = x**2, g[:, None, None]
    constant = (square * gate).sum(axis=(0, 1, 2)) / square.sum(axis=(0, 1, 2))
    np.testing.assert_allclose(found.constant, constant, rtol=1e-5)
    left = np.sqrt((x**2 * (gate - constant) ** 2).sum() / (x * gate * x * gate).sum())
    assert found.error == pytest.approx(left, rel=1e-4)
    assert found.shape == (5, 4, 8) and found.elements == 5 * 4 * 8


def test_no_other_constant_is_nearer(images):
    model = network()
    constant = keras_se.gates(model, images)["se"].constant
    y, x = model.predict(images, verbose=0), images

    def distance(scale):
        return np.square(x * scale - y).sum()

    for step in (0.99, 1.01):
        assert distance(constant) < distance(constant * step)


def test_saturated_is_the_share_of_gates_at_0_or_1(images):
    model = network(gate="hard_sigmoid")
    weights = model.get_weights()
    # relu6(b + 3) / 6 of the biases alone: 0, 0, 1, 1 and four times 1/2.
    model.set_weights([*(w * 0 for w in weights[:3]), np.array([-9, -3, 3, 9, 0, 0, 0, 0])])
    found = keras_se.gates(model, images)["se"]
    assert found.saturated == 0.5
    np.testing.assert_allclose(found.constant, [0, 0, 1, 1, 0.5, 0.5, 0.5, 0.5], atol=1e-6)
    assert found.spread.max() < 1e-6 and found.error < 1e-3


def test_where_a_channel_is_always_zero_its_constant_is_the_mean_gate(images):
    images[..., 3] = 0
    found = keras_se.gates(network(), images)["se"]
    assert found.constant[3] == found.mean[3] and np.isfinite(found.constant).all()


@pytest.mark.parametrize("as_column", [False, True])
def test_means_by_class(images, as_column):
    model = network()
    labels = np.arange(30) % 3 + 4
    given = labels[:, None] if as_column else labels
    found = keras_se.gates(model, images, labels=given, batch_size=8)
    assert found.classes == (4, 5, 6)
    g = gate_by_hand(model, images)
    expected = [g[labels == label].mean(axis=0) for label in (4, 5, 6)]
    np.testing.assert_allclose(found["se"].class_means, expected, rtol=1e-5)
    assert "by class" in str(found)


def test_batches_of_a_generator_are_as_good_as_an_array(images):
    model = network()
    batches = (images[i : i + 11] for i in range(0, 30, 11))
    streamed, whole = keras_se.gates(model, batches), keras_se.gates(model, images)
    assert streamed.images == whole.images == 30
    np.testing.assert_allclose(streamed["se"].constant, whole["se"].constant, rtol=1e-6)
    pairs = [(images[:15], np.zeros(15)), (images[15:], np.zeros(15))]  # as tf.data gives them
    np.testing.assert_allclose(keras_se.gates(model, pairs)["se"].mean, whole["se"].mean, rtol=1e-6)


def test_a_gate_of_positions_has_a_value_for_each(images):
    model = network(kind="sse")
    kernel, bias = (np.squeeze(w) for w in model.get_weights())
    found = keras_se.gates(model, images)["se"]
    g = sigmoid(images @ kernel + bias).reshape(30, -1)
    np.testing.assert_allclose(found.mean, g.mean(axis=0), rtol=1e-5)
    energy = np.square(images).sum(axis=-1).reshape(30, -1)
    constant = (energy * g).sum(axis=0) / energy.sum(axis=0)
    np.testing.assert_allclose(found.constant, constant, rtol=1e-5)


def test_a_shared_model_sums_over_its_calls(images):
    inner = network("inner")
    x = keras.Input((5, 4, 8))
    model = keras.Model(x, inner(inner(x)))
    found = keras_se.gates(model, images)["se"]
    first = images.astype("float64")
    g1 = gate_by_hand(inner, first)
    second = first * g1[:, None, None]
    g2 = gate_by_hand(inner, second)
    square = np.stack([first**2, second**2])
    gate = np.stack([g1, g2])[:, :, None, None]
    expected = (square * gate).sum(axis=(0, 1, 2, 3)) / square.sum(axis=(0, 1, 2, 3))
    np.testing.assert_allclose(found.constant, expected, rtol=1e-5)


def test_what_is_no_block_is_listed_with_the_blocks(images):
    x = keras.Input((5, 4, 8))
    s = L.LayerNormalization(name="norm")(L.GlobalAveragePooling2D(keepdims=True)(x))
    y = L.Multiply(name="odd")([x, L.Dense(8, "sigmoid")(s)])
    model = keras.Model(x, SEConfig(kind="scse").layer("both")(y))
    found = keras_se.gates(model, images)
    assert "odd is no gated block: 'norm' of class LayerNormalization" in str(found)
    assert "both/channel: it is a part of layer 'both'" in str(found)


def test_the_record_goes_through_json(images):
    found = keras_se.gates(network(), images, labels=np.arange(30) % 2)
    said = json.loads(json.dumps(found.to_dict()))
    for each in (said, *said["blocks"]):
        each["a later field"] = 1
    again = Gates.from_dict(said)
    assert str(again) == str(found) and again.classes == found.classes
    np.testing.assert_array_equal(again["se"].class_means, found["se"].class_means)


def test_the_model_is_left_as_it_was(images):
    model = network()
    before, calls = model.get_weights(), [len(x._inbound_nodes) for x in model.layers]
    keras_se.gates(model, images)
    assert [len(x._inbound_nodes) for x in model.layers] == calls
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_without_gates_is_an_error_that_names_what_looks_like_one(images):
    x = keras.Input((5, 4, 8))
    with pytest.raises(ValueError, match=r"must have squeeze-and-excitation.*before lowering"):
        keras_se.gates(keras.Model(x, L.Conv2D(3, 1)(x)), images)
    se = SqueezeExcite(pool=None, name="se")
    with pytest.raises(ValueError, match="se: it has no pool"):
        keras_se.gates(keras.Model(x, se(x)), images)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda x: x[:1], r"at least two.*Received: 1, for model 'net'"),
        (lambda x: x[:0], r"at least two.*Received: 0"),
        (lambda x: iter(()), r"at least two.*Received: 0"),
        (lambda x: np.repeat(x[:1], 9, axis=0), r"must differ.*Received: 9 times the same"),
        (lambda x: np.where(x > 2, np.nan, x), r"must be finite.*NaN or infinity"),
        (lambda x: x[:, :3], r"\(count, 5, 4, 8\)\. Received: a batch of shape \(16, 3, 4, 8\)"),
        (list, r"\(count, 5, 4, 8\)\. Received: a batch of shape \(5, 4, 8\)"),
    ],
)
def test_images_that_show_nothing_are_refused(images, spoil, said):
    with pytest.raises(ValueError, match=said):
        keras_se.gates(network(), spoil(images))


@pytest.mark.parametrize("count", [29, 31, 3])
def test_labels_of_another_number_are_refused(images, count):
    with pytest.raises(ValueError, match=rf"one class for each image.*{count} labels for"):
        keras_se.gates(network(), images, labels=np.zeros(count, int), batch_size=8)


def test_one_hot_labels_are_refused(images):
    with pytest.raises(ValueError, match=r"\(30, 4\).*argmax"):
        keras_se.gates(network(), images, labels=np.eye(4)[np.arange(30) % 4])


def test_an_unknown_block_lists_the_known_ones(images):
    with pytest.raises(KeyError, match="Known are se"):
        keras_se.gates(network(), images)["nowhere"]
