"""Gates of published networks with real weights, on images that did not find their constants."""

import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

import keras_se
import mobile
from keras_se import weights
from mobile.tuning.kernel_refit import refit_kernels

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


def agreement(model, images, names, refit=False):
    """Half of the images find the constants, the other half judges, and the other way round."""
    same = []
    for half in (0, 1):
        seen, others = images[half::2], images[1 - half :: 2]
        found = keras_se.gates(model, seen)
        folded = keras_se.fold(model, {name: found[name].constant for name in names})
        if refit:
            refit_kernels(model, folded, seen)
        answers = [m.predict(others, verbose=0).argmax(axis=-1) for m in (model, folded)]
        same.append(answers[0] == answers[1])
    return np.mean(same)


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
    """Blocks 1, 3 and 5 of sixteen from 0, then 0, 2, 4, 8 and 11 too."""
    network = keras.applications.EfficientNetB0(weights=None)
    network = keras.Model(network.get_layer("stem_conv_pad").input, network.output)
    mean, deviation = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    model = with_pixels(network, "efficientnet_b0", mean, deviation)
    blocks = [f"block{name}" for name in ("2a", "3a", "4a")]
    assert agreement(model, images, blocks) >= 0.98
    blocks += [f"block{name}" for name in ("1a", "2b", "3b", "5a", "6a")]
    assert agreement(model, images, blocks, refit=True) >= 0.95
