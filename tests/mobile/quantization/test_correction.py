import keras
import numpy as np
import pytest

from mobile.quantization import keras_engine, quantize_aware
from mobile.quantization.correction import _affordable, correct


def _values(model, name, images):
    outputs = keras.Model(model.input, model.get_layer(name).output).predict(images, verbose=0)
    return outputs.reshape(-1, outputs.shape[-1])


@pytest.fixture
def clipping(ranges):
    """Ranges that clip from above, which shifts every mean behind."""
    return ranges.updated({"hard_swish": (ranges["hard_swish"][0], 0.3 * ranges["hard_swish"][1])})


def test_each_channel_gets_its_mean_and_deviation_back(lowered, clipping, images):
    corrected = keras_engine.quantize(correct(lowered, clipping, images, count=40), clipping)
    plain = keras_engine.quantize(lowered, clipping)
    for name in ("project", "logits"):
        truth, before = _values(lowered, name, images), _values(plain, name, images)
        after = _values(corrected, name, images)
        low, high = clipping[name]
        for channel in range(truth.shape[1]):  # over what the range does not clip anyway
            inside = (truth[:, channel] > low) & (truth[:, channel] < high)
            wanted, got = truth[inside, channel], after[inside, channel]
            assert got.mean() == pytest.approx(wanted.mean(), abs=1e-4)
            related = np.corrcoef(wanted, got)[0, 1]
            share = 1 if related > 0.8 else related
            assert got.std() == pytest.approx(share * wanted.std(), rel=1e-3)
        assert np.square(after - truth).mean() < 0.7 * np.square(before - truth).mean()


def test_what_the_range_clips_moves_no_other_value():
    # Above 1 the input is clipped, so the mean of its double falls short; but the output is
    # clipped at 2 as well, and what is below came out right.
    random = np.random.default_rng(1)
    images = random.uniform(0, 1, (40, 8, 8, 1)).astype("float32")
    images[:, :2] += 4
    image = keras.Input((8, 8, 1), name="image")
    conv = keras.layers.DepthwiseConv2D(1, name="conv")
    model = keras.Model(image, conv(image))
    conv.set_weights([np.full((1, 1, 1, 1), 2.0), np.zeros(1)])
    ranges = {"image": (0.0, 1.0), "conv": (0.0, 2.0)}
    kernel, bias = correct(model, ranges, images).get_layer("conv").get_weights()
    assert kernel.item() == pytest.approx(2, abs=0.01) and bias.item() == pytest.approx(0, abs=0.01)


def test_a_channel_of_noise_is_silenced():
    # The input's channel 1 is 5 give or take 0.02; in steps of 10/255 that is one level or the
    # next, which the kernel makes into a swing of 4. The correlation says how little that tells.
    random = np.random.default_rng(0)
    images = random.uniform(0, 10, (40, 8, 8, 2)).astype("float32")
    images[..., 1] = random.uniform(4.98, 5.02, (40, 8, 8))
    image = keras.Input((8, 8, 2), name="image")
    conv = keras.layers.DepthwiseConv2D(1, name="conv")
    model = keras.Model(image, conv(image))
    conv.set_weights([np.array([1.0, 100.0]).reshape(1, 1, 2, 1), np.array([0.5, -500.0])])
    ranges = {"image": (0.0, 10.0), "conv": (-5.0, 15.0)}
    kernel = correct(model, ranges, images).get_layer("conv").get_weights()[0].ravel()
    # Channel 0: hardly any noise. Channel 1: gain = sqrt(explained), below 0.9 by far.
    assert kernel[0] == pytest.approx(1.0, abs=0.01) and 0 <= kernel[1] < 90


def test_the_model_and_its_activations_stay_as_they_were(lowered, ranges, images):
    before = lowered.get_weights()
    corrected = correct(lowered, ranges, images)
    assert all((a == b).all() for a, b in zip(before, lowered.get_weights(), strict=True))
    for model in (lowered, corrected):
        assert model.get_layer("depthwise").activation is keras.activations.relu
        assert model.get_layer("excite").activation is keras.activations.relu6


def test_kernels_keep_their_int8_levels(lowered, ranges, images):
    corrected = correct(lowered, ranges, images)
    for name in ("stem", "depthwise", "late"):
        old, new = (model.get_layer(name).get_weights()[0] for model in (lowered, corrected))
        axes = (0, 1, 3) if name == "depthwise" else (0, 1, 2)
        levels = [np.round(127 * k / np.abs(k).max(axis=axes, keepdims=True)) for k in (old, new)]
        assert np.abs(levels[0] - levels[1]).max() <= 1  # a tie at most


def test_it_is_done_where_it_can_be_unless_it_is_not_wanted(lowered, ranges, images):
    bias = lowered.get_layer("stem").get_weights()[1]
    for options, changed in (
        ({"calibration": images}, True),
        ({"calibration": images, "correction": False}, False),
        ({"calibration": iter([images])}, True),
        ({}, False),
    ):
        aware = quantize_aware(lowered, ranges=ranges, **options)
        assert (aware.get_layer("stem").get_weights()[1] != bias).any() == changed
    with pytest.raises(ValueError, match="without `calibration`"):
        quantize_aware(lowered, ranges=ranges, correction=True)


def test_large_tensors_mean_fewer_images(lowered):
    image = keras.Input((112, 112, 96))
    large = keras.Model(image, keras.layers.ReLU()(image))
    # 112 * 112 * 96 floats are 4.8 MB: 53 of them in 256 MB.
    assert (_affordable(lowered), _affordable(large)) == (128, 53)
