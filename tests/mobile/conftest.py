import keras
import numpy as np
import pytest

from mobile.lowering.layers import Shift

_relu6 = keras.activations.relu6


def lowered_model(classes=5, seed=0):
    """Every kind of quantised edge on a few thousand parameters: see the comments."""
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling([1 / 127.5] * 3, [-1.0] * 3, name="rescaling")(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(x)
    gate = layers.ReLU(6.0, name="gate")(Shift(3.0, name="shift")(x))  # one operator: ADD, RELU6
    x = layers.Multiply(name="hard_swish")([x, gate])
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    s = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(y)
    s = layers.Conv2D(4, 1, activation="relu", name="reduce")(s)
    s = layers.Conv2D(8, 1, activation=_relu6, name="excite")(s)
    y = layers.Multiply(name="scaled")([y, s])
    y = layers.Conv2D(8, 1, name="project")(y)
    x = layers.Add(name="sum")([x, y])
    a = layers.Conv2D(8, 1, activation="relu", name="branch")(x)
    b = layers.Multiply(name="swish")([x, layers.Activation("sigmoid", name="sigmoid")(x)])
    b = layers.MaxPooling2D(3, strides=1, padding="same", name="pool")(b)
    x = layers.Concatenate(name="concat")([a, b])  # one range for branch, swish and concat
    x = layers.ZeroPadding2D(1, name="pad")(x)
    x = layers.Conv2D(16, 3, strides=2, activation=_relu6, name="late")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
    x = layers.Conv2D(classes, 1, name="logits")(x)
    x = layers.Reshape((classes,), name="flat")(x)
    model = keras.Model(image, layers.Softmax(name="softmax")(x), name="tiny")
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * 1.5, random.normal(0, 0.1, bias.shape)])
    return model


@pytest.fixture(scope="session")
def lowered():
    return lowered_model()


@pytest.fixture(scope="session")
def images():
    """Forty 16x16 pictures of a bright spot on a gradient."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:16, :16]
    pictures = []
    for _ in range(40):
        cx, cy, *colour = random.uniform(0, 1, 5)
        spot = np.exp(-((x - 15 * cx) ** 2 + (y - 15 * cy) ** 2) / 12)[..., None] * 200
        ramp = (x / 15 * cx + y / 15 * cy)[..., None] * 50 * np.array(colour)
        pictures.append(np.clip(spot * np.array(colour) + ramp + random.normal(0, 5, 3), 0, 255))
    return np.round(np.array(pictures)).astype(np.float32)


@pytest.fixture(scope="session")
def ranges(lowered, images):
    from mobile.quantization import calibrate

    return calibrate(lowered, images, progress=False)


@pytest.fixture(scope="session")
def quantized(lowered, ranges):
    from mobile.quantization import quantize_aware

    return quantize_aware(lowered, ranges=ranges)


@pytest.fixture(scope="session")
def artifact(quantized):
    from mobile.conversion.converter import convert

    return convert(quantized)
