"""VGG-16."""

import keras
import numpy as np
import pytest

from keras_se import models


def test_vgg_draws_its_large_kernels_from_the_distribution_it_is_saved_with():
    keras.utils.set_random_seed(0)
    model = models.build("vgg16_bn", input_shape=(96, 96, 3), width=0.5, classes=2)
    dense = model.get_layer("fc1")
    assert isinstance(dense.kernel_initializer, keras.initializers.GlorotUniform)
    kernel = np.asarray(dense.kernel)
    limit = np.sqrt(6 / sum(kernel.shape))  # of variance limit^2 / 3
    assert kernel.shape[0] > 2048 and 0.999 < np.abs(kernel).max() / limit <= 1
    assert np.var(kernel) == pytest.approx(limit**2 / 3, rel=0.01)
    assert not np.array_equal(kernel[:2], kernel[2048:2050])


def test_convolutions_and_dense_layers_are_those_of_column_d():
    model = models.build("se_vgg16_bn", input_shape=(64, 64, 3), width=0.25, classes=7)
    convs = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    repeats = ((2, 64, 64), (2, 128, 32), (3, 256, 16), (3, 512, 8), (3, 512, 4))
    expected = [(side, side, out // 4) for n, out, side in repeats for _ in range(n)]
    assert [layer.output.shape[1:] for layer in convs] == expected
    assert {layer.kernel_size for layer in convs} == {(3, 3)}
    assert sum(layer.name.endswith("_se") for layer in model.layers) == len(convs) == 13
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    # Five poolings leave 2x2 of 128 channels.
    shapes = [(2 * 2 * 128, 1024), (1024, 1024), (1024, 7)]
    assert [tuple(layer.kernel.shape) for layer in dense] == shapes
