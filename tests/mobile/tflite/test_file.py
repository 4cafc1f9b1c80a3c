import io
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest

from mobile import devices, tflite
from mobile.tflite import schema
from tests.mobile.craft import RELU6, Craft, between_convolutions

SHAPE = (1, 8, 8, 4)


def quantize_in_the_middle():
    c = Craft()
    image = c.tensor(SHAPE, "image")
    x = c.conv(image, SHAPE, 4, name="first")
    x = c.op("DEQUANTIZE", [x], SHAPE, dtype="float32", name="block/swish;block/other")
    x = c.op("QUANTIZE", [x], SHAPE, name="back")
    return c.build([image], [c.conv(x, SHAPE, 3)])


def float_border():
    c = Craft()
    image = c.tensor(SHAPE, "image", dtype="float32")
    x = c.conv(c.op("QUANTIZE", [image], SHAPE), SHAPE, 4)
    return c.build([image], [c.op("DEQUANTIZE", [x], SHAPE, dtype="float32", name="logits")])


def test_operator_has_name_dtype_tensors_and_fused_activation():
    c = Craft(scale=0.5, zero_point=-3)
    image = c.tensor(SHAPE, "image")
    content = c.build([image], [c.conv(image, SHAPE, 5, activation=RELU6, name="conv")])
    (op,) = tflite.read(content).operators
    assert (op.name, op.dtype, op.activation) == ("CONV_2D", "int8", "RELU6")
    assert op.options["stride_w"] == 1 and op.options["padding"] == "SAME"
    image, kernel, bias = op.inputs
    assert (image.name, image.shape, image.constant) == ("image", SHAPE, False)
    assert (image.scales, image.zero_points) == ((0.5,), (-3,))
    assert kernel.values.shape == (5, 1, 1, 4) and kernel.values.dtype == np.int8
    assert bias.values.tolist() == [0] * 5 and bias.dtype == "int32"
    assert op.outputs[0].name == "conv"


def test_absent_bias_is_none():
    c = Craft("float32")
    x = c.tensor((1, 4), "x")
    kernel = c.constant(np.ones((2, 4)), "float32")
    content = c.build([x], [c.op("FULLY_CONNECTED", [x, kernel, -1], (1, 2))])
    assert tflite.read(content).operators[0].inputs[2] is None


def test_operators_are_counted_by_name_and_dtype():
    counts = tflite.read(quantize_in_the_middle()).operator_counts
    assert counts == {
        "CONV_2D int8": 2,
        "DEQUANTIZE int8>float32": 1,
        "QUANTIZE float32>int8": 1,
    }


def test_dynamic_range_kernel_shows_in_the_dtype():
    c = Craft("float32")
    image = c.tensor(SHAPE)
    kernel = c.constant(np.ones((4, 1, 1, 4)), "int8", scale=0.1)
    bias = c.constant(np.zeros(4), "float32")
    content = c.build([image], [c.op("CONV_2D", [image, kernel, bias], SHAPE)])
    assert tflite.read(content).operators[0].dtype == "float32*int8"


def test_reading_loads_no_tensorflow(tmp_path):
    path = tmp_path / "x.tflite"
    path.write_bytes(float_border())
    code = f"import sys; from mobile import tflite; tflite.read({str(path)!r}); "
    code += "print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_is_no_tflite_is_named():
    with pytest.raises(ValueError, match="TFL3 at byte 4"):
        tflite.read(b"PK\x03\x04not a model")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file_says_so(share):
    content = between_convolutions("MEAN")
    with pytest.raises(ValueError, match=r"must be whole\. .*Copy or convert it again"):
        tflite.read(content[: int(share * len(content))])


def test_metadata_is_added_and_replaced_and_nothing_else_changes():
    content = between_convolutions("MEAN")
    once = tflite.write_metadata(content, "keras_se", {"a": [1, 2]})
    twice = tflite.write_metadata(once, "keras_se", {"b": "é"})
    assert tflite.read(once).metadata == {"keras_se": {"a": [1, 2]}}
    assert tflite.read(twice).metadata == {"keras_se": {"b": "é"}}
    before, after = tflite.read(content), tflite.read(twice)
    assert before.subgraphs[0].tensors == after.subgraphs[0].tensors
    for x, y in zip(before.tensors, after.tensors, strict=True):
        assert (x.values is None) == (y.values is None)
        assert x.values is None or np.array_equal(x.values, y.values)


def test_written_file_runs_and_computes_the_same():
    content = between_convolutions("ADD")
    image = np.random.default_rng(0).integers(-128, 127, (3, 8, 8, 4), np.int8)
    written = tflite.write_metadata(content, "note", [1])
    (before,), (after,) = devices.predict(content, image), devices.predict(written, image)
    assert np.array_equal(before, after)


def test_written_buffers_lie_on_multiples_of_16_bytes():
    written = tflite.write_metadata(between_convolutions("ADD"), "note", [1])
    model = schema.load().Model.GetRootAs(written)
    vectors = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [b._tab.Vector(b._tab.Offset(4)) for b in vectors if b.DataLength()]
    assert starts and all(start % 16 == 0 for start in starts)


