import keras
import pytest

from mobile.quantization import range_plan, xnnpack_limits


def _widened(build, found):
    a, b = (keras.Input((4, 4, 2), name=name) for name in "ab")
    model = keras.Model([a, b], build(a, b))
    plan = range_plan.read_plan(model)
    return xnnpack_limits.widen(model, plan, dict.fromkeys(plan.points, (-1.0, 1.0)) | found)


def _width(ranges, name):
    return ranges[name][1] - ranges[name][0]


def test_sane_ranges_stay_as_they_are(lowered, ranges):
    assert xnnpack_limits.widen(lowered, range_plan.read_plan(lowered), ranges) == dict(ranges)


def test_a_sum_is_less_than_256_times_finer_than_its_inputs():
    build = lambda a, b: keras.layers.Subtract(name="less")([a, b])  # noqa: E731
    ranges = _widened(build, {"less": (-1e-4, 1e-4)})
    assert _width(ranges, "a") / _width(ranges, "less") < 2**8
    assert ranges["a"] == (-1.0, 1.0)


def test_a_sum_is_at_most_1024_times_coarser_than_its_inputs():
    build = lambda a, b: keras.layers.Add(name="sum")([a, b])  # noqa: E731
    ranges = _widened(build, {"a": (-1e-6, 0.0)})
    assert _width(ranges, "a") / _width(ranges, "sum") >= 2**-10
    assert ranges["a"][1] == 0.0  # the zero point stays


def test_a_product_stays_within_its_limits():
    build = lambda a, b: keras.layers.Multiply(name="times")([a, b])  # noqa: E731
    fine = _widened(build, {"times": (0.0, 1e-9)})
    assert (2 / 255) ** 2 / (_width(fine, "times") / 255) < 2**8
    coarse = _widened(build, {"times": (0.0, 1e9)})
    product = _width(coarse, "a") / 255 * _width(coarse, "b") / 255
    assert product / (_width(coarse, "times") / 255) >= 2**-16


def test_a_convolutions_requantisation_stays_below_256():
    conv = keras.layers.Conv2D(2, 1, kernel_initializer="ones", name="conv")
    ranges = _widened(lambda a, b: conv(a), {"conv": (0.0, 1e-7)})
    assert (2 / 255) * (1 / 127) / (_width(ranges, "conv") / 255) < 2**8


def test_a_fused_sum_counts_by_its_relu():
    def build(a, b):
        return keras.layers.ReLU(name="relu")(keras.layers.Add(name="sum")([a, b]))

    ranges = _widened(build, {"relu": (0.0, 1e-4)})
    assert _width(ranges, "a") / _width(ranges, "relu") < 2**8


@pytest.mark.parametrize("name", ["gate", "sigmoid"])
def test_fixed_ranges_are_never_widened(lowered, ranges, name):
    tiny = dict(ranges) | {"stem": (-1e6, 1e6)}
    assert xnnpack_limits.widen(lowered, range_plan.read_plan(lowered), tiny)[name] == ranges[name]
