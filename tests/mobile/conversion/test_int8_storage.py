import numpy as np
import pytest

from mobile import devices, tflite
from mobile.conversion.converter import convert


@pytest.fixture(autouse=True)
def _small_kernels_too(monkeypatch):
    monkeypatch.setattr("mobile.conversion.int8_storage._SMALLEST", 64)


def _outputs(artifact, images, kernels="default"):
    return artifact.restore(devices.predict(artifact, images, kernels)[0])


def _stored(artifact):
    """The int8 kernels of a file by name, with their scales along the axis of channels."""
    tensors = tflite.read(artifact).tensors
    return {t.name.removesuffix("/int8"): t for t in tensors if t.dtype == "int8"}


@pytest.fixture(scope="module")
def truth(lowered, images):
    return lowered.predict(images, verbose=0)


def test_dynamic_quantises_convolutions_only(lowered, images, truth):
    artifact = convert(lowered, "dynamic")
    assert artifact.operators["DEPTHWISE_CONV_2D float32"] == 1
    assert artifact.operators["CONV_2D float32*int8"] > 1
    assert 0 < np.abs(_outputs(artifact, images) - truth).max() < 0.02


def test_weights_alone_are_stored_as_int8_and_all_is_computed_in_float(lowered, images, truth):
    artifact = convert(lowered, "weight_only")
    kinds = {key.split()[0]: key.split()[1] for key in artifact.operators}
    assert set(kinds.values()) == {"float32"}
    assert artifact.scheme == "weight_only" and artifact.preprocessing is None
    assert devices.partitions(artifact) == 1
    for kernels in ("default", "builtin"):
        assert 0 < np.abs(_outputs(artifact, images, kernels) - truth).max() < 0.02


@pytest.mark.parametrize("scheme", ["dynamic", "weight_only"])
def test_a_stored_kernel_is_within_half_a_step_of_its_channels(lowered, scheme):
    stored = _stored(convert(lowered, scheme))
    # Of 64 elements or more: 3*3*3*8, 3*3*8 (depthwise), 8*8, 8*8, 3*3*16*16, 16*5.
    convolutions = {"stem", "project", "branch", "late", "logits"}
    wanted = convolutions | ({"depthwise"} if scheme == "weight_only" else set())
    assert set(stored) == {f"{name}/kernel" for name in wanted}
    for name in wanted:
        kernel = lowered.get_layer(name).get_weights()[0]
        tensor = stored[f"{name}/kernel"]
        kernel = np.moveaxis(kernel.transpose(3, 0, 1, 2), 3, 3)  # TFLite: (out, height, width, in)
        if name == "depthwise":
            kernel = kernel.transpose(0, 1, 2, 3)  # (1, height, width, channels)
        largest = np.abs(np.moveaxis(kernel, tensor.axis, 0).reshape(len(tensor.scales), -1)).max(1)
        steps = largest / tensor.scales  # the largest value is a whole number of steps long
        assert steps == pytest.approx(np.round(steps), rel=1e-5)
        assert steps.min() > 63.9 and steps.max() < 127.1
        shape = [-1 if axis == tensor.axis else 1 for axis in range(4)]
        steps = np.reshape(tensor.scales, shape)
        assert np.abs(tensor.values * steps - kernel).max() <= steps.max() / 2 * 1.001


def test_weights_alone_take_a_quarter_of_the_space(lowered):
    whole, quarter = (convert(lowered, scheme) for scheme in ("float32", "weight_only"))
    kernels = sum(t.values.size for t in _stored(quarter).values())
    # Three bytes saved an element; scales, operators and names cost some back.
    assert whole.size_bytes - quarter.size_bytes > 3 * kernels - 3000
