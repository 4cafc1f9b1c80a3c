"""A factor for each channel."""

import keras
import numpy as np
import pytest

from keras_se import ChannelScale


@pytest.mark.parametrize("shape", [(2, 16), (2, 7, 16), (2, 4, 5, 16), (2, 2, 3, 4, 16)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_scale_starts_as_the_identity_and_multiplies_by_channel(shape, data_format):
    rng = np.random.default_rng(4)
    x, factors = rng.normal(size=shape).astype("float32"), rng.normal(size=16).astype("float32")
    expected = x * factors
    if data_format == "channels_first":
        x, expected = (np.moveaxis(array, -1, 1) for array in (x, expected))
    layer = ChannelScale(data_format=data_format)
    np.testing.assert_array_equal(layer(x), x)
    layer.scale.assign(factors)
    np.testing.assert_array_equal(layer(x), expected)
    assert layer.compute_output_shape(x.shape) == x.shape
    assert layer.count_params() == 16


def test_scale_is_trained():
    model = keras.Sequential([keras.Input((4, 4, 8)), ChannelScale()])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    x = np.random.default_rng(5).normal(size=(16, 4, 4, 8)).astype("float32")
    # One step of 0.5 on mean((x * s - 3 * x)^2): s = 1 + 0.5 * 2 * 2 * mean of x^2 over all
    # elements, each channel's own sum over the count of all.
    model.train_on_batch(x, 3 * x)
    expected = 1 + 2 * np.sum(x**2, axis=(0, 1, 2)) / x.size
    np.testing.assert_allclose(model.layers[0].scale, expected, rtol=1e-5)


def test_scale_refuses_what_it_cannot_scale():
    with pytest.raises(ValueError, match=r"channels must be known.*layer 's'.*keras\.Input"):
        ChannelScale(name="s")(keras.Input((8, 8, None)))
    with pytest.raises(TypeError, match=r"dtype int32 at layer 's'.*Rescaling"):
        ChannelScale(name="s")(np.ones((1, 4), "int32"))
    with pytest.raises(ValueError, match=r"`data_format` must"):
        ChannelScale(data_format="NHWC")
