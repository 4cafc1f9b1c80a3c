import keras
import numpy as np
import pytest

import keras_se
from mobile.pipeline import batch_norms, training, transfer

STATIC = keras_se.SEConfig(kind="static")


def _network(se, seed=0, classes=3):
    keras.utils.set_random_seed(seed)
    return keras_se.models.build(
        "mobilenet_v3_small",
        se=se,
        input_shape=(32, 32, 3),
        width=0.35,
        classes=classes,
        classifier_activation=None,
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def donor(images):
    """A network whose gates do not move: kernels of zero, a bias of its own for each channel."""
    donor = _network("default", seed=1)
    random = np.random.default_rng(1)
    for layer in donor.layers:
        if isinstance(layer, keras_se.SqueezeExcite):
            kernel, bias = layer.expand.get_weights()
            layer.expand.set_weights([0 * kernel, random.uniform(-2, 2, bias.shape)])
    batch_norms.refresh_batch_norms(donor, images, batch=8)
    return donor


def test_same_network_becomes_equal(donor, images):
    model = _network("default", seed=2)
    assert transfer.inherit(model, donor, images) == ()
    np.testing.assert_array_equal(training.predict(model, images), training.predict(donor, images))


@pytest.mark.parametrize("se", [keras_se.MOBILE, keras_se.SERVER, STATIC, None])
def test_constant_gates_carry_over_exactly_to_other_gates_and_to_none(donor, images, se):
    model = _network(se, seed=2)
    assert transfer.inherit(model, donor, images) == ()
    want = training.predict(donor, images)
    np.testing.assert_allclose(
        training.predict(model, images), want, atol=1e-4 * np.abs(want).max()
    )


def test_layers_of_other_shapes_start_fresh(donor, images):
    model = _network("default", seed=2, classes=5)
    assert transfer.inherit(model, donor, images) == ("logits",)


def test_weights_file_starts_another_configuration(donor, images, tmp_path):
    path = tmp_path / "trained.weights.h5"
    donor.save_weights(path)
    model = _network(keras_se.MOBILE, seed=2)
    with pytest.raises(ValueError, match=r"source='resnet50' for .*named as in Keras"):
        transfer.start_from(model, path, _network("default", seed=3), images, "resnet50")
    transfer.start_from(model, path, _network("default", seed=3), images)
    want = training.predict(donor, images)
    np.testing.assert_allclose(
        training.predict(model, images), want, atol=1e-4 * np.abs(want).max()
    )
