import keras
import numpy as np
import pytest

from mobile.lowering import lower
from mobile.quantization import calibration
from mobile.quantization.calibration import calibrate


@pytest.fixture
def passing():
    """A model whose 'same' layer gives back its input."""
    image = keras.Input((16, 16, 1), name="image")
    same = keras.layers.Conv2D(1, 1, kernel_initializer="ones", name="same")
    return keras.Model(image, same(image))


def _ranges(model, images, **options):
    return calibrate(model, images, progress=False, **options)


def test_minmax_is_all_that_was_seen(passing):
    images = np.random.default_rng(0).normal(size=(20, 16, 16, 1)).astype("float32")
    low, high = _ranges(passing, images, method="minmax")["same"]
    assert (low, high) == pytest.approx((images.min(), images.max()), rel=1e-6)


def test_mse_leaves_a_lone_outlier_out():
    # 255 steps over (0, 1000) would put all of (0, 1) on one level: error 0.08 a value; cutting
    # the outlier to 50 costs 950**2 / 10**7 = 0.09 but no less, so a third is worse than both.
    seen = calibration._Statistics()
    values = np.random.default_rng(0).uniform(0, 1, 10**6)
    seen.add(0.0, 1.0, values)
    inside = calibration._mse(seen)
    assert inside == pytest.approx((0, 1), abs=0.02)
    seen.add(3.0, 3.0, np.array([3.0]))
    low, high = calibration._mse(seen)
    assert low == 0 and high < 2


def test_percentile_cuts_the_given_share():
    seen = calibration._Statistics()
    values = np.linspace(0, 1, 10**6)
    seen.add(0.0, 1.0, values)
    assert calibration._percentile(seen, share=0.1) == pytest.approx((0, 0.9), abs=1e-3)


@pytest.mark.parametrize("method", calibration.METHODS)
def test_every_method_keeps_a_uniform_tensor_whole(passing, method):
    images = np.random.default_rng(0).uniform(0, 1, (64, 16, 16, 1)).astype("float32")
    assert _ranges(passing, images, method=method)["same"] == pytest.approx((0, 1), abs=0.03)


def test_a_growing_histogram_counts_every_value():
    seen = calibration._Statistics()
    for size in (1, 10, 1000):
        seen.add(-size, size, np.linspace(-size, size, 1001))
    assert seen.counts.sum() == 3 * 1001
    centres, counts = seen.filled
    inner = counts[np.abs(centres) < 1].sum()
    # All of the first; 1/10 of the second; 1/1000 of the third.
    assert inner == pytest.approx(1001 + 100 + 1, abs=4)


def test_memory_does_not_grow_with_the_images(passing):
    # A generator of batches is read one at a time, so nothing can be kept.
    alive = []

    def batches():
        for seed in range(12):
            alive.append(seed)
            yield np.random.default_rng(seed).uniform(0, 1, (5, 16, 16, 1)).astype("float32")

    ranges = _ranges(passing, batches())
    assert ranges.images == 60 and len(alive) == 12


def test_ranges_go_to_json_and_back(lowered, images, ranges, tmp_path):
    from mobile.quantization.ranges import Ranges

    assert Ranges.load(ranges.save(tmp_path / "ranges.json")) == ranges
    assert ranges.images == len(images) and "stem" in str(ranges)


def test_fixed_ranges_are_not_moved_by_data(ranges):
    assert ranges["sigmoid"] == (0.0, 255 / 256)
    assert ranges["excite"] == (0.0, 6.0)


def test_nan_weights_name_the_layer(passing):
    passing.get_layer("same").set_weights([np.full((1, 1, 1, 1), np.nan), np.zeros(1)])
    with pytest.raises(ValueError, match="'same'"):
        _ranges(passing, np.random.default_rng(0).uniform(size=(20, 16, 16, 1)))


def test_an_unknown_method_lists_the_known(lowered, images):
    with pytest.raises(ValueError, match="mse, minmax, percentile, entropy"):
        _ranges(lowered, images, method="kl")


def test_a_model_whose_ranges_are_all_fixed_needs_no_images():
    x = keras.Input((4, 4, 1))
    lowered = lower(keras.Model(x, keras.ops.relu6(x + 3)))
    ranges = calibrate(lowered, np.zeros((10, 4, 4, 1), "float32"), progress=False)
    assert (0.0, 6.0) in ranges.values()
