"""A strided convolution of an image may read neighbouring columns as channels."""

import dataclasses

import keras
import numpy as np
import pytest

from mobile import devices
from mobile.conversion.converter import convert
from mobile.lowering import lower
from mobile.lowering.targets import TARGETS

L = keras.layers
AMX = TARGETS["xnnpack-amx"]


def model_of(*body, shape=(12, 24, 3)):
    x = image = keras.Input(shape, name="image")
    for layer in body:
        x = layer(x)
    return keras.Model(image, x)


def conv(size, strides, padding, **options):
    return L.Conv2D(
        5, size, strides, padding, bias_initializer="random_normal", name="stem", **options
    )


def convolution(model):
    (found,) = (layer for layer in model.layers if isinstance(layer, L.Conv2D))
    return found


def assert_equal(model, lowered):
    image = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    expected, got = np.asarray(model(image)), np.asarray(lowered(image))
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("strides", [2, 3, 4])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("width", [23, 24, 32])
def test_every_kernel_stride_padding_and_width_gives_the_same(size, strides, padding, width):
    model = model_of(conv(size, strides, padding, activation="relu"), shape=(12, width, 3))
    lowered = lower(model, "xnnpack-amx")
    assert_equal(model, lowered)
    again = lower(lowered, "xnnpack-amx")
    assert [layer.name for layer in again.layers] == [layer.name for layer in lowered.layers]


def test_the_batch_norm_and_the_activation_behind_it_still_go_in():
    model = model_of(conv(3, 2, "same"), L.BatchNormalization(), L.ReLU())
    model.layers[2].set_weights(np.random.default_rng(1).uniform(0.5, 2, (4, 5)))
    lowered = lower(model, "xnnpack-amx")
    assert_equal(model, lowered)
    kinds = [type(layer).__name__ for layer in lowered.layers]
    assert kinds == ["InputLayer", "Reshape", "Conv2D", "Reshape"]


def test_eight_columns_of_three_channels_are_read_as_24_channels():
    # A block of 8 columns holds 4 of the output's, and the first column of the next block.
    stem = convolution(lower(model_of(conv(3, 2, "same")), "xnnpack-amx"))
    assert stem.kernel.shape == (3, 2, 8 * 3, 4 * 5)
    assert stem.strides == (2, 1)


@pytest.mark.parametrize("width", [1, 7, 24, 25, 56])
@pytest.mark.parametrize("channels, filters", [(3, 2), (16, 16), (24, 8), (96, 5)])
def test_a_narrow_1x1_convolution_reads_columns_as_one(width, channels, filters):
    layer = L.Conv2D(filters, 1, activation="relu", bias_initializer="random_normal", name="narrow")
    model = model_of(layer, shape=(6, width, channels))
    lowered = lower(model, AMX)
    assert_equal(model, lowered)
    columns = max(n for n in range(1, 129) if n * channels <= 128 and width % n == 0)
    kernel = convolution(lowered).kernel
    assert kernel.shape == (1, 1, columns * channels, columns * filters)
    again = lower(lowered, AMX)
    assert [layer.name for layer in again.layers] == [layer.name for layer in lowered.layers]


@pytest.mark.parametrize(
    "body, shape",
    [
        ([L.Conv2D(17, 1)], (12, 24, 16)),
        ([L.Conv2D(16, 1, strides=2)], (12, 24, 16)),
        ([L.Conv2D(6, 3, strides=2, groups=3)], (12, 24, 3)),
        ([L.Conv2D(6, 1, groups=3)], (12, 24, 3)),
        ([conv(3, 1, "same")], (12, 24, 3)),
        ([conv(3, 2, "same")], (12, 24, 5)),
        ([conv(3, 2, "same")], (12, 23, 3)),
        ([conv(3, 2, "same")], (None, None, 3)),
        ([L.DepthwiseConv2D(3, 2, "same")], (12, 24, 3)),
    ],
    ids=[
        "wide",
        "1x1 with a stride",
        "groups",
        "1x1 groups",
        "no stride",
        "many channels",
        "odd width",
        "any size",
        "depthwise",
    ],
)
def test_what_does_not_fit_stays_as_it_is(body, shape):
    lowered = lower(model_of(*body, shape=shape), AMX)
    assert not any(isinstance(layer, L.Reshape) for layer in lowered.layers)


def test_only_the_targets_that_gain_fold():
    for name, target in TARGETS.items():
        kinds = [type(layer) for layer in lower(model_of(conv(3, 2, "same")), target).layers]
        assert (L.Reshape in kinds) == (name in ("xnnpack-x86", "xnnpack-amx"))
        kinds = [type(layer) for layer in lower(model_of(L.Conv2D(8, 1)), target).layers]
        assert (L.Reshape in kinds) == (name == "xnnpack-amx")


def test_in_int8_it_is_one_partition_with_the_same_outputs():
    scaling = L.Rescaling(1 / 127.5, -1.0)
    narrow = L.Conv2D(4, 1, name="narrow")
    model = model_of(scaling, conv(3, 2, "same", activation="relu"), narrow, shape=(16, 32, 3))
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 32, 3)).astype("float32")
    unfolded = dataclasses.replace(AMX, folded_columns=1, narrow_width=0)
    outputs = []
    for target in (AMX, unfolded):
        artifact = convert(
            lower(model, target), "int8", calibration=images, target=target, correction=False
        )
        assert devices.partitions(artifact) == 1
        outputs.append(devices.predict(artifact, artifact.prepare(images))[0])
    np.testing.assert_array_equal(outputs[0].reshape(outputs[1].shape), outputs[1])
