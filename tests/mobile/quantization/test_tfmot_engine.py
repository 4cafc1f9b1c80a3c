import os

import keras
import numpy as np
import pytest

from mobile import devices
from mobile.conversion.converter import convert
from mobile.lowering.layers import DepthToSpace, Mean, ScaleMap, Shift, Slice
from mobile.quantization import quantize_aware


@pytest.fixture(scope="module")
def tfmot_model(lowered, ranges):
    return quantize_aware(lowered, ranges=ranges, engine="tfmot")


def _raw(artifact, images):
    return devices.predict(artifact, artifact.prepare(images))[0]


def test_both_engines_simulate_the_same(quantized, tfmot_model, images):
    ours = quantized.predict(images, verbose=0)
    assert np.abs(tfmot_model.predict(images, verbose=0) - ours).max() < 1e-6


def test_both_engines_files_compute_the_same(artifact, tfmot_model, images):
    other = convert(tfmot_model)
    more = np.concatenate([images, images[:10] * 0.5])
    assert (_raw(other, more) == _raw(artifact, more)).all()  # on 50 images
    assert other.operators == artifact.operators and other.inputs == artifact.inputs
    assert devices.partitions(other) == 1


def test_the_other_layers_of_lowered_models_too(images):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="twice")(image)
    x = ScaleMap(np.linspace(0.5, 1, 14 * 14).reshape(14, 14).tolist(), name="map")(x)
    x = layers.Subtract(name="less")([x, Slice((0, 0, 0), (None, None, 6), name="part")(x)])
    x = layers.ReLU(name="positive")(Shift(0.1, name="shift")(x))
    x = layers.Conv2D(8, 3, groups=2, strides=2, bias_initializer="normal", name="grouped")(x)
    y = Mean((1, 2), name="mean")(x)
    y = layers.Conv2D(8, 1, name="gate")(y)
    x = layers.Multiply(name="gated")([x, layers.Activation("tanh", name="tanh")(y)])
    x = DepthToSpace(2, name="larger")(x)
    model = keras.Model(image, layers.Permute((2, 1, 3), name="turned")(x))
    scaled = images / 127.5 - 1
    ours = quantize_aware(model, calibration=scaled)
    theirs = quantize_aware(model, calibration=scaled, engine="tfmot")
    assert (_raw(convert(ours), scaled) == _raw(convert(theirs), scaled)).all()


def test_it_trains_from_calibrated_ranges(lowered, ranges, images):
    import tf_keras

    model = quantize_aware(lowered, ranges=ranges, engine="tfmot")
    assert isinstance(model, tf_keras.Model)
    model.compile(tf_keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    losses = model.fit(images, np.arange(40) % 5, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    stem = next(layer for layer in model.layers if layer.name == "quant_stem")
    kept = [float(w) for w in stem.non_trainable_weights if "low" in w.name or "high" in w.name]
    assert sorted(kept) == pytest.approx(sorted(ranges["stem"]))


def test_the_environment_is_left_alone(tfmot_model):
    assert "TF_USE_LEGACY_KERAS" not in os.environ


def test_learned_ranges_need_the_other_engine(lowered, ranges):
    with pytest.raises(ValueError, match="engine='keras'"):
        quantize_aware(lowered, ranges=ranges, engine="tfmot", learned=True)


def test_what_it_lacks_is_named(images):
    image = keras.Input((16, 16, 3))
    up = keras.layers.Conv2DTranspose(3, 2, bias_initializer="normal", name="up")
    model = keras.Model(image, up(image))
    with pytest.raises(ValueError, match=r"'up' of class Conv2DTranspose.*engine='keras'"):
        quantize_aware(model, calibration=images / 127.5 - 1, engine="tfmot")