def test_attached_label_files_survive():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("labels.txt", "cat\ndog")
    content = tflite.write_metadata(float_border() + archive.getvalue(), "note", 1)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.read("labels.txt") == b"cat\ndog"


def test_whole_int8_graph_passes():
    tflite.check_int8(between_convolutions("MUL"))


def test_dequantize_is_named_with_the_layer_it_came_from():
    with pytest.raises(ValueError, match="operator 1 DEQUANTIZE, which makes 'block/swish'"):
        tflite.check_int8(quantize_in_the_middle())


def test_float_border_passes_only_where_it_is_asked_for():
    tflite.check_int8(float_border(), allow_float_io=True)
    with pytest.raises(ValueError, match="int8 input and output"):
        tflite.check_int8(float_border())


def test_float_operator_is_named_even_between_float_input_and_output():
    c = Craft("float32")
    image = c.tensor(SHAPE, "image")
    content = c.build([image], [c.conv(image, SHAPE, 3, name="stem")])
    for allow in (False, True):
        with pytest.raises(ValueError, match=r"CONV_2D, which makes 'stem': tensor 'image' is fl"):
            tflite.check_int8(content, allow_float_io=allow)


def test_shape_arithmetic_is_named():
    c = Craft()
    image = c.tensor(SHAPE, "image")
    shape = c.op("SHAPE", [image], (4,), dtype="int32", name="head/Shape")
    y = c.op("RESHAPE", [image, shape], SHAPE)
    with pytest.raises(ValueError, match=r"SHAPE, which makes 'head/Shape': it computes a shape"):
        tflite.check_int8(c.build([image], [y]))


def test_int32_strided_slice_is_shape_arithmetic_but_an_int8_one_is_not():
    tflite.check_int8(between_convolutions("STRIDED_SLICE"))
    c = Craft()
    image = c.tensor(SHAPE, "image")
    shape = c.constant(SHAPE)
    ends = [c.constant([i]) for i in (0, 1, 1)]
    part = c.op("STRIDED_SLICE", [shape, *ends], (1,), dtype="int32", name="batch")
    y = c.op("RESHAPE", [image, part], SHAPE)
    with pytest.raises(ValueError, match="STRIDED_SLICE, which makes 'batch'"):
        tflite.check_int8(c.build([image], [y]))


def test_flex_operator_is_named():
    c = Craft()
    image = c.tensor(SHAPE, "image")
    content = c.build([image], [c.op("FlexErf", [image], SHAPE, name="gelu/Erf")])
    with pytest.raises(ValueError, match="FlexErf, which makes 'gelu/Erf'"):
        tflite.check_int8(content)


def test_converters_int8_file_reads_as_the_converter_made_it():
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    model = keras.Sequential(
        [keras.Input((8, 8, 3), batch_size=1), keras.layers.Conv2D(4, 3, name="conv")]
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: [[np.ones((1, 8, 8, 3), np.float32)]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = converter.convert()
    names = [op.name for op in tflite.read(content).operators]
    assert names == ["QUANTIZE", "CONV_2D", "DEQUANTIZE"]
    tflite.check_int8(content, allow_float_io=True)
    conv = tflite.read(content).operators[1]
    assert len(conv.inputs[1].scales) == 4 and conv.inputs[1].axis == 0  # per channel
    assert "conv" in conv.origin


def _with_buffers_behind(content):
    """The same file with the content of its buffers behind the model, as in large files."""
    import flatbuffers

    packed = schema.unpack(content)
    filled = [b for b in packed.buffers if b.data is not None and len(b.data)]
    contents = [bytes(bytearray(buffer.data)) for buffer in filled]
    padded = [data + bytes(-len(data) % 16) for data in contents]

    def model(begin):
        for buffer, data, whole in zip(filled, contents, padded, strict=True):
            buffer.data, buffer.offset, buffer.size = None, begin, len(data)
            begin += len(whole)
        builder = flatbuffers.Builder(1024)
        builder.Finish(packed.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    begin = -(-len(model(16)) // 16) * 16  # the length does not depend on the places
    return model(begin).ljust(begin, b"\0") + b"".join(padded)


def test_buffers_behind_the_model_are_read_and_kept():
    content = between_convolutions("ADD")
    moved = _with_buffers_behind(content)
    before, after = tflite.read(content), tflite.read(moved)
    constants = [(x, y) for x, y in zip(before.tensors, after.tensors, strict=True) if x.constant]
    assert constants and all(np.array_equal(x.values, y.values) for x, y in constants)
    image = np.random.default_rng(0).integers(-128, 127, (3, 8, 8, 4), np.int8)
    (expected,) = devices.predict(content, image)
    for file in (moved, tflite.write_metadata(moved, "note", [1])):
        assert np.array_equal(devices.predict(file, image)[0], expected)
    with pytest.raises(ValueError, match=r"must be whole.*a buffer ends at"):
        tflite.read(moved[:-32])
