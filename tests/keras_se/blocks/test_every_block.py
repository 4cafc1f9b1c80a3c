"""What holds for every block: off, axes, SE's kinds and places, names, documents."""

import dataclasses
import inspect
from functools import partial

import keras
import numpy as np
import pytest

import keras_se
from keras_se import blocks
from tests.keras_se.blocks.built import HALVING, build, close, images, names, randomize, trainable

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


@pytest.mark.parametrize("name", [None, "", 3, ["b"]])
@pytest.mark.parametrize("block", ALL, ids=IDS)
def test_a_name_that_is_no_word_is_refused(block, name):
    with pytest.raises(TypeError, match="`name` must be what the names of the layers begin with"):
        block(keras.Input((6, 6, 8)), name=name)


@pytest.mark.parametrize("block", ALL, ids=IDS)
def test_an_argument_that_a_block_does_not_have_gets_the_nearest(block):
    name = block.func.__name__
    with pytest.raises(TypeError, match=rf"{name} takes\. Received: sse\. Did you mean 'se'"):
        block(keras.Input((6, 6, 8)), sse=None, name="b")


@pytest.mark.parametrize(
    ("block", "argument"),
    [
        (blocks.conv_bn, "filters"),
        (blocks.conv_bn, "kernel_size"),
        (blocks.conv_bn, "strides"),
        (blocks.conv_bn, "dilation"),
        (blocks.conv_bn, "groups"),
        (blocks.depthwise_bn, "kernel_size"),
        (blocks.depthwise_bn, "strides"),
        (blocks.depthwise_bn, "dilation"),
        (blocks.pool, "size"),
        (blocks.pool, "strides"),
        (blocks.bottleneck_block, "filters"),
        (blocks.bottleneck_block, "groups"),
        (blocks.bottleneck_block, "shortcut_kernel"),
        (blocks.shuffle_unit, "filters"),
    ],
)
@pytest.mark.parametrize("value", [None, "3", 2.5, True, 0, -1, float("nan")])
def test_a_number_that_is_no_count_is_refused_even_where_it_would_be_left_out(
    block, argument, value
):
    given = {"filters": 8} if "filters" in inspect.signature(block).parameters else {}
    with pytest.raises((TypeError, ValueError), match=rf"`{argument}` must be .*'b"):
        block(keras.Input((6, 6, 8)), **given | {argument: value}, name="b")


@pytest.mark.parametrize("name", blocks.__all__)
def test_every_block_tells_its_shapes_and_errors(name):
    text = inspect.getdoc(getattr(blocks, name))
    assert "Returns:\n    Tensor" in text
    assert "Raises:" in text or "errors are those of `conv_bn`" in text
