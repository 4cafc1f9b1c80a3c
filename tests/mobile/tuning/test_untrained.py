"""The file of a network with random weights."""

import keras
import numpy as np

import keras_se
from mobile import data
from mobile.tuning.untrained import IMAGES, untrained_file


def test_a_network_with_random_weights_answers_otherwise_to_each_image():
    keras.utils.set_random_seed(0)
    model = keras_se.models.build(
        "mobilenet_v3_small", input_shape=(32, 32, 3), classes=5, width=0.35,
        classifier_activation=None,
    )  # fmt: skip
    images = data.load_images(None, 32, IMAGES, 0)
    file = untrained_file(model, images, "xnnpack")
    assert file.scheme == "int8"
    assert (file.inputs[0].shape[1:], file.outputs[0].shape[-1]) == ((32, 32, 3), 5)
    # With the statistics that BatchNorm begins with, all images look alike to it.
    spread = np.std(model.predict(images, verbose=0), axis=0)
    assert (spread > 0.01).all()
