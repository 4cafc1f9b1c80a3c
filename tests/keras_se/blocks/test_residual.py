"""The blocks with a shortcut: parameters by arithmetic, SE's place by halving."""

import dataclasses

import keras
import numpy as np
import pytest

import keras_se
from keras_se import SEConfig, blocks
from tests.keras_se.blocks.built import (
    HALVING,
    assert_refused,
    build,
    close,
    conv_bn_params,
    images,
    names,
    randomize,
    relu,
    trainable,
    twins,
)


def test_tutorial_network_of_basic_blocks():
    # ResNet-34 has 21,797,672 (torchvision); SE adds 2 * C * max(C // 16, 8) for 3, 4, 6, 3 blocks
    # of 64, 128, 256, 512 channels.
    se = SEConfig(reduction=16, min_channels=8, use_bias=False)
    inputs = keras.Input((32, 32, 3))
    x = blocks.conv_bn(inputs, 64, 7, 2, name="stem")
    x = blocks.pool(x, name="pool")
    stages = ((64, 3), (128, 4), (256, 6), (512, 3))
    for stage, (filters, count) in enumerate(stages):
        for i in range(count):
            strides = 2 if stage and not i else 1
            x = blocks.basic_block(x, filters, strides=strides, se=se, name=f"stage{stage}_{i}")
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(1000)(x))
    added = sum(2 * c * max(c // 16, 8) * n for c, n in stages)
    assert trainable(model) == 21_797_672 + added == 21_956_392


@pytest.mark.parametrize("placement", blocks.residual.PLACES)
@pytest.mark.parametrize(
    ("function", "options", "middle", "last"),
    [
        (blocks.basic_block, {"filters": 12, "strides": 2}, "b_1_act", "b_2_bn"),
        (blocks.bottleneck_block, {"filters": 16, "groups": 2}, "b_2_act", "b_3_bn"),
    ],
)
def test_se_stands_where_the_paper_puts_it(placement, function, options, middle, last):
    se = dataclasses.replace(HALVING, placement=placement)
    model, tap, rest = twins(function, se, **options)
    x = images(2, 6, 6, 8)
    branch, shortcut, between = tap(x, last, "b_shortcut_bn", middle)
    expected = {
        "standard": lambda: relu(branch / 2 + shortcut),
        "pre": lambda: relu(tap(x / 2, last)[0] + shortcut),
        "post": lambda: relu(branch + shortcut) / 2,
        "identity": lambda: relu(branch + shortcut / 2),
        "conv3x3": lambda: relu(rest(between / 2, middle, last) + shortcut),
    }[placement]()
    close(model(x), expected)
    assert names(model).count("b_se") == 1


def test_se_after_the_3x3_adds_the_papers_parameters():
    # 2 * W * W / 16 on the width W = C / 4 of ResNet-50's 3, 4, 6, 3 blocks.
    se = dataclasses.replace(keras_se.PAPER, placement="conv3x3")
    added = 0
    for filters, count in ((256, 3), (512, 4), (1024, 6), (2048, 3)):
        model = build(blocks.bottleneck_block, (2, 2, filters), filters=filters, se=se)
        added += count * model.get_layer("b_se").count_params()
    assert added == 157_184


def test_bottleneck_parameters_of_resnet_resnext_and_senet154():
    block = blocks.bottleneck_block
    resnet = build(block, (4, 4, 256), filters=256)
    ends = conv_bn_params(1, 256, 64) + conv_bn_params(1, 64, 256)
    assert trainable(resnet) == ends + conv_bn_params(3, 64, 64)
    resnext = build(block, (4, 4, 256), filters=256, width=128, groups=32)
    ends = conv_bn_params(1, 256, 128) + conv_bn_params(1, 128, 256)
    assert trainable(resnext) == ends + conv_bn_params(3, 128, 128, groups=32)
    senet = {"width": 512, "first_width": 256, "groups": 64, "shortcut_kernel": 3}
    model = build(block, (4, 4, 256), filters=512, strides=2, **senet)
    ends = conv_bn_params(1, 256, 256) + conv_bn_params(1, 512, 512)
    middle = conv_bn_params(3, 256, 512, groups=64)
    assert trainable(model) == ends + middle + conv_bn_params(3, 256, 512)
    assert model.output_shape == (None, 2, 2, 512)


@pytest.mark.parametrize(("in_first", "expected"), [(True, (2, 1)), (False, (1, 2))])
def test_bottleneck_strides_in_the_first_or_the_3x3(in_first, expected):
    model = build(blocks.bottleneck_block, filters=32, strides=2, stride_in_first=in_first)
    assert tuple(model.get_layer(f"b_{i}_conv").strides[0] for i in (1, 2)) == expected


def test_inverted_residual_is_that_of_keras_applications_mobilenet_v3():
    real = keras.applications.MobileNetV3Small(weights=None, input_shape=(64, 64, 3), classes=2)
    start = real.get_layer("expanded_conv_4_expand").input
    other = keras.Model(start, real.get_layer("expanded_conv_4_add").output)
    options = {"expanded": 240, "kernel_size": 5, "activation": "hard_silu", "momentum": 0.999}
    se = keras_se.MOBILENET_V3
    model = build(blocks.inverted_residual, start.shape[1:], filters=40, se=se, **options)
    assert [w.shape for w in model.weights] == [w.shape for w in other.weights]
    randomize(model)
    model.get_layer("b_se").set_weights(
        [np.random.default_rng(2).normal(size=w.shape) for w in model.get_layer("b_se").weights]
    )
    other.set_weights(model.get_weights())
    x = images(2, *start.shape[1:])
    close(model(x), np.asarray(other(x)))


def test_inverted_residual_may_rescale_the_narrow_tensor():
    options = {"filters": 8, "expanded": 48}
    counts = {}
    for placement in ("expanded", "projected"):
        se = dataclasses.replace(HALVING, placement=placement)
        model = build(blocks.inverted_residual, se=se, **options)
        counts[placement] = model.get_layer("b_se").count_params()
    assert counts == {"expanded": 2 * 48 * 12, "projected": 2 * 8 * 2}


class _Twice(SEConfig):
    """What stands at two places of a block, as each kind of record may say for itself."""

    def at(self, *places):
        return super().at("standard") if {"standard", "projected"} & set(places) else None

    def layer(self, name=None, **kwargs):
        return super().layer(None, **kwargs)


def test_a_record_may_say_that_se_stands_at_two_places():
    twice = _Twice(reduction=4, min_channels=1)
    model = build(blocks.inverted_residual, se=twice, filters=8, expanded=48)
    gates = [x for x in model.layers if isinstance(x, keras_se.SqueezeExcite)]
    assert [gate.input.shape[-1] for gate in gates] == [48, 8]  # expanded, projected


@pytest.mark.parametrize("placement", blocks.residual.INVERTED_PLACES)
def test_se_of_an_inverted_residual_stands_where_its_placement_says(placement):
    se = dataclasses.replace(HALVING, placement=placement)
    model, tap, rest = twins(blocks.inverted_residual, se, filters=8, expanded=48)
    x = images(2, 6, 6, 8)
    depthwise, projected = tap(x, "b_2_act", "b_3_bn")
    expected = {
        "standard": lambda: rest(depthwise / 2, "b_2_act", "b_3_bn") + x,
        "expanded": lambda: rest(depthwise / 2, "b_2_act", "b_3_bn") + x,
        "projected": lambda: projected / 2 + x,
        "pre": lambda: tap(x / 2, "b_3_bn")[0] + x,
        "post": lambda: (projected + x) / 2,
        "identity": lambda: projected + x / 2,
    }[placement]()
    close(model(x), expected)
    assert names(model).count("b_se") == 1


@pytest.mark.parametrize("placement", blocks.residual.INVERTED_PLACES)
def test_an_inverted_residual_without_a_sum_has_all_places_but_the_shortcut(placement):
    se = dataclasses.replace(HALVING, placement=placement)
    model = build(blocks.inverted_residual, filters=12, se=se)
    assert ("b_se" in names(model)) == (placement != "identity")


def test_inverted_residual_skips_what_it_does_not_need():
    model = build(blocks.inverted_residual, filters=16, expanded=8, strides=2, drop_rate=0.5)
    assert not {"b_1_conv", "b_add", "b_drop"} & set(names(model))
    dropped = build(blocks.inverted_residual, filters=8, drop_rate=0.999)
    x = images(2, 6, 6, 8)
    np.testing.assert_array_equal(dropped(x, training=True), x)  # the branch is gone
    assert np.any(np.asarray(dropped(x)) != x)


@pytest.mark.parametrize("placement", blocks.residual.PLACES)
@pytest.mark.parametrize("strides", [1, 2])
def test_se_of_a_shuffle_unit_stands_where_its_placement_says(placement, strides):
    se = dataclasses.replace(HALVING, placement=placement)
    options = {"filters": 8 * strides, "strides": strides, "groups": 2, "width": 4}
    model, tap, rest = twins(blocks.shuffle_unit, se, **options)
    x = images(2, 6, 6, 8)
    depthwise, branch = tap(x, "b_2_bn", "b_3_bn")
    shortcut = x if strides == 1 else tap(x, "b_pool")[0]

    def joined(branch, shortcut):
        sum_ = branch + shortcut if strides == 1 else np.concatenate([shortcut, branch], -1)
        return relu(sum_)

    expected = {
        "standard": lambda: joined(branch / 2, shortcut),
        "pre": lambda: joined(tap(x / 2, "b_3_bn")[0], shortcut),
        "post": lambda: joined(branch, shortcut) / 2,
        "identity": lambda: joined(branch, shortcut / 2),
        "conv3x3": lambda: joined(rest(depthwise / 2, "b_2_bn", "b_3_bn"), shortcut),
    }[placement]()
    close(model(x), expected)


@pytest.mark.parametrize("strides", [1, 2])
def test_shuffle_unit_rescales_its_branch(strides):
    options = {"filters": 8 * strides, "strides": strides, "groups": 2, "width": 4}
    model, tap, _ = twins(blocks.shuffle_unit, HALVING, **options)
    x = images(2, 6, 6, 8)
    branch = tap(x, "b_3_bn")[0] / 2
    shortcut = x if strides == 1 else tap(x, "b_pool")[0]
    expected = branch + x if strides == 1 else np.concatenate([shortcut, branch], -1)
    close(model(x), relu(expected))
    ends = conv_bn_params(1, 8, 4, 2) + conv_bn_params(1, 4, 8, 2)
    assert trainable(model) == ends + (9 * 4 + 2 * 4) + 2 * 8 * 2


def test_channel_shuffle_deals_the_groups_out():
    x = images(2, 3, 4, 6)
    inputs = keras.Input((3, 4, 6))
    model = keras.Model(inputs, blocks.shuffle_channels(inputs, 3, name="s"))
    np.testing.assert_array_equal(model(x), x[..., [0, 2, 4, 1, 3, 5]])
    unknown_height = keras.Input((None, 4, 6))
    model = keras.Model(unknown_height, blocks.shuffle_channels(unknown_height, 3, name="s"))
    np.testing.assert_array_equal(model(x), x[..., [0, 2, 4, 1, 3, 5]])


def test_channel_shuffle_names_what_it_misses():
    with pytest.raises(ValueError, match=r"known size.*at 's'.*Give the model's Input its height"):
        blocks.shuffle_channels(keras.Input((None, None, 6)), 3, name="s")
    with pytest.raises(ValueError, match=r"groups=4 at 's'.*a multiple of 4 channels"):
        blocks.shuffle_channels(keras.Input((3, 3, 6)), 4, name="s")


@pytest.mark.parametrize("placement", ["standard", "identity"])
def test_a_sum_of_unequal_channels_is_refused(placement):
    se = SEConfig(kind="scse", aggregate="concat", placement=placement)
    with pytest.raises(ValueError, match=r"equal channels.*block 'b'.*use 'add', 'max' or 'mul'"):
        build(blocks.basic_block, filters=8, se=se)


@pytest.mark.parametrize(
    ("block", "options", "message"),
    [
        (blocks.bottleneck_block, {"width": 0}, r"`width` must be at least 1"),
        (blocks.bottleneck_block, {"first_width": 0}, r"`first_width` must be at least 1"),
        (blocks.bottleneck_block, {"stride_in_first": "2x2"}, r"`stride_in_first` must be True"),
        (blocks.inverted_residual, {"expanded": 0}, r"`expanded` must.*default, 48, leave it out"),
        (blocks.inverted_residual, {"drop_rate": 2, "strides": 2}, r"`drop_rate` must be .* to 1"),
        (blocks.shuffle_unit, {"strides": 3}, r"must be 1 or 2.*block 'b'.*use several units"),
    ],
)
def test_bad_values_are_refused_by_name(block, options, message):
    assert_refused(block, options, message)
