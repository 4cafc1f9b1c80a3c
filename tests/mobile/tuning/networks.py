"""A small network with gates of every sort, and images for it."""

import keras
import numpy as np

from keras_se import SEConfig

L = keras.layers


def by_hand(x, name):
    """Squeeze-and-excitation as keras.applications writes it."""
    s = L.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    s = L.Conv2D(4, 1, activation="relu", name=f"{name}_reduce")(s)
    s = L.Conv2D(x.shape[-1], 1, activation="sigmoid", name=f"{name}_expand")(s)
    return L.Multiply(name=f"{name}_excite")([x, s])


def network(classes=5):
    """`still` has a constant gate, `late` and `early` are alive, `both` cannot be folded."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    x = L.Rescaling(1 / 127.5, -1.0, name="rescaling")(image)
    x = L.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(x)
    x = SEConfig(reduction=2, min_channels=1).layer("early")(x)
    x = L.Conv2D(10, 3, padding="same", activation="relu", name="middle")(x)
    x = by_hand(x, "still")
    x = L.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="deep")(x)
    x = by_hand(x, "late")
    x = L.Conv2D(12, 1, activation="relu", name="last")(x)
    x = SEConfig(kind="scse", reduction=2).layer("both")(x)
    x = L.Dense(classes, activation="softmax", name="head")(L.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x, name="small")
    random = np.random.default_rng(3)
    for name in ("early", "both", "late_reduce", "late_expand"):
        layer = model.get_layer(name)
        layer.set_weights([12 * w + random.normal(0, 0.3, w.shape) for w in layer.get_weights()])
    still = model.get_layer("still_expand")
    still.set_weights([0 * still.get_weights()[0], random.normal(0, 1, 10)])
    spread_answers(model)
    return model


def spread_answers(model):
    """Give the last layer weights of which each class answers to some images."""
    head = model.get_layer("head")
    seen = keras.Model(model.input, head.input).predict(pictures(100, seed=9), verbose=0)
    kernel = head.get_weights()[0] / seen.std(axis=0)[:, None]
    logits = seen @ kernel
    head.set_weights([kernel * 3 / logits.std(), -logits.mean(axis=0) * 3 / logits.std()])


def pictures(count=60, seed=1):
    """Bright spots on gradients, in pixels."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    made = []
    for _ in range(count):
        cx, cy, *colour = random.uniform(0, 1, 5)
        spot = np.exp(-((x - 15 * cx) ** 2 + (y - 15 * cy) ** 2) / 12)[..., None] * 200
        ramp = (x / 15 * cx + y / 15 * cy)[..., None] * 50 * np.array(colour)
        made.append(np.clip(spot * np.array(colour) + ramp + random.normal(0, 5, 3), 0, 255))
    return np.round(np.array(made)).astype("float32")
