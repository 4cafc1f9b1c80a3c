import numpy as np
import pytest

from mobile.tflite.tensor import TensorSpec


def test_quantize_clips_to_the_dtype():
    spec = TensorSpec("x", (1,), "int8", scale=0.5, zero_point=3)
    assert spec.quantize([-1000.0, 0.0, 0.6, 1000.0]).tolist() == [-128, 3, 4, 127]


def test_dequantize_is_scale_times_distance_from_the_zero_point():
    spec = TensorSpec("x", (2,), "int8", scale=0.5, zero_point=3)
    values = spec.dequantize(np.array([-128, 4], np.int8))
    assert values.dtype == np.float32
    assert values.tolist() == [(-128 - 3) * 0.5, (4 - 3) * 0.5]


def test_a_tensor_without_scale_is_only_cast():
    spec = TensorSpec("x", (1,), "float32")
    assert spec.quantize([1.5]).dtype == np.float32
    assert spec.dequantize(np.array([2], np.int64)).tolist() == [2.0]


def test_a_record_of_a_tensor_names_its_wrong_field():
    with pytest.raises(ValueError, match=r"in shape\[0\]: Expected `int`, got `str`"):
        TensorSpec.from_dict({"name": "x", "shape": ["1"], "dtype": "int8"})
