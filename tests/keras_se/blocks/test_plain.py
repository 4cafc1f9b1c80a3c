"""The blocks without a shortcut."""

import dataclasses
from functools import partial

import keras
import numpy as np
import pytest

import keras_se
from keras_se import blocks
from tests.keras_se.blocks.built import (
    HALVING,
    assert_refused,
    build,
    close,
    conv_bn_params,
    images,
    names,
    randomize,
    trainable,
    twins,
)


def test_separable_block_adds_the_papers_parameters_to_mobilenet():
    # 2 * C * C / 16 after each pointwise convolution of MobileNet V1.
    added = 0
    for filters, count in ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2)):
        model = build(blocks.separable_block, filters=filters, se=keras_se.PAPER)
        added += count * model.get_layer("b_se").count_params()
        assert names(model)[-2:] == ["b_2_act", "b_se"]
    assert added == 479_744


def test_separable_block_is_that_of_keras_applications():
    real = keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3), classes=2)
    start, end = real.get_layer("conv_dw_1").input, real.get_layer("conv_pw_1_relu").output
    other = keras.Model(start, end)
    model = build(blocks.separable_block, start.shape[1:], filters=64)
    assert [w.shape for w in model.weights] == [w.shape for w in other.weights]
    randomize(model)
    other.set_weights(model.get_weights())
    x = images(2, *start.shape[1:])
    close(model(x), np.asarray(other(x)))


def test_vgg_block_rescales_after_each_activation_and_pools():
    model = build(blocks.vgg_block, filters=16, convs=2, se=HALVING)
    assert [n for n in names(model) if "se" in n] == ["b_1_se", "b_2_se"]
    assert names(model)[-1] == "b_pool"
    assert model.output_shape == (None, 3, 3, 16)
    original = build(blocks.vgg_block, filters=16, convs=2, batch_norm=False, use_bias=True)
    assert trainable(original) == (9 * 8 * 16 + 16) + (9 * 16 * 16 + 16)


def test_inception_module_concatenates_and_rescales_all():
    conv, pool = partial(blocks.conv_bn), partial(blocks.pool, strides=1, kind="avg")
    rows = [
        [partial(conv, filters=3)],
        [partial(conv, filters=4), partial(conv, filters=5, kernel_size=3)],
        [pool, partial(conv, filters=2)],
    ]
    model, tap, _ = twins(blocks.inception_module, HALVING, branches=rows)
    x = images(2, 6, 6, 8)
    ends = tap(x, "b_1_1_act", "b_2_2_act", "b_3_2_act")
    close(model(x), np.concatenate(ends, -1) / 2)


@pytest.mark.parametrize("kind", ["cse", "sse", "scse"])
def test_unet_decoder_doubles_the_size_appends_and_rescales(kind):
    below, skip = keras.Input((4, 5, 16)), keras.Input((8, 10, 6))
    se = dataclasses.replace(HALVING, kind=kind)
    model = keras.Model([below, skip], blocks.unet_decoder(below, skip, 12, se=se, name="b"))
    assert model.output_shape == (None, 8, 10, 12)
    randomize(model)
    x = [images(2, 4, 5, 16), images(2, 8, 10, 6)]
    before = keras.Model(model.inputs, model.get_layer("b_2_act").output)
    close(model(x), np.asarray(before(x)) * (1 if kind == "scse" else 0.5))  # 1/2 + 1/2
    convs = conv_bn_params(3, 16 + 6, 12) + conv_bn_params(3, 12, 12)
    gates = {"cse": 2 * 12 * 3, "sse": 12, "scse": 2 * 12 * 3 + 12}[kind]
    assert trainable(model) == convs + gates
    alone = blocks.unet_decoder(below, None, 12, interpolation="bilinear", name="c")
    assert alone.shape == (None, 8, 10, 12)


@pytest.mark.parametrize(
    ("block", "options", "message"),
    [
        (blocks.vgg_block, {"filters": 8, "convs": 0}, r"`convs` must be at least 1"),
        (blocks.inception_module, {"branches": []}, r"at least one branch.*block 'b'.*list of li"),
        (blocks.unet_decoder, {"interpolation": "cubic"}, r"`interpolation` must.*'bilinear'"),
    ],
)
def test_bad_values_are_refused_by_name(block, options, message):
    assert_refused(block, options, message)
