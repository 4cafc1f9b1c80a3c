import keras
import numpy as np
import pytest

from mobile.quantization import calibrate, calibration, range_plan
from mobile.quantization.functions_behind import function_behind


def _function(model, name):
    return function_behind(name, range_plan.read_plan(model), model)


def test_a_hard_swish_is_seen_behind_its_input(lowered):
    function = _function(lowered, "stem")
    x = np.array([-5.0, -3.0, -1.0, 0.0, 4.0])
    assert function(x) == pytest.approx([0.0, 0.0, -2.0, 0.0, 24.0])  # x * relu6(x + 3)


def test_a_tensor_with_another_reader_counts_as_it_is(lowered):
    assert _function(lowered, "sum") is None  # read by a sigmoid, a product and a convolution
    assert _function(lowered, "depthwise") is None


def test_swish_and_a_lone_gate():
    layers = keras.layers
    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 1, name="before")(image)
    x = layers.Multiply(name="swish")([x, layers.Activation("sigmoid")(x)])
    x = layers.Activation("sigmoid", name="gate")(layers.Conv2D(2, 1, name="alone")(x))
    model = keras.Model(image, layers.Conv2D(2, 1, name="last")(x))
    x = np.linspace(-4, 4, 9)
    assert _function(model, "before")(x) == pytest.approx(x / (1 + np.exp(-x)))
    assert _function(model, "alone")(x) == pytest.approx(1 / (1 + np.exp(-x)))
    assert _function(model, "last") is None


def test_an_output_of_the_model_counts_as_it_is():
    image = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(2, 1, name="both")(image)
    model = keras.Model(image, [x, keras.layers.Activation("sigmoid")(x)])
    assert _function(model, "both") is None


def test_levels_are_not_spent_where_a_hard_swish_is_zero(lowered, images):
    seen = calibration._Statistics()
    seen.add(-25.0, 5.0, np.random.default_rng(0).uniform(-25, 5, 10**5))
    low, high = calibration._mse(seen, lambda x: x * np.clip(x + 3, 0, 6))
    assert -4 < low <= -2.9 and high == pytest.approx(5, abs=0.2)
    assert calibration._mse(seen)[0] < -24
    assert calibrate(lowered, images, progress=False)["stem"][0] >= -4
