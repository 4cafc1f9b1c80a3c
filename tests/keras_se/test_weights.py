"""Whole files, and whole models of keras.applications, give their weights."""

import keras
import numpy as np
import pytest

from keras_se import models, weights
from tests.keras_se.arrays import named


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".weights.h5", ".h5"])
def test_every_format_round_trips_by_layer_name(tmp_path, suffix, build_v3, write_safetensors):
    source, target, path = build_v3(0), build_v3(1), tmp_path / f"w{suffix}"
    if suffix == ".npz":
        np.savez(path, **named(source))
    elif suffix == ".safetensors":
        write_safetensors(path, named(source))
    elif suffix == ".weights.h5":
        source.save_weights(path)
    else:
        source.save(path)  # the whole model
    loaded = weights.load(target, path)
    assert not loaded.fresh
    assert not loaded.unused
    for ours, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_real_weights_load_by_name(shared_data):
    model = models.build("mobilenet_v3_small", preprocessing=(1 / 127, -128 / 127))
    loaded = weights.load(model, shared_data / "weights" / "mobilenet_v3_small_imagenet.npz")
    assert not loaded.fresh
    assert not loaded.unused


APPLICATIONS = keras.applications
SMALL, LARGE = (64, 64, 3), (72, 91, 3)  # of which half, a quarter, ... are odd


@pytest.mark.parametrize(
    ("theirs", "arguments", "width"),
    [
        (APPLICATIONS.MobileNet, {"alpha": 0.25}, None),
        (APPLICATIONS.MobileNetV2, {"alpha": 0.35}, None),
        (APPLICATIONS.MobileNetV3Small, {"alpha": 0.75}, 0.75),
        pytest.param(
            *(APPLICATIONS.MobileNetV3Large, {"minimalistic": True, "include_top": False}, None),
            marks=pytest.mark.slow,
        ),
        pytest.param(APPLICATIONS.MobileNetV3Large, {}, None, marks=pytest.mark.slow),
        (APPLICATIONS.EfficientNetB0, {}, None),
        pytest.param(APPLICATIONS.ResNet50, {}, None, marks=pytest.mark.slow),
        pytest.param(APPLICATIONS.VGG16, {}, None, marks=pytest.mark.slow),
        pytest.param(APPLICATIONS.InceptionResNetV2, {}, None, marks=pytest.mark.slow),
    ],
)
def test_keras_applications_compute_the_same(randomize, theirs, arguments, width):
    pixels = "V3" in theirs.__name__ or "Efficient" in theirs.__name__
    least = 75 if theirs is APPLICATIONS.InceptionResNetV2 else 0  # its own least size
    for shape in (SMALL, LARGE):
        sides = [max(side, least) for side in shape[:2]]
        if theirs is APPLICATIONS.MobileNet:
            sides = [32 * (side // 32) for side in sides]
        shape = (*sides, 3)
        source = theirs(weights=None, input_shape=shape, classifier_activation=None, **arguments)
        randomize(source)
        model = weights.from_keras_applications(source, width=width)
        x = np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype("float32")
        x = 127.5 * (x + 1) if pixels else x
        np.testing.assert_allclose(model(x), source(x), atol=1e-4)


@pytest.mark.parametrize("name", ["MobileNet", "ResNet50"])
def test_pixels_take_the_place_of_preprocess_input(randomize, name):
    theirs = getattr(APPLICATIONS, name)
    module = {"MobileNet": APPLICATIONS.mobilenet, "ResNet50": APPLICATIONS.resnet50}[name]
    options = {"include_top": False} | ({"alpha": 0.25} if name == "MobileNet" else {})
    source = randomize(theirs(weights=None, input_shape=(32, 32, 3), **options))
    model = weights.from_keras_applications(source, pixels=True)
    x = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype("float32")
    expected = source(module.preprocess_input(x.copy()))
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-3)


def test_models_without_a_twin_are_refused():
    source = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="mine")
    with pytest.raises(ValueError, match="mobilenetv2"):
        weights.from_keras_applications(source)


def test_mobilenet_at_sizes_that_it_pads_otherwise_is_refused():
    source = APPLICATIONS.MobileNet((72, 64, 3), 0.25, weights=None)
    with pytest.raises(ValueError, match="multiples of 32"):
        weights.from_keras_applications(source)


def test_grey_images(randomize):
    source = APPLICATIONS.EfficientNetB0(weights=None, input_shape=(32, 32, 1), include_top=False)
    model = weights.from_keras_applications(randomize(source))
    x = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 1)).astype("float32")
    np.testing.assert_allclose(model(x), source(x), atol=1e-4)


def test_the_last_activation_comes_along_and_pooling_without_a_top_is_refused(randomize):
    shape, small = (32, 32, 3), APPLICATIONS.MobileNetV2
    source = small(shape, 0.35, weights=None, classes=5, classifier_activation="sigmoid")
    model = weights.from_keras_applications(randomize(source))
    x = np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype("float32")
    np.testing.assert_allclose(model(x), source(x), atol=1e-4)
    for pooling in ("avg", "max"):
        source = small(shape, 0.35, weights=None, include_top=False, pooling=pooling)
        with pytest.raises(ValueError, match=r"pooling=None, and pool behind"):
            weights.from_keras_applications(source)
