"""Gates of published networks with real weights, on images that did not find their constants."""

import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

import keras_se
import mobile
from keras_se import weights

DATA = pathlib.Path(__file__).resolve().parents[3].parent / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="no real images and weights at ../shared/data"),
]


@pytest.fixture(scope="module")
def images():
    paths = sorted((DATA / "imagenet500").glob("*.jpg"))
    return np.stack([np.asarray(Image.open(p).convert("RGB"), "float32") for p in paths])


def with_pixels(network, file, mean, deviation):
    """The network with its weights, behind its preprocessing."""
    weights.load(network, DATA / "weights" / f"{file}_imagenet.npz")
    mean, deviation = np.float64(mean), np.float64(deviation)
    image = keras.Input((224, 224, 3))
    scaled = keras.layers.Rescaling((1 / deviation).tolist(), (-mean / deviation).tolist())(image)
    return keras.Model(image, network(scaled))


def agreement(model, images, names):
    """Constants are from the even images, answers are compared on the odd ones."""
    found = keras_se.gates(model, images[::2])
    folded = keras_se.fold(model, {name: found[name].constant for name in names})
    answers = [m.predict(images[1::2], verbose=0).argmax(axis=-1) for m in (model, folded)]
    return np.mean(answers[0] == answers[1])


def least(share, images=250):
    return share - 2.5 * (share * (1 - share) / images) ** 0.5


def test_mobilenet_v3_small_keeps_its_answers_without_its_first_and_seventh_gate(images):
    network = keras.applications.MobileNetV3Small(
        input_shape=(224, 224, 3), weights=None, include_preprocessing=False
    )
    model = with_pixels(network, "mobilenet_v3_small", [128] * 3, [127] * 3)
    assert agreement(model, images, ["expanded_conv", "expanded_conv_6"]) >= 0.99
    record = mobile.fold_gates(model, images, 0.99, "elements")[1]
    assert {gate.block for gate in record.folded} == {"expanded_conv", "expanded_conv_6"}
    # 56 * 56 * 16 + 14 * 14 * 120 of 285,376 multiplied elements
    assert record.saved() == pytest.approx(73_696 / 285_376)


def test_efficientnet_b0_keeps_its_answers_without_half_of_its_gates(images):
    """Agreement measured on 450 and 300 other images, less 2.5 deviations of 250 images' share."""
    network = keras.applications.EfficientNetB0(weights=None)
    network = keras.Model(network.get_layer("stem_conv_pad").input, network.output)
    mean, deviation = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    model = with_pixels(network, "efficientnet_b0", mean, deviation)
    blocks = [f"block{name}" for name in ("2a", "3a", "4a")]
    assert agreement(model, images, blocks) >= least(0.984)
    blocks += [f"block{name}" for name in ("1a", "2b", "3b", "4c", "6a")]
    assert agreement(model, images, blocks) >= least(0.953)
