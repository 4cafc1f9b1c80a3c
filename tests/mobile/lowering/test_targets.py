"""The table of targets, and what each of its choices decides."""

import keras
import numpy as np
import pytest

from mobile.lowering import lower
from mobile.lowering.targets import TARGETS, Target, target_named
from tests.mobile.lowering.lowered import assert_equal, conv, kinds, model_of

L = keras.layers


def test_a_target_is_told_by_its_name_or_is_one_of_ones_own():
    assert [target_named(name).name for name in TARGETS] == list(TARGETS)
    mine = Target("mine")
    assert target_named(mine) is mine


def test_an_unknown_target_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"xnnpack, xnnpack-x86, .* tflm"):
        lower(model_of(conv), target="gpu9")


@pytest.mark.parametrize(
    ("choice", "layer", "operator"),
    [
        ("hard_swish", L.Activation("hard_silu"), "Activation"),
        ("average_pool", L.AveragePooling2D(2), "AveragePooling2D"),
        ("nearest", L.UpSampling2D(2), "UpSampling2D"),
        ("maximum", lambda x: L.Maximum()([x, conv(x)]), "Maximum"),
        ("lone_relu", lambda x: L.ReLU()(L.MaxPooling2D(2)(x)), "ReLU"),
    ],
)
def test_a_target_keeps_the_operators_that_it_says(choice, layer, operator):
    model = model_of(lambda x: layer(conv(x)))
    assert operator in kinds(assert_equal(model, Target("mine", **{choice: True})))
    others = {"hard_swish", "average_pool", "nearest", "maximum", "lone_relu"} - {choice}
    kept = kinds(assert_equal(model, Target("mine", **dict.fromkeys(others, True))))
    assert operator not in kept


def test_a_concatenation_takes_as_many_tensors_as_the_target_says():
    model = model_of(lambda x: L.Concatenate()([conv(x, 2) for _ in range(7)]))
    # 7 tensors by threes: 3 become 1 of 5, 3 of these 1 of 3, and the last 3 one.
    assert kinds(assert_equal(model, Target("mine", most_concatenated=3)))["Concatenate"] == 3


def test_the_squeeze_is_a_mean_over_both_axes_or_over_one_after_the_other():
    model = model_of(lambda x: L.GlobalAveragePooling2D(keepdims=True)(conv(x)))
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 4)).astype("float32")
    expected = np.mean(model(x), axis=(1, 2), keepdims=True)
    for by_axis, means in (
        (False, {"GlobalAveragePooling2D": 1}),
        (True, {"Mean": 2}),
    ):
        lowered = lower(model, Target("mine", mean_by_axis=by_axis))
        assert kinds(lowered) == {"Conv2D": 1} | means
        np.testing.assert_allclose(lowered(x), expected, atol=1e-6)
