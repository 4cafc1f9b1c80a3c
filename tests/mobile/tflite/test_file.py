import subprocess
import sys
import warnings

import numpy as np
import pytest

from mobile import devices, tflite
from tests.mobile.craft import (
    RELU6,
    Craft,
    between_convolutions,
    float_border,
    quantize_in_the_middle,
)

SHAPE = (1, 8, 8, 4)


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
