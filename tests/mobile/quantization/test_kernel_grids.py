import keras
import numpy as np
import pytest

from keras_se.rebuild import rebuild
from mobile.quantization import kernel_grids, quantize_aware


def _rounded(kernel, levels):
    step = np.abs(kernel).max(axis=(0, 1, 2)) / levels
    return np.round(kernel / step) * step


def test_a_kernel_that_lay_on_a_grid_finds_it_again():
    # An 8-bit kernel of another tool: one step for all channels, so most are less than 127 long.
    stored = np.random.default_rng(0).integers(-120, 121, (3, 3, 16, 8))
    stored[..., 0] //= 7  # 17 steps long at most: found as a grid some times finer
    kernel = stored.astype("float32") * np.float32(0.013)
    levels = kernel_grids.levels(kernel, 3)
    assert ((levels >= 64) & (levels <= 127)).all()
    assert (levels % np.abs(stored).max(axis=(0, 1, 2)) == 0).all()
    assert _rounded(kernel, levels) == pytest.approx(kernel, abs=1e-6)


def test_the_error_is_the_least_of_all_64_grids():
    kernel = np.random.default_rng(1).normal(size=(3, 3, 8, 20)).astype("float32")
    levels = kernel_grids.levels(kernel, 3)
    errors = [np.square(_rounded(kernel, n) - kernel).sum(axis=(0, 1, 2)) for n in range(64, 128)]
    found = np.square(_rounded(kernel, levels) - kernel).sum(axis=(0, 1, 2))
    assert found == pytest.approx(np.min(errors, axis=0), rel=1e-3)
    assert found.sum() < 0.9 * errors[-1].sum()  # than with 127 levels


def test_a_channel_of_zeros_and_an_axis_in_the_middle():
    kernel = np.random.default_rng(2).normal(size=(3, 3, 4, 5)).astype("float32")
    kernel[:, :, 2] = 0
    found = kernel_grids.levels(kernel, 2)
    assert found.shape == (4,) and found[2] == 127


@pytest.mark.parametrize("multiplier", [1, 2])
def test_layers_compute_with_a_kernel_on_its_own_grid_exactly(multiplier):
    random = np.random.default_rng(3)
    inputs = keras.Input((8, 8, 4))
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=multiplier, name="depthwise")(inputs)
    x = keras.layers.Conv2D(6, 1, name="conv")(x)
    model = keras.Model(inputs, keras.layers.Conv2DTranspose(3, 2, name="up")(x))
    for layer in model.layers[1:3]:
        kernel, bias = layer.get_weights()
        layer.set_weights([random.integers(-99, 100, kernel.shape) * 0.01, bias])
    ranges = {layer.name: (-1.0, 1.0) for layer in model.layers}
    aware = quantize_aware(model, ranges=ranges)
    for name in ("depthwise", "conv"):
        layer = aware.get_layer(name)
        kernel = layer.get_weights()[0]
        on_grid = keras.ops.convert_to_numpy(layer.on_grid(kernel, layer.bias))
        assert on_grid == pytest.approx(kernel, abs=1e-6)
    assert aware.get_layer("up_exact").levels is None
    again = rebuild(aware)
    assert again.get_layer("conv").levels == aware.get_layer("conv").levels
