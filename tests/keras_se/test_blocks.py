"""The blocks: parameters by arithmetic, SE's place by halving, other people's blocks, messages."""

import dataclasses
import doctest
import inspect
from functools import partial

import keras
import numpy as np
import pytest

import keras_se
from keras_se import SEConfig, blocks

# With zero kernels and no bias the gate is sigmoid(0): SE halves whatever it stands on.
HALVING = SEConfig(reduction=4, min_channels=1, use_bias=False)


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def build(function, shape=(6, 6, 8), **options):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs, **options, name="b"))


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def conv_bn_params(kernel, channels, filters, groups=1):
    """Kernel, and BatchNorm's scale and offset."""
    return kernel * kernel * channels // groups * filters + 2 * filters


def randomize(model, seed=1):
    """Random weights and statistics; SE's stay zero, so that it halves."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        norm = isinstance(layer, keras.layers.BatchNormalization)
        low, high = (0.5, 1.5) if norm else (-0.5, 0.5)
        zero = 0 if layer.name.endswith("_se") else 1
        layer.set_weights([zero * rng.uniform(low, high, w.shape) for w in layer.weights])


def twins(function, se, **options):
    """The block with SE, and the same weights without; `tap(x, *names)` reads layers of those."""
    model, plain = build(function, se=se, **options), build(function, **options)
    randomize(model)
    for layer in plain.layers[1:]:
        layer.set_weights(model.get_layer(layer.name).get_weights())

    def tap(x, *names):
        ends = (plain.get_layer(name).output for name in names)
        return [np.asarray(keras.Model(plain.input, end)(x)) for end in ends]

    def rest(y, start, end):
        return np.asarray(
            keras.Model(plain.get_layer(start).output, plain.get_layer(end).output)(y)
        )

    return model, tap, rest


def relu(x):
    return np.maximum(x, 0)


def close(y, expected):
    np.testing.assert_allclose(keras.ops.convert_to_numpy(y), expected, atol=2e-5, rtol=1e-5)


def names(model):
    return [layer.name for layer in model.layers[1:]]


# ---- plain blocks


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


# ---- blocks with a shortcut


def test_tutorial_network_of_basic_blocks():
    # ResNet-34 has 21,797,672; its last block of 512 goes, 2 * (9 * 512 * 512 + 2 * 512); SE adds
    # 2 * C * max(C // 16, 8) for 3, 4, 6, 2 blocks of 64, 128, 256, 512 channels.
    se = SEConfig(reduction=16, min_channels=8, use_bias=False)
    inputs = keras.Input((32, 32, 3))
    x = blocks.conv_bn(inputs, 64, 7, 2, name="stem")
    x = blocks.pool(x, name="pool")
    for stage, (filters, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 2))):
        for i in range(count):
            strides = 2 if stage and not i else 1
            x = blocks.basic_block(x, filters, strides=strides, se=se, name=f"stage{stage}_{i}")
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(1000)(x))
    added = sum(2 * c * max(c // 16, 8) * n for c, n in ((64, 3), (128, 4), (256, 6), (512, 2)))
    expected = 21_797_672 - 2 * (9 * 512 * 512 + 2 * 512) + added
    assert trainable(model) == expected == 17_202_984


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


def test_inverted_residual_skips_what_it_does_not_need():
    model = build(blocks.inverted_residual, filters=16, expanded=8, strides=2, drop_rate=0.5)
    assert not {"b_1_conv", "b_add", "b_drop"} & set(names(model))
    dropped = build(blocks.inverted_residual, filters=8, drop_rate=0.999)
    x = images(2, 6, 6, 8)
    np.testing.assert_array_equal(dropped(x, training=True), x)  # the branch is gone
    assert np.any(np.asarray(dropped(x)) != x)


def test_channel_shuffle_deals_the_groups_out():
    x = images(2, 3, 4, 6)
    inputs = keras.Input((3, 4, 6))
    model = keras.Model(inputs, blocks.shuffle_channels(inputs, 3, name="s"))
    np.testing.assert_array_equal(model(x), x[..., [0, 2, 4, 1, 3, 5]])
    unknown_height = keras.Input((None, 4, 6))
    model = keras.Model(unknown_height, blocks.shuffle_channels(unknown_height, 3, name="s"))
    np.testing.assert_array_equal(model(x), x[..., [0, 2, 4, 1, 3, 5]])


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


# ---- all of them

ALL = [
    partial(blocks.conv_bn, filters=8),
    partial(blocks.depthwise_bn),
    partial(blocks.separable_block, filters=8),
    partial(blocks.vgg_block, filters=8),
    partial(blocks.inception_module, branches=[[partial(blocks.conv_bn, filters=8)]] * 2),
    partial(blocks.unet_decoder, skip=None, filters=8),
    partial(blocks.basic_block, filters=16, strides=2),
    partial(blocks.bottleneck_block, filters=16),
    partial(blocks.inverted_residual, filters=8),
    partial(blocks.shuffle_unit, filters=16, strides=2, groups=2),
]
IDS = [block.func.__name__ for block in ALL]


@pytest.mark.parametrize("block", ALL, ids=IDS)
def test_off_is_the_block_without_the_layer(block):
    plain, model = build(block, se=None), build(block, se=HALVING)
    gone = {name for name in names(model) if name.endswith("_se")}
    assert set(names(model)) - gone == set(names(plain))
    for name in names(plain):
        assert model.get_layer(name).get_config() == plain.get_layer(name).get_config()


@pytest.mark.parametrize("block", ALL, ids=IDS)
def test_channels_first_is_channels_last_transposed(block):
    last = build(block, se=HALVING)
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        first = build(block, (8, 6, 6), se=HALVING)
    finally:
        keras.config.set_image_data_format(before)
    assert [w.shape for w in first.weights] == [w.shape for w in last.weights]
    randomize(last)
    first.set_weights(last.get_weights())
    x = images(2, 6, 6, 8)
    y = keras.ops.convert_to_numpy(first(np.moveaxis(x, -1, 1)))
    close(last(x), np.moveaxis(y, 1, -1))


@pytest.mark.parametrize("block", ALL, ids=IDS)
def test_se_of_another_kind_is_refused(block):
    with pytest.raises(
        TypeError, match=r"`se` must.*Received: se=16 .*'b.*pass se=keras_se\.PAPER"
    ):
        build(block, se=16)


HAS = {  # the places of each block
    blocks.basic_block: blocks.residual.PLACES,
    blocks.bottleneck_block: blocks.residual.PLACES,
    blocks.shuffle_unit: blocks.residual.PLACES,
    blocks.inverted_residual: blocks.residual.INVERTED_PLACES,
}


@pytest.mark.parametrize("placement", keras_se.config.PLACEMENTS)
@pytest.mark.parametrize("block", ALL, ids=IDS)
def test_a_place_that_a_block_does_not_have_is_refused_with_those_it_has(block, placement):
    places = HAS.get(block.func, ("standard",))
    se = dataclasses.replace(HALVING, placement=placement)
    if placement in places:
        assert any(name.endswith("_se") for name in names(build(block, se=se)))
        return
    listed = ", ".join(map(repr, places))
    with pytest.raises(
        ValueError, match=rf"a place that the block has.*placement='{placement}'.*from {listed}\."
    ):
        build(block, se=se)


@pytest.mark.parametrize("block", ALL, ids=IDS)
def test_static_se_works_in_every_block(block):
    model = build(block, se=dataclasses.replace(HALVING, kind="static"))
    gates = [x for x in model.layers if isinstance(x, keras_se.StaticSqueezeExcite)]
    assert gates
    dynamic = build(block, se=HALVING)
    assert names(model) == names(dynamic)
    channels = [gate.output.shape[-1] for gate in gates]
    assert trainable(model) == trainable(dynamic) + sum(channels)  # the constants


@pytest.mark.parametrize("placement", ["standard", "identity"])
def test_a_sum_of_unequal_channels_is_refused(placement):
    se = SEConfig(kind="scse", aggregate="concat", placement=placement)
    with pytest.raises(ValueError, match=r"equal channels.*block 'b'.*use 'add', 'max' or 'mul'"):
        build(blocks.basic_block, filters=8, se=se)


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
        (blocks.vgg_block, {"filters": 8, "convs": 0}, r"`convs` must be at least 1"),
        (blocks.inception_module, {"branches": []}, r"at least one branch.*block 'b'.*list of li"),
        (blocks.unet_decoder, {"interpolation": "cubic"}, r"`interpolation` must.*'bilinear'"),
        (blocks.bottleneck_block, {"width": 0}, r"`width` must be at least 1"),
        (blocks.bottleneck_block, {"first_width": 0}, r"`first_width` must be at least 1"),
        (blocks.bottleneck_block, {"stride_in_first": "2x2"}, r"`stride_in_first` must be True"),
        (blocks.inverted_residual, {"expanded": 0}, r"`expanded` must.*default, 48, leave it out"),
        (blocks.inverted_residual, {"drop_rate": 2, "strides": 2}, r"`drop_rate` must be .* to 1"),
        (blocks.shuffle_unit, {"strides": 3}, r"must be 1 or 2.*block 'b'.*use several units"),
    ],
)
def test_bad_values_are_refused_by_name(block, options, message):
    given = {"filters": 8} if "filters" in inspect.signature(block).parameters else {}
    given |= {"skip": None} if block is blocks.unet_decoder else {}
    with pytest.raises((TypeError, ValueError), match=message):
        build(block, **given | options)


@pytest.mark.parametrize(
    "block",
    [
        blocks.separable_block,
        blocks.vgg_block,
        blocks.basic_block,
        blocks.bottleneck_block,
        blocks.inverted_residual,
        blocks.shuffle_unit,
    ],
)
def test_only_the_channels_go_without_a_name(block):
    # What a third number would be differs between libraries: strides, kernel, expansion.
    with pytest.raises(TypeError, match="positional argument"):
        block(keras.Input((6, 6, 8)), 8, 2, name="b")


@pytest.mark.parametrize("name", blocks.__all__)
def test_every_block_tells_its_shapes_and_errors(name):
    text = inspect.getdoc(getattr(blocks, name))
    assert "Returns:\n    Tensor" in text
    assert "Raises:" in text or "errors are those of `conv_bn`" in text


def test_channel_shuffle_names_what_it_misses():
    with pytest.raises(ValueError, match=r"known size.*at 's'.*Give the model's Input its height"):
        blocks.shuffle_channels(keras.Input((None, None, 6)), 3, name="s")
    with pytest.raises(ValueError, match=r"groups=4 at 's'.*a multiple of 4 channels"):
        blocks.shuffle_channels(keras.Input((3, 3, 6)), 4, name="s")


@pytest.mark.parametrize(
    "module",
    [
        keras_se.checks,
        keras_se.config,
        keras_se.layers.channel,
        keras_se.layers.static,
        keras_se.layers.scale,
        keras_se.layers.spatial,
        keras_se.layers.concurrent,
        blocks.parts,
        blocks.plain,
        blocks.residual,
    ],
    ids=lambda module: module.__name__,
)
def test_examples(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
