import keras
import numpy as np
import pytest

from mobile import devices
from mobile.conversion.converter import convert
from mobile.conversion.schemes import CALIBRATED, IO_TYPES, SCHEMES


@pytest.fixture(scope="module")
def model():
    image = keras.Input((8, 8, 3), name="image")
    return keras.Model(image, keras.layers.Conv2D(4, 3, bias_initializer="normal")(image))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).normal(size=(20, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_converts_says_so_and_computes_the_same(model, pixels, scheme):
    artifact = convert(model, scheme, pixels if scheme in ("int8", "int16x8") else None)
    assert artifact.scheme == scheme
    found = artifact.restore(devices.predict(artifact, artifact.prepare(pixels)))[0]
    truth = np.asarray(model(pixels))
    assert np.abs(found - truth).max() < 0.03 * np.abs(truth).max()


@pytest.mark.parametrize("kind", IO_TYPES)
def test_every_type_of_input_and_output_is_what_it_says(model, pixels, kind):
    artifact = convert(model, calibration=pixels, input_type=kind, output_type=kind)
    assert artifact.inputs[0].dtype == artifact.outputs[0].dtype == kind


def test_schemes_that_find_ranges_from_images_are_those_that_take_them(model, pixels):
    for scheme in SCHEMES:
        if scheme in CALIBRATED:
            assert convert(model, scheme, calibration=pixels).scheme == scheme
        else:
            with pytest.raises(ValueError, match="calibration with scheme"):
                convert(model, scheme, calibration=pixels)
