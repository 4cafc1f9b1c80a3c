"""Pooling, padding, resizing and reshaping."""

import keras
import pytest

import mobile
from tests.mobile.lowering.lowered import (
    assert_equal,
    conv,
    kinds,
    model_of,
)

L = keras.layers
ops = keras.ops


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("pool", "strides"), [(2, 2), (3, 1), (3, 2)])
def test_average_pooling_becomes_a_depthwise_convolution(padding, pool, strides):
    lowered = assert_equal(
        model_of(lambda x: conv(L.AveragePooling2D(pool, strides, padding=padding)(x)))
    )
    assert "AveragePooling2D" not in kinds(lowered)
    assert kinds(lowered)["DepthwiseConv2D"] == 1


def test_nearest_upsampling_becomes_copies_moved_into_space():
    lowered = assert_equal(model_of(lambda x: L.UpSampling2D(2)(conv(x))))
    assert kinds(lowered) == {"Conv2D": 1, "Concatenate": 1, "DepthToSpace": 1}


def test_a_split_of_the_batch_is_refused():
    image = keras.Input(batch_shape=(2, 4, 4, 3))
    with pytest.raises(ValueError, match=r"axis=0.*Leave the batch whole"):
        mobile.lower(keras.Model(image, ops.split(image, 2, axis=0)))
