import keras
import numpy as np
import pytest
from PIL import Image

import keras_se
from mobile import cli


def call(*arguments):
    """Call the command line as its entry point does; return the exit status."""
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as end:
        return end.code
    raise AssertionError("main must exit")


@pytest.fixture
def run():
    return call


@pytest.fixture
def fails(capsys):
    """Calls badly and returns the one line that it prints; nothing else may be printed."""

    def call_badly(*arguments):
        capsys.readouterr()  # what went before
        assert call(*arguments) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("keras-se: ")
        assert said.err.count("\n") == 1
        return said.err

    return call_badly


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small trained-looking model of two classes, and images in no class folders."""
    place = tmp_path_factory.mktemp("cli")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(x)
    x = keras_se.SqueezeExcite(reduction=2, name="se")(x)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Conv2D(2, 1, name="logits")(x)
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if weight.name == "bias":  # of zeros it would look untrained, which is warned of
            weight.assign(random.normal(0, 0.1, weight.shape))
    model.save(place / "model.keras")
    for i in range(100):
        save_noise(place / "photos" / f"{i}.png", random)
    return place


def save_noise(path, random):
    """Write 16x16 pixels in squares of 4x4."""
    pixels = np.repeat(np.repeat(random.integers(0, 256, (4, 4, 3), np.uint8), 4, 0), 4, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
