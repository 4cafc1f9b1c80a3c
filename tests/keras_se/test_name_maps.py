"""Names of keras.applications in ours, and what names do not tell."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_se import MOBILENET_V3, models, weights
from tests.keras_se.arrays import named

APPLICATIONS = keras.applications


SHAPE = (32, 32, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"padding": "symmetric"}, "padding='same'"),
        ({"se": dataclasses.replace(MOBILENET_V3, gate="sigmoid")}, "gate='hard_sigmoid'"),
        ({"se": dataclasses.replace(MOBILENET_V3, activation="silu")}, "activation='relu'"),
    ],
)
def test_a_model_that_computes_otherwise_than_keras_applications_is_refused(change, said):
    entries = named(APPLICATIONS.MobileNetV3Small(weights=None, input_shape=SHAPE))
    with pytest.raises(ValueError, match=said):
        weights.assign(models.build("mobilenet_v3_small", input_shape=SHAPE, **change), entries)
    assert not weights.assign(models.build("mobilenet_v3_small", input_shape=SHAPE), entries).fresh


@pytest.mark.parametrize(
    ("change", "said"),
    [({"stride_in": "3x3"}, "stride_in='1x1'"), ({"pool": "end"}, "pool='symmetric'")],
)
def test_a_resnet_that_strides_or_pools_otherwise_is_refused(change, said):
    network = models.find("resnet50")
    rows = tuple(dataclasses.replace(row, repeat=1) for row in network.rows)
    model = models.build(dataclasses.replace(network, rows=rows), input_shape=SHAPE, **change)
    entries = {"conv2_block1_0_conv/kernel": np.zeros((1, 1, 64, 256), "float32")}
    with pytest.raises(ValueError, match=said):
        weights.assign(model, entries)
