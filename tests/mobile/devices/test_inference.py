import pathlib

import numpy as np
import pytest

from mobile import devices
from tests.mobile.craft import RELU, Craft, between_convolutions

SHARED = pathlib.Path(__file__).parents[4] / "shared" / "data" / "tflite"
REJECTED = SHARED / "mobilenet_v3_small_ptq_xnnpack_rejects.tflite"
needs_rejected = pytest.mark.skipif(not REJECTED.exists(), reason=f"{REJECTED} is not there")


def doubling():
    """int8 files whose one convolution doubles each of 2 channels; negative becomes 0."""
    c = Craft(scale=1.0, zero_point=0)
    x = c.tensor((1, 1, 1, 2), "x")
    kernel = c.constant(np.eye(2).reshape(2, 1, 1, 2) * 2, "int8", scale=1.0)
    bias = c.constant([0, 1], scale=1.0)
    options = {"strideW": 1, "strideH": 1, "fusedActivationFunction": RELU}
    return c.build([x], [c.op("CONV_2D", [x, kernel, bias], (1, 1, 1, 2), options)])


def test_predict_gives_raw_outputs_for_many_samples():
    x = np.array([[1, 2], [3, -4], [100, 5]], np.int8).reshape(3, 1, 1, 2)
    for kernels in ("default", "builtin", "reference"):
        (y,) = devices.predict(doubling(), x, kernels=kernels)
        assert y.dtype == np.int8
        assert y.reshape(3, 2).tolist() == [[2, 5], [6, 0], [127, 11]]  # 200 clips to 127


def test_unknown_kernels_list_the_known():
    with pytest.raises(ValueError, match="default, builtin, reference"):
        devices.predict(doubling(), np.zeros((1, 1, 1, 2), np.int8), kernels="fast")


def test_wrong_dtype_names_the_model_and_what_to_do():
    with pytest.raises(devices.AgentError, match=r"holds int8.*Artifact\.prepare") as caught:
        devices.predict(doubling(), np.zeros((1, 1, 1, 2), np.float32))
    assert (caught.value.stage, caught.value.model) == ("run", "model")


def test_partitions_are_counted():
    assert devices.partitions(between_convolutions("ADD")) == 1
    assert devices.partitions(between_convolutions("SOFTMAX")) == 2


def test_activations_are_the_tensors_inside():
    content = between_convolutions("RELU")
    image = np.random.default_rng(0).integers(-128, 127, (2, 8, 8, 4), np.int8)
    found = devices.activations(content, image)
    assert len(found) == 3  # convolution, RELU, convolution
    before, relu, after = found.values()
    assert np.array_equal(relu, np.maximum(before, 0))
    assert np.array_equal(after, devices.predict(content, image, kernels="builtin")[0])
    with pytest.raises(ValueError, match="delegate keeps its tensors"):
        devices.activations(content, image, kernels="default")


def test_truncated_file_is_an_error_and_not_a_crash_here():
    with pytest.raises(devices.AgentError) as caught:
        devices.partitions(doubling()[:60])
    assert caught.value.stage == "load"


@needs_rejected
def test_file_that_the_delegate_refuses_is_named_and_survived():
    for _ in range(2):
        with pytest.raises(devices.AgentError, match="failed to prepare") as caught:
            devices.partitions(REJECTED)
        assert caught.value.stage == "load"
    assert devices.partitions(between_convolutions("ADD")) == 1
