"""What blocks are made of: a convolution with what follows it, pooling."""

import numpy as np
import pytest

from keras_se import SEConfig, blocks
from tests.keras_se.blocks.built import (
    assert_refused,
    build,
    close,
    conv_bn_params,
    images,
    names,
    trainable,
)


def test_se_convolution_block_of_the_tutorials():
    se = SEConfig(reduction=3, pool="max")
    model = build(blocks.conv_bn, (8, 8, 3), filters=64, kernel_size=3, se=se)
    assert names(model) == ["b_conv", "b_bn", "b_act", "b_se"]
    assert model.get_layer("b_se").count_params() == 1365 + 1408
    assert trainable(model) == conv_bn_params(3, 3, 64) + 2773


def test_symmetric_padding_is_half_the_kernel_on_every_side():
    x = images(2, 8, 8, 3)
    options = {"filters": 4, "kernel_size": 5, "strides": 2, "activation": None}
    padded = build(blocks.conv_bn, (8, 8, 3), padding="symmetric", **options)
    valid = build(blocks.conv_bn, (None, None, 3), padding="valid", **options)
    valid.set_weights(padded.get_weights())
    close(padded(x), np.asarray(valid(np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))))))
    assert "b_pad" not in names(
        build(blocks.conv_bn, filters=4, kernel_size=3, padding="symmetric")
    )


def test_unknown_words_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"`padding` must.*Choose from 'same', 'valid', 'sym"):
        build(blocks.conv_bn, filters=8, padding="full")
    with pytest.raises(ValueError, match=r"`kind` must.*Choose from 'max', 'avg'"):
        build(blocks.pool, kind="min")


@pytest.mark.parametrize(
    ("block", "options", "message"),
    [
        (blocks.conv_bn, {"filters": True}, r"`filters` must be an integer.*block 'b'"),
        (blocks.conv_bn, {"filters": 8.0}, r"`filters` must be an integer.*block 'b'"),
        (blocks.conv_bn, {"filters": 0}, r"`filters` must be at least 1.*block 'b'"),
        (blocks.conv_bn, {"use_bias": "no"}, r"`use_bias` must be True or False.*block 'b'"),
        (blocks.conv_bn, {"batch_norm": "no"}, r"`batch_norm` must be True or False"),
        (blocks.conv_bn, {"epsilon": -1e-3}, r"`epsilon` must be .* from 0.*Keras's own is 1e-3"),
        (blocks.conv_bn, {"epsilon": float("nan")}, r"`epsilon` must be a finite number"),
        (blocks.conv_bn, {"momentum": 99}, r"`momentum` must be .* from 0 to 1"),
        (blocks.conv_bn, {"activation": "rleu"}, r"`activation` must.*Did you mean .*'relu'"),
        (blocks.conv_bn, {"kernel_initializer": "he"}, r"`kernel_initializer` must.*block 'b'"),
        (blocks.depthwise_bn, {"kernel_initializer": "foo"}, r"`kernel_initializer` must"),
        (blocks.depthwise_bn, {"use_bias": 1}, r"`use_bias` must be True or False"),
        (blocks.pool, {"padding": "foo"}, r"`padding` must.*layer 'b'.*Choose from 'same', 'val"),
    ],
)
def test_bad_values_are_refused_by_name(block, options, message):
    assert_refused(block, options, message)
