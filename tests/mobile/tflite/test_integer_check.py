import pytest

from mobile.tflite.integer_check import check_int8
from tests.mobile.craft import (
    Craft,
    between_convolutions,
    float_border,
    quantize_in_the_middle,
)

SHAPE = (1, 8, 8, 4)


def test_whole_int8_graph_passes():
    check_int8(between_convolutions("MUL"))


def test_dequantize_is_named_with_the_layer_it_came_from():
    with pytest.raises(ValueError, match="operator 1 DEQUANTIZE, which makes 'block/swish'"):
        check_int8(quantize_in_the_middle())


def test_float_border_passes_only_where_it_is_asked_for():
    check_int8(float_border(), allow_float_io=True)
    with pytest.raises(ValueError, match="int8 input and output"):
        check_int8(float_border())


def test_float_operator_is_named_even_between_float_input_and_output():
    c = Craft("float32")
    image = c.tensor(SHAPE, "image")
    content = c.build([image], [c.conv(image, SHAPE, 3, name="stem")])
    for allow in (False, True):
        with pytest.raises(ValueError, match=r"CONV_2D, which makes 'stem': tensor 'image' is fl"):
            check_int8(content, allow_float_io=allow)


def test_shape_arithmetic_is_named():
    c = Craft()
    image = c.tensor(SHAPE, "image")
    shape = c.op("SHAPE", [image], (4,), dtype="int32", name="head/Shape")
    y = c.op("RESHAPE", [image, shape], SHAPE)
    with pytest.raises(ValueError, match=r"SHAPE, which makes 'head/Shape': it computes a shape"):
        check_int8(c.build([image], [y]))


def test_int32_strided_slice_is_shape_arithmetic_but_an_int8_one_is_not():
    check_int8(between_convolutions("STRIDED_SLICE"))
    c = Craft()
    image = c.tensor(SHAPE, "image")
    shape = c.constant(SHAPE)
    ends = [c.constant([i]) for i in (0, 1, 1)]
    part = c.op("STRIDED_SLICE", [shape, *ends], (1,), dtype="int32", name="batch")
    y = c.op("RESHAPE", [image, part], SHAPE)
    with pytest.raises(ValueError, match="STRIDED_SLICE, which makes 'batch'"):
        check_int8(c.build([image], [y]))


def test_flex_operator_is_named():
    c = Craft()
    image = c.tensor(SHAPE, "image")
    content = c.build([image], [c.op("FlexErf", [image], SHAPE, name="gelu/Erf")])
    with pytest.raises(ValueError, match="FlexErf, which makes 'gelu/Erf'"):
        check_int8(content)
