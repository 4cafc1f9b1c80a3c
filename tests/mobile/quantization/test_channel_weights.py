"""The weights of channels, against the sums written out in the test."""

import keras
import numpy as np
import pytest

from mobile.quantization import calibrate, range_plan
from mobile.quantization.channel_weights import importances

layers = keras.layers
rng = np.random.default_rng(0)


def _importances(model, count=8):
    batch = rng.normal(size=(count, *model.input.shape[1:])).astype("float32")
    return importances(model, range_plan.read_plan(model), [batch]), batch


def _variance(model, name, batch):
    outputs = keras.Model(model.input, model.get_layer(name).output).predict(batch, verbose=0)
    return outputs.reshape(-1, outputs.shape[-1]).var(axis=0)


def _kernel(model, name):
    return model.get_layer(name).get_weights()[0]


def test_a_channel_counts_by_the_kernel_that_reads_it():
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 1, name="asked")(image)
    model = keras.Model(image, layers.Conv2D(5, 3, name="reader")(x))
    found, batch = _importances(model)
    variance = _variance(model, "reader", batch)
    expected = [
        sum(
            _kernel(model, "reader")[i, j, c, o] ** 2 / variance[o]
            for i in range(3)
            for j in range(3)
            for o in range(5)
        )
        for c in range(4)
    ]
    assert found["asked"] == pytest.approx(expected, rel=1e-3)
    assert "reader" not in found  # nothing reads it


@pytest.mark.parametrize("groups", [2, 4])
def test_a_grouped_kernel_reads_its_own_channels(groups):
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 1, name="asked")(image)
    model = keras.Model(image, layers.Conv2D(12, 3, groups=groups, name="reader")(x))
    found, batch = _importances(model)
    kernel, variance = _kernel(model, "reader"), _variance(model, "reader", batch)
    whole = np.zeros((3, 3, 8, 12))  # the same convolution without groups
    for group in range(groups):
        reads = slice(group * 8 // groups, (group + 1) * 8 // groups)
        gives = slice(group * 12 // groups, (group + 1) * 12 // groups)
        whole[:, :, reads, gives] = kernel[..., gives]
    assert found["asked"] == pytest.approx(((whole**2) / variance).sum((0, 1, 3)), rel=1e-3)


def test_depthwise_transposed_and_dense_readers():
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 1, name="a")(image)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="b")(x)
    x = layers.Conv2DTranspose(5, 2, strides=2, name="c")(x)
    x = layers.GlobalAveragePooling2D(name="d")(x)
    model = keras.Model(image, layers.Dense(7, name="e")(x))
    found, batch = _importances(model)
    by_channel = _variance(model, "b", batch).reshape(4, 2)
    expected = ((_kernel(model, "b") ** 2).sum((0, 1)) / by_channel).sum(-1)
    assert found["a"] == pytest.approx(expected, rel=1e-3)
    variance = _variance(model, "c", batch)
    expected = ((_kernel(model, "c") ** 2).sum((0, 1)) / variance[:, None]).sum(0)
    assert found["b"] == pytest.approx(expected, rel=1e-3)
    expected = (_kernel(model, "e") ** 2 / _variance(model, "e", batch)).sum(-1)
    assert found["d"] == pytest.approx(expected, rel=1e-3)
    assert "c" not in found  # a mean stands between it and the next kernel


def test_products_and_concatenations_pass_it_on():
    image = keras.Input((6, 6, 3))
    x, y = layers.Conv2D(4, 1, name="x")(image), layers.Conv2D(2, 1, name="y")(image)
    swish = layers.Multiply(name="swish")([x, layers.Activation("sigmoid")(x)])
    both = layers.Concatenate(name="both")([swish, y])
    model = keras.Model(image, layers.Conv2D(5, 1, name="reader")(both))
    found, _ = _importances(model)
    assert found["x"] == pytest.approx(found["swish"])
    assert np.concatenate([found["swish"], found["y"]]) == pytest.approx(found["both"])


def test_it_goes_through_reshapes_that_keep_channels_together():
    image = keras.Input((4, 6, 3))
    x = layers.Conv2D(4, 1, name="asked")(image)
    folded = layers.Reshape((4, 3, 8))(x)  # two columns as one
    wide = layers.Conv2D(10, 1, name="wide")(folded)
    unfolded = layers.Reshape((4, 6, 5))(wide)
    flat = layers.Flatten()(layers.Conv2D(2, 1, name="last")(unfolded))
    model = keras.Model(image, layers.Dense(3, name="dense")(flat))
    found, batch = _importances(model)

    def squares(name):
        kernel = _kernel(model, name)
        kernel = kernel.reshape(-1, *kernel.shape[-2:]).astype("float64") ** 2
        return (kernel.sum(0) / _variance(model, name, batch)).sum(-1)

    assert found["asked"] == pytest.approx(squares("wide").reshape(2, 4).mean(0), rel=1e-3)
    assert found["wide"] == pytest.approx(np.tile(squares("last"), 2), rel=1e-3)
    assert found["last"] == pytest.approx(squares("dense").reshape(24, 2).mean(0), rel=1e-3)


def test_a_shuffle_of_channels_hides_the_reader():
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(4, 1, name="asked")(image)
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((4, 4, 2, 2))(x))
    model = keras.Model(image, layers.Conv2D(5, 1, name="reader")(layers.Reshape((4, 4, 4))(x)))
    assert "asked" not in _importances(model)[0]


def test_a_range_gives_way_to_the_channel_that_a_large_kernel_magnifies():
    # Channel 0 spans (0, 1) and is read with 100; channel 1 spans (0, 50) and is read with 1e-4.
    # Rounding (0, 1) to steps of 50/255 costs 10**4 times what cutting channel 1 does at 1e-8.
    image = keras.Input((16, 16, 2))
    x = layers.ReLU(name="relu")(image)
    model = keras.Model(image, layers.Conv2D(1, 1, name="reader")(x))
    kernel = np.array([100.0, 1e-4]).reshape(1, 1, 2, 1)
    model.get_layer("reader").set_weights([kernel, np.zeros(1)])
    images = rng.uniform(0, 1, (64, 16, 16, 2)).astype("float32") * [1, 50]
    high = calibrate(model, images, progress=False)["relu"][1]
    assert high < 3
    assert calibrate(model, images, method="minmax", progress=False)["relu"][1] > 49


def test_a_dead_reader_does_not_divide_by_zero():
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 1, name="asked")(image)
    model = keras.Model(image, layers.Conv2D(5, 3, name="reader", kernel_initializer="zeros")(x))
    model.get_layer("asked").set_weights([_kernel(model, "asked"), np.arange(4.0)])
    found, _ = _importances(model)
    assert np.all(np.isfinite(found["asked"])) and not np.any(found["asked"])
    images = rng.uniform(0, 1, (16, 6, 6, 3)).astype("float32")
    low, high = calibrate(model, images, progress=False)["asked"]
    assert high - low > 0.1  # as without weights
