import keras
import numpy as np
import pytest

from mobile.quantization import keras_engine, quantize_aware
from mobile.quantization.bias_correction import correct_bias


def _mean(model, name, images):
    outputs = keras.Model(model.input, model.get_layer(name).output).predict(images, verbose=0)
    return outputs.reshape(-1, outputs.shape[-1]).mean(axis=0)


def test_the_mean_of_each_linear_convolution_becomes_that_of_the_float_model(
    lowered, ranges, images
):
    # A range that clips from above shifts every mean behind it.
    wrong = ranges.updated({"hard_swish": (ranges["hard_swish"][0], 0.3 * ranges["hard_swish"][1])})
    corrected = keras_engine.quantize(correct_bias(lowered, wrong, images), wrong)
    plain = keras_engine.quantize(lowered, wrong)
    for name in ("project", "logits"):
        truth = _mean(lowered, name, images)
        assert np.abs(_mean(plain, name, images) - truth).max() > 1e-2
        assert _mean(corrected, name, images) == pytest.approx(truth, abs=1e-4)


def test_only_biases_of_linear_convolutions_change(lowered, ranges, images):
    corrected = correct_bias(lowered, ranges, images)
    changed = {
        layer.name
        for layer in lowered.layers
        if layer.weights
        and (layer.get_weights()[1] != corrected.get_layer(layer.name).get_weights()[1]).any()
    }
    assert changed == {"stem", "project", "logits"}
    for layer in lowered.layers:
        if layer.weights:
            same = layer.get_weights()[0] == corrected.get_layer(layer.name).get_weights()[0]
            assert same.all()


def test_it_must_be_asked_for(lowered, ranges, images):
    off = quantize_aware(lowered, images, ranges=ranges)
    on = quantize_aware(lowered, images, ranges=ranges, bias_correction=True)
    bias = lowered.get_layer("stem").get_weights()[1]
    assert (off.get_layer("stem").get_weights()[1] == bias).all()
    assert (on.get_layer("stem").get_weights()[1] != bias).any()


def test_it_needs_images_as_an_array(lowered, ranges):
    with pytest.raises(ValueError, match="as one array"):
        quantize_aware(lowered, ranges=ranges, bias_correction=True)
